//! Failing devices, and power failures.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use redb::StorageBackend;
use redb::backends::FileBackend;

use super::*;
use crate::storage::disk::Device;

/// An operation on a file.
#[derive(Debug, Clone)]
enum DeviceStep {
    Resize(u64),
    Write(u64, Vec<u8>),
    Sync,
}

/// A file that records every operation, and fails from a certain one on.
#[derive(Debug)]
struct RecordingFile {
    file: FileBackend,
    log: Arc<Mutex<Log>>,
}

#[derive(Debug, Default)]
struct Log {
    steps: Vec<DeviceStep>,
    /// How many operations still succeed; `None` for all.
    left: Option<usize>,
}

impl RecordingFile {
    fn step(&self, step: DeviceStep) -> io::Result<()> {
        let mut log = self.log.lock().unwrap();
        match &mut log.left {
            Some(0) => return Err(io::Error::from(io::ErrorKind::StorageFull)),
            Some(left) => *left -= 1,
            None => {}
        }
        log.steps.push(step);
        Ok(())
    }
}

impl StorageBackend for RecordingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(DeviceStep::Resize(len))?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step(DeviceStep::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(DeviceStep::Write(offset, data.to_vec()))?;
        self.file.write(offset, data)
    }
}

fn device(log: &Arc<Mutex<Log>>) -> Box<Device> {
    let log = Arc::clone(log);
    Box::new(move |path: &Path| {
        let file = fs::File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let file = FileBackend::new(file).map_err(io::Error::other)?;
        Ok(Box::new(RecordingFile { file, log: Arc::clone(&log) }))
    })
}

#[test]
fn a_failed_operation_loses_no_acknowledged_write_and_restores_no_other() {
    for works in 0..120 {
        let log = Arc::default();
        let folder = Scratch::new();
        let (mut disk, _) = Disk::open_with_device(folder.path(), &realm(), device(&log)).unwrap();
        let mut state = State::new(Quotas::default());
        log.lock().unwrap().left = Some(works);
        let mut failures = 0;
        for (n, write) in shop().iter().enumerate() {
            let mut staged = state.clone();
            let written = staged.write(write, &stamp(n)).unwrap();
            if disk.commit(&written.records).is_err() {
                failures += 1;
                disk.commit(&written.records).expect_err("a commit succeeds only after a restart");
                disk.restart(&state.records()).expect_err("the device still fails");
                log.lock().unwrap().left = None;
                disk.restart(&state.records()).unwrap();
                disk.commit(&written.records).unwrap();
            }
            state = staged;
        }
        assert!(failures == 1 || works > 20, "{works}: {failures}");
        drop(disk);
        assert_eq!(replayed(&open(&folder).unwrap().1), state, "{works}");
    }
}

#[test]
fn a_failed_write_does_not_appear_after_the_next_one() {
    for works in 0..12 {
        let log = Arc::default();
        let folder = Scratch::new();
        let (mut disk, _) = Disk::open_with_device(folder.path(), &realm(), device(&log)).unwrap();
        let mut state = State::new(Quotas::default());
        write_all(&mut disk, &mut state, &shop());
        log.lock().unwrap().left = Some(works);
        let lost = [Record::Port("lost".to_owned(), Some(1))];
        let failed = disk.commit(&lost).is_err();
        log.lock().unwrap().left = None;
        if failed {
            disk.restart(&state.records()).unwrap();
        } else {
            state.apply(&lost[0]);
        }
        let crashed = Scratch::with(&folder.files());
        assert_eq!(replayed(&open(&crashed).unwrap().1), state, "{works}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The power fails at any operation: synced writes are in the file, and any subset of the later ones.
    #[test]
    fn acknowledged_writes_survive_a_power_failure(share in 0.0..1.0_f64, kept in prop::collection::vec(any::<bool>(), 64)) {
        let log: Arc<Mutex<Log>> = Arc::default();
        let folder = Scratch::new();
        drop(open(&folder).unwrap());
        let mut image = folder.files();
        let (mut disk, _) = Disk::open_with_device(folder.path(), &realm(), device(&log)).unwrap();
        let mut state = State::new(Quotas::default());
        // The number of operations, the state and the acknowledgement file after each commit.
        let note = |folder: &Scratch| folder.files()["meshwarden.acknowledged"].clone();
        let mut acknowledged = vec![(0, state.clone(), note(&folder))];
        for (n, write) in shop().iter().enumerate() {
            let written = state.write(write, &stamp(n)).unwrap();
            disk.commit(&written.records).unwrap();
            let steps = log.lock().unwrap().steps.len();
            acknowledged.push((steps, state.clone(), note(&folder)));
        }
        drop(disk);
        let steps = log.lock().unwrap().steps.clone();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a few hundred")]
        let end = (share * steps.len() as f64) as usize;
        let last = acknowledged.iter().rposition(|(steps, ..)| *steps <= end).unwrap();

        lose_power(image.get_mut("meshwarden.redb").unwrap(), &steps[..end], &kept);
        image.insert("meshwarden.acknowledged".to_owned(), acknowledged[last].2.clone());
        let after = Scratch::with(&image);
        let restored = replayed(&open(&after).unwrap().1);
        let may = acknowledged.iter().skip(last).take(2).any(|(_, state, _)| *state == restored);
        prop_assert!(may, "after {end} of {} steps, the last acknowledged commit was {last}", steps.len());
    }
}

/// The content of the file if only some of the operations since the last sync reached it.
fn lose_power(file: &mut Vec<u8>, steps: &[DeviceStep], kept: &[bool]) {
    let synced = steps.iter().rposition(|step| matches!(step, DeviceStep::Sync)).map_or(0, |at| at + 1);
    let mut kept = kept.iter().cycle();
    for (n, step) in steps.iter().enumerate() {
        if n >= synced && !kept.next().unwrap() {
            continue;
        }
        match step {
            DeviceStep::Resize(length) => file.resize(usize::try_from(*length).unwrap(), 0),
            DeviceStep::Write(offset, data) => {
                let offset = usize::try_from(*offset).unwrap();
                let end = offset + data.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[offset..end].copy_from_slice(data);
            }
            DeviceStep::Sync => {}
        }
    }
}

#[test]
fn a_power_failure_loses_only_writes_that_were_not_synced() {
    let steps =
        [DeviceStep::Write(0, vec![1]), DeviceStep::Sync, DeviceStep::Write(1, vec![2]), DeviceStep::Write(2, vec![3])];
    let mut file = vec![0; 3];
    lose_power(&mut file, &steps, &[false, true]);
    assert_eq!(file, [1, 0, 3]);
}
