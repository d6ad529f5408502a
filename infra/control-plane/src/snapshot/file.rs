//! The file of a snapshot: lines of JSON, readable with common tools.
//!
//! The first line describes the snapshot, each following one is a record as `[table, key, value]`, and the last one has the
//! SHA-256 of all lines before it.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use mesh::name::AccountId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::content::StoreSnapshot;
use super::error::SnapshotError;
use crate::state::{Realm, Record, Region};
use crate::storage::encoding::{self, StoredEntry, Table};
use crate::storage::{Digest, Sequence};

/// The format of the file, incremented by each change that an older release would misread.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    #[serde(rename = "meshwardenSnapshot")]
    format: u32,
    release: String,
    account: String,
    region: String,
    store: String,
    sequence: Sequence,
    time: Timestamp,
    records: u64,
    digest: String,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trailer {
    sha256: String,
}

/// The bytes of a snapshot.
pub(super) fn encode(snapshot: &StoreSnapshot) -> Result<Vec<u8>, SnapshotError> {
    let StoreSnapshot { realm, store, sequence, time, digest, records } = snapshot;
    let header = Header {
        format: FORMAT,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        account: realm.account().to_string(),
        region: realm.region().as_str().to_owned(),
        store: store.clone(),
        sequence: *sequence,
        time: *time,
        records: digest.records(),
        digest: digest.hexadecimal(),
    };
    let mut bytes = line(&header)?;
    for record in records {
        let StoredEntry { table, key, value } = encoding::encode(record).map_err(SnapshotError::encode)?;
        let Some(value) = value else { continue };
        let value = String::from_utf8(value).map_err(SnapshotError::encode)?;
        bytes.extend(line(&(table.name(), key, value))?);
    }
    let trailer = Trailer { sha256: checksum(&bytes) };
    bytes.extend(line(&trailer)?);
    Ok(bytes)
}

fn line(value: &impl Serialize) -> Result<Vec<u8>, SnapshotError> {
    let mut line = serde_json::to_vec(value).map_err(SnapshotError::encode)?;
    line.push(b'\n');
    Ok(line)
}

fn checksum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// The snapshot of these bytes, or the reason why they are none.
pub(super) fn decode(bytes: &[u8]) -> Result<StoreSnapshot, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    let first = text.split('\n').next().unwrap_or_default();
    let header: Header = serde_json::from_str(first).map_err(|error| format!("its first line: {error}"))?;
    if header.format != FORMAT {
        return Err(format!("it has format {}, and this release reads {FORMAT}", header.format));
    }
    let content = text.strip_suffix('\n').ok_or("its last line is cut off")?;
    let end = content.rfind('\n').ok_or("it has one line only")?.saturating_add(1);
    let (content, last) = content.split_at_checked(end).unwrap_or_default();
    let trailer: Trailer = serde_json::from_str(last).map_err(|_| "it has no checksum at its end".to_owned())?;
    if trailer.sha256 != checksum(content.as_bytes()) {
        return Err("its content does not match its checksum".to_owned());
    }
    let records = content.lines().skip(1).map(record).collect::<Result<Vec<_>, _>>()?;
    let account = AccountId::parse(&header.account).map_err(|error| error.to_string())?;
    let region = Region::parse(&header.region).map_err(|error| error.to_string())?;
    let at = (header.sequence, header.time);
    let snapshot = StoreSnapshot::new(Realm::new(account, region), header.store, at, &records);
    let snapshot = snapshot.map_err(|error| error.to_string())?;
    if Digest::parse(header.records, &header.digest) != Some(snapshot.digest) {
        return Err("its records do not match its digest".to_owned());
    }
    Ok(snapshot)
}

fn record(line: &str) -> Result<Record, String> {
    let (table, key, value): (String, String, String) =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    let known = Table::ALL.into_iter().find(|known| known.name() == table);
    let table = known.ok_or_else(|| format!("{table:?} is not a known kind of record"))?;
    encoding::decode(table, &key, value.as_bytes()).map_err(|reason| format!("{} {key:?}: {reason}", table.name()))
}

/// Writes a file next to the path, and moves it there once it is on the disk.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), SnapshotError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", Uuid::new_v4()));
    let draft = path.with_file_name(name);
    let written = (|| {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            Some(_) | None => Ok(()),
        }
    })();
    written.map_err(|error| {
        // The draft is useless, and the first error is the one to report.
        let _ = fs::remove_file(&draft);
        SnapshotError::system("write", path)(error)
    })
}
