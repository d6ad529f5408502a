//! Facts as compressed chunks that fit into items of a store.

use std::io::{self, Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::facts::ReplicaFacts;

/// The most instances of one chunk.
const INSTANCES: usize = 500;

/// The most bytes of instances in one chunk before compression. Versions and fingerprints compress to about a half, and an
/// item has at most 400 KB.
const BYTES: usize = 512 * 1024;

/// The most bytes of a chunk after decompression.
const MAX_UNPACKED: u64 = 64 << 20;

/// Encodes facts. The first chunk also has the left instances and the secrets of the replica. Equal facts have equal
/// chunks.
pub(crate) fn encode(mut facts: ReplicaFacts) -> io::Result<Vec<Vec<u8>>> {
    facts.instances.sort_by(|a, b| (&a.id, &a.instance, a.since).cmp(&(&b.id, &b.instance, b.since)));
    let instances = std::mem::take(&mut facts.instances);
    let (mut chunks, mut part, mut bytes) = (Vec::new(), facts, 0);
    for instance in instances {
        let length = serde_json::to_vec(&instance)?.len();
        if part.instances.len() >= INSTANCES || bytes + length > BYTES {
            chunks.push(pack(&std::mem::take(&mut part))?);
            bytes = 0;
        }
        bytes += length;
        part.instances.push(instance);
    }
    chunks.push(pack(&part)?);
    Ok(chunks)
}

/// Decodes the chunks of one replica, in order. The error says why this release cannot read them.
pub(crate) fn decode<'c>(chunks: impl IntoIterator<Item = &'c [u8]>) -> Result<ReplicaFacts, String> {
    let mut facts = ReplicaFacts::default();
    for chunk in chunks {
        let mut text = Vec::new();
        let read = DeflateDecoder::new(chunk).take(MAX_UNPACKED).read_to_end(&mut text);
        read.map_err(|error| error.to_string())?;
        let part: ReplicaFacts = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        facts.instances.extend(part.instances);
        facts.left.extend(part.left);
        facts.secrets.extend(part.secrets);
    }
    Ok(facts)
}

fn pack(part: &ReplicaFacts) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&serde_json::to_vec(part)?)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::facts::{InstanceFacts, LeftInstance};
    use super::*;

    #[test]
    fn facts_survive_their_chunks() {
        let instance = |number: usize| InstanceFacts {
            id: format!("mesh/m/virtualNode/n{number:04}"),
            instance: String::new(),
            peer: "10.0.0.1:1".to_owned(),
            since: jiff::Timestamp::UNIX_EPOCH,
            cluster: String::new(),
            user_agent: "envoy".to_owned(),
            protocol: "delta".to_owned(),
            snapshot: Some("v".to_owned()),
            up_to_date: true,
            types: BTreeMap::new(),
            secrets: BTreeMap::new(),
        };
        let left = LeftInstance {
            id: "mesh/m/virtualNode/gone".to_owned(),
            instance: "i".to_owned(),
            first: jiff::Timestamp::UNIX_EPOCH,
            since: jiff::Timestamp::UNIX_EPOCH,
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        for count in [0, 1, INSTANCES, INSTANCES + 1, 3 * INSTANCES] {
            let facts = ReplicaFacts {
                instances: (0..count).map(instance).collect(),
                left: vec![left.clone()],
                secrets: BTreeMap::from([("s".to_owned(), vec!["0a".to_owned()])]),
            };
            let chunks = encode(facts.clone()).unwrap();
            assert_eq!(chunks.len(), count.div_ceil(INSTANCES).max(1));
            assert_eq!(decode(chunks.iter().map(Vec::as_slice)).unwrap(), facts);
            assert!(count == 0 || decode([&chunks[0][1..]]).is_err(), "a damaged chunk is not readable");
        }
    }
}
