//! The limits of format 0.

/// Why a document of format 1 cannot be used as one of format 0.
pub(crate) fn not_in_format_0() -> String {
    "it has intents, reports or messages that format 0 cannot hold; deploy the version that wrote it".to_owned()
}
