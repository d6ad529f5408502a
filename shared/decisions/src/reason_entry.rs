//! One entry of the documentation of reason codes: the code, its meaning, and what an operator does.

/// When a reason pages the operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// It never pages.
    Never,
    /// It pages when it first occurs, and again after `paging.repeatAfter` or `paging.remindAfter` of the policy.
    AtOnce,
    /// It pages only if it lasts longer than the policy's `paging` section allows.
    IfLasting,
}

impl Paging {
    /// The text of the documentation's column.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Never => "",
            Self::AtOnce => "at once",
            Self::IfLasting => "if it lasts",
        }
    }
}

/// The documentation of one reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonEntry {
    /// The stable code, as in the log line, the metric, the journal and the report.
    pub code: &'static str,
    /// When the reason pages.
    pub paging: Paging,
    /// The meaning of the code, in one or two sentences.
    pub meaning: &'static str,
    /// The action of an operator; empty if none is needed.
    pub action: &'static str,
}

/// Gives an enum of reasons the entry of each variant. The code is the name of the variant, which is also its serialized tag.
///
/// `strum` would derive the codes only. Here a variant without its meaning, action and paging does not compile, and the
/// codes are available in constants.
#[macro_export]
macro_rules! reason_entries {
    ($type:ident { $($variant:ident: $paging:ident, $meaning:literal, $action:literal;)* }) => {
        impl $type {
            /// The entries of all reasons, in the order of the documentation.
            pub const ENTRIES: &'static [$crate::reason_entry::ReasonEntry] = &[$(
                $crate::reason_entry::ReasonEntry {
                    code: stringify!($variant),
                    paging: $crate::reason_entry::Paging::$paging,
                    meaning: $meaning,
                    action: $action,
                }
            ),*];

            /// The entry of this reason: its stable code, its meaning, and what an operator does.
            #[must_use]
            pub const fn entry(&self) -> &'static $crate::reason_entry::ReasonEntry {
                match self {
                    $(Self::$variant { .. } => {
                        const ENTRY: $crate::reason_entry::ReasonEntry = $crate::reason_entry::ReasonEntry {
                            code: stringify!($variant),
                            paging: $crate::reason_entry::Paging::$paging,
                            meaning: $meaning,
                            action: $action,
                        };
                        &ENTRY
                    })*
                }
            }
        }
    };
}
pub use reason_entries;
