//! Numbers for the resources of a kind.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

/// The resources of a kind, each with a number: its position in the order of the names. Missing resources with
/// references have numbers, too, so that an order by number is an order by name.
#[derive(Debug)]
pub struct Numbered<'m, N, T> {
    all: Vec<(&'m N, Option<&'m T>)>,
    numbers: HashMap<&'m N, usize>,
}

impl<'m, N: Ord + Hash, T> Numbered<'m, N, T> {
    /// Numbers the existing resources and the referenced names, in the order of the names.
    pub(super) fn new(
        present: impl Iterator<Item = (&'m N, &'m T)>,
        named: impl Iterator<Item = &'m N>,
    ) -> Numbered<'m, N, T> {
        let mut all: Vec<_> = present.map(|(name, resource)| (name, Some(resource))).collect();
        let mut numbers = numbers_of(&all);
        let missing: BTreeSet<&N> = named.filter(|name| !numbers.contains_key(name)).collect();
        if !missing.is_empty() {
            all.extend(missing.into_iter().map(|name| (name, None)));
            all.sort_by_key(|(name, _)| *name);
            numbers = numbers_of(&all);
        }
        Self { all, numbers }
    }

    /// The number of a name.
    pub fn number(&self, name: &N) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// The name of a number.
    #[must_use]
    pub fn name(&self, number: usize) -> Option<&'m N> {
        self.all.get(number).map(|(name, _)| *name)
    }

    /// The resource of a number, if it exists.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&'m T> {
        self.all.get(number).and_then(|(_, resource)| *resource)
    }

    /// Every number in order, with its name and its resource if it exists.
    pub fn iter(&self) -> impl Iterator<Item = (&'m N, Option<&'m T>)> {
        self.all.iter().copied()
    }

    /// The number of names.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.all.len()
    }
}

fn numbers_of<'m, N: Hash + Eq, T>(all: &[(&'m N, Option<&'m T>)]) -> HashMap<&'m N, usize> {
    all.iter().enumerate().map(|(number, (name, _))| (*name, number)).collect()
}
