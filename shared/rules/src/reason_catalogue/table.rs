//! A table of reason codes.

use decisions::reason_entry::ReasonEntry;

/// Codes that belong together in the documentation.
#[derive(Clone, Copy, Debug)]
pub struct ReasonTable {
    /// The heading.
    pub title: &'static str,
    /// The entries, in their order.
    pub entries: &'static [ReasonEntry],
}
