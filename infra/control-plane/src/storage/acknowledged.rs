//! The note of what was acknowledged. A store falls back to its last but one commit when the last one looks torn: right
//! after a crash in the middle of a commit, and a silent loss when that commit was answered. The note tells these apart.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// One line of a fixed length: the store, the commit, a check.
#[derive(Debug)]
pub(super) struct Acknowledged {
    file: File,
    store: Uuid,
}

impl Acknowledged {
    /// Puts a first note at a place.
    pub(super) fn create(path: &Path, store: Uuid, sequence: u64) -> io::Result<()> {
        let draft = path.with_extension("acknowledged.new");
        let mut file = File::create(&draft)?;
        file.write_all(line(store, sequence).as_bytes())?;
        file.sync_all()?;
        fs::rename(draft, path)
    }

    /// The note at a place: the store that it is about, and the commit.
    pub(super) fn read(path: &Path) -> io::Result<Result<(Uuid, u64), &'static str>> {
        let text = fs::read(path)?;
        Ok(parse(&text).ok_or("it is not what was written"))
    }

    pub(super) fn open(path: &Path, store: Uuid) -> io::Result<Self> {
        Ok(Self { file: File::options().write(true).open(path)?, store })
    }

    /// Notes a commit, which is durable by now. The note itself is not waited for: it survives the process at once, and
    /// one that the machine loses in a power failure only says less than it could.
    pub(super) fn note(&self, sequence: u64) -> io::Result<()> {
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
