//! Records as compressed bytes, for shared stores.

use std::io::{self, Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::encoding::{self, StoredEntry, Table};
use crate::state::Record;

/// The format of entries and snapshots. A release reads its format and the one before.
pub(crate) const FORMAT: u64 = 1;

/// The most bytes after decompression. A log that unpacks to more is not one of this program.
const MAX_UNPACKED: u64 = 1 << 30;

/// A record as a table, a key and a value; without a value, the key is removed.
type Row = (String, String, Option<String>);

/// Packs records: a JSON list of rows, compressed with deflate.
pub(crate) fn pack(records: &[Record]) -> io::Result<Vec<u8>> {
    let mut rows: Vec<Row> = Vec::with_capacity(records.len());
    for record in records {
        let StoredEntry { table, key, value } = encoding::encode(record)?;
        let value = value.map(String::from_utf8).transpose().map_err(io::Error::other)?;
        rows.push((table.name().to_owned(), key, value));
    }
    deflate(&serde_json::to_vec(&rows)?)
}

/// Packs the change events of an entry: a JSON list of texts, compressed with deflate.
pub(super) fn pack_events(events: &[String]) -> io::Result<Vec<u8>> {
    deflate(&serde_json::to_vec(events)?)
}

/// Unpacks change events, or returns the reason why this release cannot read them.
pub(super) fn unpack_events(bytes: &[u8]) -> Result<Vec<String>, String> {
    serde_json::from_slice(&inflate(bytes)?).map_err(|error| error.to_string())
}

fn deflate(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let read = DeflateDecoder::new(bytes).take(MAX_UNPACKED).read_to_end(&mut text);
    read.map_err(|error| error.to_string())?;
    Ok(text)
}

/// Unpacks records, or returns the reason why this release cannot read them.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Vec<Record>, String> {
    let rows: Vec<Row> = serde_json::from_slice(&inflate(bytes)?).map_err(|error| error.to_string())?;
    rows.into_iter().map(record).collect()
}

fn record((table, key, value): Row) -> Result<Record, String> {
    let known = Table::ALL.into_iter().find(|known| known.name() == table);
    let table = known.ok_or_else(|| format!("{table:?} is not a known kind of record"))?;
    match value {
        Some(value) => encoding::decode(table, &key, value.as_bytes()),
        None => encoding::removed(table, &key),
    }
    .map_err(|reason| format!("{} {key:?}: {reason}", table.name()))
}
