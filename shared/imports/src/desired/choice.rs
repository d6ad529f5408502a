//! The declaration that counts, of several declarations of one resource.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::name::ResourcePath;
use readers::{Declared, Reading};

use super::skipped::SkippedResource;
use crate::InputRefusal;

/// The declaration of each resource. Of the items of AWS Config the newest counts; a resource with a newer deletion is
/// skipped. Other declarations of one resource must be equal.
pub(super) fn choose<'r>(
    reading: &'r Reading,
    skipped: &mut Vec<SkippedResource>,
    refused: &mut Vec<InputRefusal>,
) -> Vec<&'r Declared> {
    let mut by_path: BTreeMap<&ResourcePath, Vec<&Declared>> = BTreeMap::new();
    for declared in &reading.resources {
        by_path.entry(&declared.path).or_default().push(declared);
    }
    let mut chosen = Vec::new();
    for (path, mut all) in by_path {
        if all.iter().all(|one| one.captured_at.is_some()) {
            let newest = all.iter().filter_map(|one| one.captured_at).max();
            all.retain(|one| one.captured_at == newest);
            if let Some(deleted_at) =
                deletion_of(path, reading).filter(|deleted| newest.is_none_or(|at| *deleted >= at))
            {
                skipped.extend(all.first().map(|one| SkippedResource {
                    file: one.source.file.clone(),
                    id: one.source.id.clone(),
                    reason: format!("AWS Config recorded its deletion at {deleted_at}"),
                }));
                continue;
            }
        }
        let Some((first, others)) = all.split_first() else { continue };
        for other in others.iter().filter(|other| !is_same(first, other)) {
            let problem =
                format!("declares {path} differently than {}:{}: {}", first.source.file, first.line, first.source.id);
            let remedy = "pass only the files of one state of the mesh".to_owned();
            refused.push(InputRefusal::new(&other.source, Some(other.line), "", problem, remedy));
        }
        chosen.push(*first);
    }
    chosen
}

/// The newest deletion of a resource.
fn deletion_of(path: &ResourcePath, reading: &Reading) -> Option<Timestamp> {
    reading.deleted.iter().filter(|item| item.path == *path).filter_map(|item| item.captured_at).max()
}

fn is_same(one: &Declared, other: &Declared) -> bool {
    // A form without tags does not contradict one with tags, but a merge of both would be a guess.
    one.spec == other.spec && one.tags == other.tags && one.mesh_owner == other.mesh_owner
}
