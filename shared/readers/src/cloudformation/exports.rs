//! Values that stacks look up by name: exports, and parameters of Systems Manager.
//!
//! A name may have a part that is not known here, such as the name of a stack or a parameter without a value. It then fits
//! every name that is the same but for that part. Such a value is used only if all names that fit have the same one.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use super::super::stand_ins::made_within;
use super::inputs::Named;
use super::scope::Scope;

/// The longest names that are compared part by part.
const LONGEST: usize = 512;

impl Scope<'_> {
    /// The value of an export.
    pub(super) fn export(&self, name: &str) -> Option<Value> {
        match self.around.exports.get(name) {
            Some(value) => Some(Value::from(value.as_str())),
            None => self.among(&self.shared.exports, name),
        }
    }

    /// The value that a stack of the run writes to parameter store.
    pub(super) fn stored(&self, name: &str) -> Option<Value> {
        self.among(&self.shared.stored, name)
    }

    fn among(&self, values: &Named, name: &str) -> Option<Value> {
        if let Some(value) = values.get(name) {
            return value.clone();
        }
        let wanted = self.pattern(name);
        let fits = |other: &str| fit(&wanted, &self.pattern(other));
        let mut fitting = values.iter().filter(|(other, _)| fits(other)).map(|(_, value)| value);
        let first = fitting.next()?;
        fitting.all(|value| value == first).then(|| first.clone()).flatten()
    }

    /// The characters of a name, with `None` for each part that is not known.
    fn pattern(&self, name: &str) -> Vec<Option<char>> {
        let made: BTreeSet<&str> = made_within(name, self.made()).collect();
        let mut pattern = Vec::new();
        let mut rest = name;
        while let Some(next) = rest.chars().next() {
            if let Some(after) = made.iter().find_map(|made| rest.strip_prefix(*made)) {
                pattern.push(None);
                rest = after;
            } else {
                pattern.push(Some(next));
                rest = rest.get(next.len_utf8()..).unwrap_or_default();
            }
        }
        pattern
    }
}

/// Whether two names may be one, where each unknown part stands for at least one character.
fn fit(one: &[Option<char>], other: &[Option<char>]) -> bool {
    // A name of which nothing is known would fit all.
    let says_something = |pattern: &[Option<char>]| pattern.iter().flatten().any(|c| c.is_alphanumeric());
    let is_open = |pattern: &[Option<char>]| pattern.contains(&None);
    if one.len().max(other.len()) > LONGEST || !(is_open(one) || is_open(other)) {
        return one == other;
    }
    if !says_something(one) || !says_something(other) {
        return false;
    }
    let mut seen = HashSet::new();
    let mut waiting = vec![(0, 0)];
    while let Some((at, there)) = waiting.pop() {
        if !seen.insert((at, there)) {
            continue;
        }
        match (one.get(at), other.get(there)) {
            (None, None) => return true,
            (Some(None), Some(_)) | (Some(_), Some(None)) => {
                waiting.push((at + 1, there + 1));
                if one.get(at) == Some(&None) {
                    waiting.push((at, there + 1));
                }
                if other.get(there) == Some(&None) {
                    waiting.push((at + 1, there));
                }
            }
            (Some(Some(here)), Some(Some(c))) if here == c => waiting.push((at + 1, there + 1)),
            (Some(Some(_)), Some(Some(_))) | (None, Some(_)) | (Some(_), None) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_but_for_their_unknown_parts() {
        let pattern =
            |text: &str| -> Vec<Option<char>> { text.chars().map(|c| Some(c).filter(|c| *c != '*')).collect() };
        for (one, other, expected) in [
            ("prod-mesh", "prod-mesh", true),
            ("prod-mesh", "dev-mesh", false),
            ("*-mesh", "prod-mesh", true),
            ("*-mesh", "-mesh", false),
            ("*-mesh", "*-mesh", true),
            ("*-mesh", "prod-*", true),
            ("*-mesh", "*-node", false),
            ("core:*:mesh", "core:eu:west:mesh", true),
            ("core:*:mesh", "edge:eu:mesh", false),
            ("*", "prod-mesh", false),
            ("*-*", "prod-mesh", false),
        ] {
            assert_eq!(fit(&pattern(one), &pattern(other)), expected, "{one} {other}");
            assert_eq!(fit(&pattern(other), &pattern(one)), expected, "{other} {one}");
        }
    }
}
