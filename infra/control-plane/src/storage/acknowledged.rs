//! The acknowledgement file. A store falls back to its previous commit if the last one is incomplete. That is right
//! after a crash in the middle of a commit, and a silent loss if the commit was answered. The file distinguishes the
//! two.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// One line of fixed length: the store, the commit, a checksum.
#[derive(Debug)]
pub(super) struct Acknowledged {
    file: File,
    store: Uuid,
}

impl Acknowledged {
    /// Creates the file.
    pub(super) fn create(path: &Path, store: Uuid, sequence: u64) -> io::Result<()> {
        let temporary = path.with_extension("acknowledged.new");
        let mut file = File::create(&temporary)?;
        file.write_all(line(store, sequence).as_bytes())?;
        file.sync_all()?;
        fs::rename(temporary, path)
    }

    /// Reads the store and the last acknowledged commit from the file.
    pub(super) fn read(path: &Path) -> io::Result<Result<(Uuid, u64), &'static str>> {
        let text = fs::read(path)?;
        Ok(parse(&text).ok_or("its content is invalid"))
    }

    pub(super) fn open(path: &Path, store: Uuid) -> io::Result<Self> {
        Ok(Self { file: File::options().write(true).open(path)?, store })
    }

    /// Records a commit, which is durable by now. The file itself is not synced: it survives the process at once, and after a
    /// power failure an older sequence only weakens the check.
    pub(super) fn record(&self, sequence: u64) -> io::Result<()> {
        self.file.write_all_at(line(self.store, sequence).as_bytes(), 0)
    }
}

fn line(store: Uuid, sequence: u64) -> String {
    let content = format!("{store} {sequence:020}");
    format!("{content} {}\n", check(&content))
}

fn parse(text: &[u8]) -> Option<(Uuid, u64)> {
    let (content, found) = std::str::from_utf8(text).ok()?.strip_suffix('\n')?.rsplit_once(' ')?;
    if check(content) != found {
        return None;
    }
    let (store, sequence) = content.split_once(' ')?;
    Some((store.parse().ok()?, sequence.parse().ok()?))
}

fn check(content: &str) -> String {
    let hash = Sha256::digest(content.as_bytes());
    let head = hash.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
    format!("{head:016x}")
}
