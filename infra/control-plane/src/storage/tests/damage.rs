//! Damaged files: each is refused and left unchanged, or complete.

use std::collections::BTreeMap;

use proptest::prelude::*;
use redb::{Database, TableDefinition};

use super::*;

const STORE: &str = "meshwarden.redb";
const NOTE: &str = "meshwarden.acknowledged";

type Files = BTreeMap<String, Vec<u8>>;

/// The files of a store with every kind of resource, after a crash and after an orderly end, and its state.
fn images() -> ([(&'static str, Files); 2], State) {
    let folder = Scratch::new();
    let mut state = State::new(Quotas::default());
    let (mut disk, _) = open(&folder).unwrap();
    write_all(&mut disk, &mut state, &shop());
    let crashed = folder.files();
    drop(disk);
    ([("crash", crashed), ("end", folder.files())], state)
}

/// Opens the files: returns true if they lead to exactly the state, false if they are refused. Anything else fails.
fn whole(files: &Files, state: &State, case: &str) -> bool {
    let folder = Scratch::with(files);
    match open(&folder) {
        Ok((_, records)) => {
            assert_eq!(&replayed(&records), state, "{case}: the served state differs from the acknowledged one");
            true
        }
        Err(error) => {
            let error = error.to_string();
            let named = error.contains(&folder.path().join(STORE).display().to_string());
            assert!(named, "{case}: the error does not name the store: {error}");
            assert!(
                ["Restore the folder", "Restore it", "Move it away", "Start the version"]
                    .iter()
                    .any(|remedy| error.contains(remedy)),
                "{error}"
            );
            let mut left = folder.files();
            left.remove("meshwarden.lock");
            let given: Files = files.clone().into_iter().filter(|(name, _)| name != "meshwarden.lock").collect();
            assert!(left == given, "{case}: refused, but changed");
            false
        }
    }
}

fn edited(files: &Files, name: &str, edit: impl FnOnce(&mut Vec<u8>)) -> Files {
    let mut files = files.clone();
    edit(files.get_mut(name).unwrap());
    files
}

#[test]
fn undamaged_files_are_served() {
    let (images, state) = images();
    for (when, files) in images {
        assert!(whole(&files, &state, when));
    }
}

#[test]
fn a_file_cut_short_anywhere_is_refused_or_whole() {
    let (images, state) = images();
    for (when, files) in images {
        for name in [STORE, NOTE] {
            let length = files[name].len();
            let steps = if name == STORE { length / 97 } else { 1 };
            let refused = (0..length)
                .step_by(steps)
                .filter(|cut| {
                    !whole(
                        &edited(&files, name, |file| file.truncate(*cut)),
                        &state,
                        &format!("{when}: {name} cut at {cut}"),
                    )
                })
                .count();
            assert!(refused > 40, "{when}: {name}: only {refused} are refused");
        }
    }
}

#[test]
fn one_wrong_bit_anywhere_is_refused_or_harmless() {
    let (images, state) = images();
    for (when, files) in &images {
        for name in [STORE, NOTE] {
            let length = files[name].len();
            // Every byte of the header, which has the roots of the last two commits; then a sample of the rest.
            let head = 0..length.min(320);
            let offsets = head.chain((320..length.min(60_000)).step_by(397)).chain((60_000..length).step_by(49_999));
            let refused = |at: usize| {
                let files = edited(files, name, |file| file[at] ^= 1 << (at % 8));
                !whole(&files, &state, &format!("{when}: {name} wrong at {at}"))
            };
            let refused = count(&offsets.collect::<Vec<_>>(), refused);
            assert!(refused > 70, "{when}: {name}: only {refused} are refused");
        }
    }
}

/// Counts the offsets that satisfy a condition, in parallel: most of the time is spent waiting for the disk.
fn count(offsets: &[usize], condition: impl Fn(usize) -> bool + Sync) -> usize {
    std::thread::scope(|scope| {
        let parts: Vec<_> = offsets
            .chunks(offsets.len().div_ceil(8))
            .map(|part| scope.spawn(|| part.iter().filter(|offset| condition(**offset)).count()))
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn overwritten_bytes_are_refused_or_harmless(
        (crash, at, length, byte) in (any::<bool>(), 0..60_000_usize, 1..5_000_usize, prop::option::of(any::<u8>()))
    ) {
        let (images, state) = images();
        let (when, files) = &images[usize::from(crash)];
        let files = edited(files, STORE, |file| {
            let at = at % file.len();
            for (n, target) in file.iter_mut().enumerate().skip(at).take(length) {
                *target = byte.unwrap_or_else(|| u8::try_from(n * 31 % 251).unwrap());
            }
        });
        whole(&files, &state, when);
    }
}

#[test]
fn records_changed_by_another_program_are_refused() {
    let (images, state) = images();
    let resources = TableDefinition::<&str, &[u8]>::new("resources");
    for (key, value) in [("mesh/m/virtualNode/n0", None), ("mesh/m/virtualNode/n0", Some("mesh/m/virtualNode/n1"))] {
        let folder = Scratch::with(&images[1].1);
        let database = Database::create(folder.path().join(STORE)).unwrap();
        let write = database.begin_write().unwrap();
        let mut rows = write.open_table(resources).unwrap();
        let row = rows.remove(key).unwrap().unwrap().value().to_vec();
        if let Some(other) = value {
            let row = String::from_utf8(row).unwrap().replace(key, other);
            rows.insert(other, row.as_bytes()).unwrap();
        }
        drop(rows);
        write.commit().unwrap();
        drop(database);
        assert!(!whole(&folder.files(), &state, "a changed record"));
    }
}

#[test]
fn an_earlier_store_with_a_later_acknowledgement_is_refused() {
    let folder = Scratch::new();
    let mut state = State::new(Quotas::default());
    let (mut disk, _) = open(&folder).unwrap();
    let (last, before) = shop().split_last().map(|(last, before)| (last.clone(), before.to_vec())).unwrap();
    write_all(&mut disk, &mut state, &before);
    let earlier = folder.files();
    write_all(&mut disk, &mut state, &[last]);
    let later = folder.files();
    let mixed = edited(&later, STORE, |file| file.clone_from(&earlier[STORE]));
    assert!(!whole(&mixed, &state, "an earlier store"));
    let without_note: Files = mixed.into_iter().filter(|(name, _)| name != NOTE).collect();
    let folder = Scratch::with(&without_note);
    let restored = replayed(&open(&folder).unwrap().1);
    assert_eq!(restored.find(&before[0].path).unwrap().version, 2, "opens without the file, as the error says");
}

#[test]
fn an_acknowledgement_of_another_store_is_refused() {
    let (images, state) = images();
    let other = Scratch::new();
    drop(open(&other).unwrap());
    let mixed = edited(&images[0].1, NOTE, |note| note.clone_from(&other.files()[NOTE]));
    assert!(!whole(&mixed, &state, "the acknowledgement file of another store"));
}

#[test]
fn a_missing_store_is_not_read_as_an_empty_one() {
    let (images, state) = images();
    let files: Files = images[1].1.clone().into_iter().filter(|(name, _)| name != STORE).collect();
    assert!(!whole(&files, &state, "no store"));
}

#[test]
fn a_file_that_is_not_a_store_is_refused() {
    let (_, state) = images();
    let text = b"resources:\n  - mesh: shop\n".to_vec();
    assert!(!whole(&Files::from([(STORE.to_owned(), text)]), &state, "a text file"));
    assert!(!whole(&Files::from([(STORE.to_owned(), Vec::new())]), &state, "an empty file"));
    let folder = Scratch::with(&Files::new());
    let other = Database::create(folder.path().join(STORE)).unwrap();
    let write = other.begin_write().unwrap();
    write.open_table(TableDefinition::<u64, u64>::new("something")).unwrap().insert(1, 1).unwrap();
    write.commit().unwrap();
    drop(other);
    assert!(!whole(&folder.files(), &state, "another program's database"));
}

#[test]
fn a_newer_format_is_refused_with_any_other_change() {
    let (images, state) = images();
    let folder = Scratch::with(&images[1].1);
    let later = Database::create(folder.path().join(STORE)).unwrap();
    let write = later.begin_write().unwrap();
    write.open_table(crate::storage::seal::META).unwrap().insert("format", "2").unwrap();
    write.delete_table(TableDefinition::<&str, &[u8]>::new("resources")).unwrap();
    write.commit().unwrap();
    drop(later);
    assert!(!whole(&folder.files(), &state, "format 2"));
    let error = open(&folder).unwrap_err().to_string();
    assert!(error.contains("format \"2\"") && error.contains("Start the version that wrote it"), "{error}");
}

#[test]
fn a_draft_left_by_a_crash_is_ignored() {
    let folder = Scratch::with(&Files::from([
        ("meshwarden.redb.new".to_owned(), b"half".to_vec()),
        ("meshwarden.acknowledged.new".to_owned(), b"half".to_vec()),
    ]));
    assert_eq!(open(&folder).unwrap().1, []);
}
