//! Files that are not what was written: refused and left alone, or whole.

use std::collections::BTreeMap;

use proptest::prelude::*;
use redb::{Database, TableDefinition};

use super::*;

const STORE: &str = "meshwarden.redb";
const NOTE: &str = "meshwarden.acknowledged";

type Files = BTreeMap<String, Vec<u8>>;

/// A store with a shop in it, as it is after a crash and after an orderly end, and its state.
fn images() -> ([(&'static str, Files); 2], State) {
    let folder = Scratch::new();
    let mut state = State::new(Quotas::default());
    let (mut disk, _) = open(&folder).unwrap();
    write_all(&mut disk, &mut state, &shop());
    let crashed = folder.files();
    drop(disk);
    ([("crash", crashed), ("end", folder.files())], state)
}

/// Opens the files: true when they give exactly the state, false when they are refused. Anything else fails.
fn whole(files: &Files, state: &State, what: &str) -> bool {
    let folder = Scratch::with(files);
    match open(&folder) {
        Ok((_, records)) => {
            assert_eq!(&played(&records), state, "{what}: served, and not what was acknowledged");
            true
        }
        Err(error) => {
            let error = error.to_string();
            let named = error.contains(&folder.path().join(STORE).display().to_string());
            assert!(named, "{what}: does not say where: {error}");
            assert!(
                ["put a copy", "put it back", "move it away", "start the version"]
                    .iter()
                    .any(|mend| error.contains(mend)),
                "{error}"
            );
            let mut left = folder.files();
            left.remove("meshwarden.lock");
            let given: Files = files.clone().into_iter().filter(|(name, _)| name != "meshwarden.lock").collect();
            assert!(left == given, "{what}: refused, and changed");
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
            assert!(refused > 40, "{when}: {name}: {refused} are refused");
        }
    }
}

#[test]
fn one_wrong_bit_anywhere_is_refused_or_harmless() {
    let (images, state) = images();
    for (when, files) in &images {
        for name in [STORE, NOTE] {
            let length = files[name].len();
            // Every byte of the head, where the roots of the last two commits are; then ever fewer.
            let head = 0..length.min(320);
            let places = head.chain((320..length.min(60_000)).step_by(397)).chain((60_000..length).step_by(49_999));
            let refused = |at: usize| {
                let files = edited(files, name, |file| file[at] ^= 1 << (at % 8));
                !whole(&files, &state, &format!("{when}: {name} wrong at {at}"))
            };
            let refused = count(&places.collect::<Vec<_>>(), refused);
            assert!(refused > 70, "{when}: {name}: {refused} are refused");
        }
    }
}

/// How many of these are so. Most of the time is spent waiting for the disk, so some at once.
fn count(places: &[usize], is_so: impl Fn(usize) -> bool + Sync) -> usize {
    std::thread::scope(|scope| {
        let parts: Vec<_> = places
            .chunks(places.len().div_ceil(8))
            .map(|part| scope.spawn(|| part.iter().filter(|place| is_so(**place)).count()))
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_stretch_of_other_bytes_is_refused_or_harmless(
        (crash, at, length, byte) in (any::<bool>(), 0..60_000_usize, 1..5_000_usize, prop::option::of(any::<u8>()))
    ) {
        let (images, state) = images();
        let (when, files) = &images[usize::from(crash)];
        let files = edited(files, STORE, |file| {
            let at = at % file.len();
            for (n, place) in file.iter_mut().enumerate().skip(at).take(length) {
                *place = byte.unwrap_or_else(|| u8::try_from(n * 31 % 251).unwrap());
            }
        });
        whole(&files, &state, when);
    }
}

#[test]
fn records_changed_behind_its_back_are_refused() {
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
        assert!(!whole(&folder.files(), &state, "a record changed"));
    }
}

#[test]
fn an_earlier_store_under_a_later_note_is_refused() {
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
    assert_eq!(played(&open(&folder).unwrap().1).find(&before[0].path).unwrap().version, 2, "as the message says");
}

#[test]
fn a_note_of_another_store_is_refused() {
    let (images, state) = images();
    let other = Scratch::new();
    drop(open(&other).unwrap());
    let mixed = edited(&images[0].1, NOTE, |note| note.clone_from(&other.files()[NOTE]));
    assert!(!whole(&mixed, &state, "another note"));
}

#[test]
fn a_lost_store_is_not_an_empty_one() {
    let (images, state) = images();
    let files: Files = images[1].1.clone().into_iter().filter(|(name, _)| name != STORE).collect();
    assert!(!whole(&files, &state, "no store"));
}

#[test]
fn what_is_no_store_is_refused() {
    let (_, state) = images();
    let text = b"resources:\n  - mesh: shop\n".to_vec();
    assert!(!whole(&Files::from([(STORE.to_owned(), text)]), &state, "a text"));
    assert!(!whole(&Files::from([(STORE.to_owned(), Vec::new())]), &state, "nothing"));
    let folder = Scratch::with(&Files::new());
    let other = Database::create(folder.path().join(STORE)).unwrap();
    let write = other.begin_write().unwrap();
    write.open_table(TableDefinition::<u64, u64>::new("something")).unwrap().insert(1, 1).unwrap();
    write.commit().unwrap();
    drop(other);
    assert!(!whole(&folder.files(), &state, "another program's database"));
}

#[test]
fn a_newer_format_is_refused_whatever_else_it_changed() {
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
    assert!(error.contains("format \"2\"") && error.contains("start the version that wrote it"), "{error}");
}

#[test]
fn a_draft_that_a_crash_left_is_no_store() {
    let folder = Scratch::with(&Files::from([
        ("meshwarden.redb.new".to_owned(), b"half".to_vec()),
        ("meshwarden.acknowledged.new".to_owned(), b"half".to_vec()),
    ]));
    assert_eq!(open(&folder).unwrap().1, []);
}
