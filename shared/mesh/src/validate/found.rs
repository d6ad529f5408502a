//! The violations that the rules of one resource found.

use std::fmt;

use crate::spec::{Refusal, Violation};

/// The violations found so far.
#[derive(Debug, Default)]
pub(super) struct FoundViolations(pub(super) Vec<Violation>);

impl FoundViolations {
    pub(super) fn refuse(&mut self, path: impl Into<String>, refusal: Refusal) {
        self.0.push(Violation::new(path, refusal));
    }

    /// Refuses a broken rule. Most rules are not broken, so the texts are built only for a broken one.
    pub(super) fn refuse_if(&mut self, broken: bool, path: impl fmt::Display, refusal: impl FnOnce() -> Refusal) {
        if broken {
            self.refuse(path.to_string(), refusal());
        }
    }
}
