//! The unread rest of a regular expression.

/// The state of the parser.
#[derive(Debug)]
pub(super) struct RegexReader<'t> {
    pub(super) text: &'t [u8],
    /// Whether a flag makes a part of the expression ignore letter case.
    pub(super) folds: bool,
}

impl<'t> RegexReader<'t> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.first().copied()
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.text.split_first()?;
        self.text = rest;
        Some(*first)
    }

    /// Skips `wanted` if the text begins with it; returns whether it did.
    pub(super) fn pass(&mut self, wanted: &[u8]) -> bool {
        self.text.strip_prefix(wanted).map(|rest| self.text = rest).is_some()
    }

    /// Returns the text before the byte `end`, and skips both. `None` if the byte does not occur.
    pub(super) fn until(&mut self, end: u8) -> Option<&'t [u8]> {
        let at = self.text.iter().position(|byte| *byte == end)?;
        let (before, rest) = self.text.split_at_checked(at)?;
        self.text = rest.get(1..)?;
        Some(before)
    }
}
