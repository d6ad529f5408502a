//! Records as bytes: JSON documents under text keys, readable with common tools.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use mesh::name::ResourcePath;
use mesh::resource::{Tag, Tags};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::state::{
    Action, ClientToken, KnownSignature, Record, Remembered, Resource, Revocation, RevokedSubject, SignatureHash,
    Status, ValidSpec, WriteSignature,
};

/// The tables of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    /// Resources by their path.
    Resources,
    /// Remembered answers by their number.
    Remembered,
    /// Listener ports by their use.
    Ports,
    /// The signatures of accepted writes.
    Signatures,
    /// Revoked node tokens.
    Revocations,
}

impl Table {
    /// Every table.
    pub(crate) const ALL: [Self; 5] =
        [Self::Resources, Self::Remembered, Self::Ports, Self::Signatures, Self::Revocations];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Resources => "resources",
            Self::Remembered => "remembered",
            Self::Ports => "ports",
            Self::Signatures => "signatures",
            Self::Revocations => "revocations",
        }
    }
}

/// The value to store under a key; `None` removes the key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredEntry {
    pub(crate) table: Table,
    pub(crate) key: String,
    pub(crate) value: Option<Vec<u8>>,
}

/// The entry of a record.
pub(crate) fn encode(record: &Record) -> Result<StoredEntry, serde_json::Error> {
    let (table, key, value) = match record {
        Record::Resource(resource) => {
            let value = serde_json::to_vec(&ResourceDocument::from_resource(resource))?;
            (Table::Resources, resource.path.to_string(), Some(value))
        }
        Record::Deleted(path) => (Table::Resources, path.to_string(), None),
        Record::Remembered(number, remembered) => {
            let value = serde_json::to_vec(&AnswerDocument::from_remembered(remembered))?;
            (Table::Remembered, number_key(*number), Some(value))
        }
        Record::Forgotten(number) => (Table::Remembered, number_key(*number), None),
        Record::Signature(known) => {
            let KnownSignature { signature, at } = &**known;
            let document = SignatureDocument { at: *at, until: signature.until, owner: signature.owner.clone() };
            (Table::Signatures, signature.hash.hexadecimal(), Some(serde_json::to_vec(&document)?))
        }
        Record::SignatureExpired(hash) => (Table::Signatures, hash.hexadecimal(), None),
        Record::Revoked(revocation) => {
            let document = RevocationDocument { at: revocation.at, until: revocation.until };
            (Table::Revocations, revocation.subject.to_string(), Some(serde_json::to_vec(&document)?))
        }
        Record::RevocationEnded(subject) => (Table::Revocations, subject.to_string(), None),
        Record::Port(key, port) => (Table::Ports, key.clone(), port.map(|port| port.to_string().into_bytes())),
    };
    Ok(StoredEntry { table, key, value })
}

/// The record of an entry, or the reason why the entry is invalid. No rule of the API is checked: another release may
/// have accepted what this one would refuse, and every replica must be able to apply the same entry.
pub(crate) fn decode(table: Table, key: &str, value: &[u8]) -> Result<Record, String> {
    match table {
        Table::Resources => {
            let document: ResourceDocument<Value> = parse(value)?;
            let resource = document.resource()?;
            if resource.path.to_string() != key {
                return Err(format!("the document is that of {}", resource.path));
            }
            Ok(Record::Resource(Arc::new(resource)))
        }
        Table::Remembered => {
            let number = u64::from_str_radix(key, 16).map_err(|error| error.to_string())?;
            let document: AnswerDocument<Value> = parse(value)?;
            Ok(Record::Remembered(number, Arc::new(document.remembered()?)))
        }
        Table::Ports => Ok(Record::Port(key.to_owned(), Some(parse(value)?))),
        Table::Signatures => {
            let SignatureDocument { at, until, owner } = parse(value)?;
            let signature = WriteSignature { hash: signature_hash(key)?, until, owner };
            Ok(Record::Signature(Arc::new(KnownSignature { signature, at })))
        }
        Table::Revocations => {
            let RevocationDocument { at, until } = parse(value)?;
            Ok(Record::Revoked(Arc::new(Revocation { subject: revoked_subject(key)?, at, until })))
        }
    }
}

/// The record that removes a key.
pub(crate) fn removed(table: Table, key: &str) -> Result<Record, String> {
    match table {
        Table::Resources => ResourcePath::parse(key).map(Record::Deleted).map_err(|error| error.to_string()),
        Table::Remembered => u64::from_str_radix(key, 16).map(Record::Forgotten).map_err(|error| error.to_string()),
        Table::Ports => Ok(Record::Port(key.to_owned(), None)),
        Table::Signatures => signature_hash(key).map(Record::SignatureExpired),
        Table::Revocations => revoked_subject(key).map(Record::RevocationEnded),
    }
}

fn signature_hash(key: &str) -> Result<SignatureHash, String> {
    SignatureHash::parse(key).ok_or_else(|| "the key is not a signature".to_owned())
}

fn revoked_subject(key: &str) -> Result<RevokedSubject, String> {
    RevokedSubject::parse(key).ok_or_else(|| "the key is not the subject of a revocation".to_owned())
}

/// The times of a revocation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RevocationDocument {
    at: Timestamp,
    until: Timestamp,
}

/// The use of a signature.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SignatureDocument {
    at: Timestamp,
    until: Timestamp,
    owner: String,
}

/// Keys of one length sort like their numbers.
fn number_key(number: u64) -> String {
    format!("{number:016x}")
}

fn parse<T: for<'v> Deserialize<'v>>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

/// A resource; it borrows its spec when written and owns it when read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ResourceDocument<V> {
    path: String,
    uid: String,
    version: u64,
    created_at: Timestamp,
    last_updated_at: Timestamp,
    spec: V,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    written_by: Option<String>,
}

impl<'r> ResourceDocument<&'r Value> {
    fn from_resource(resource: &'r Resource) -> Self {
        Self {
            path: resource.path.to_string(),
            uid: resource.uid.to_string(),
            version: resource.version,
            created_at: resource.created_at,
            last_updated_at: resource.last_updated_at,
            spec: resource.spec.value(),
            tags: resource.tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            written_by: resource.written_by.as_deref().map(str::to_owned),
        }
    }
}

impl ResourceDocument<Value> {
    /// The resource. Deleted resources are neither stored nor remembered, so its status is active.
    fn resource(self) -> Result<Resource, String> {
        let path = ResourcePath::parse(&self.path).map_err(|error| error.to_string())?;
        let spec = ValidSpec::stored(&path, self.spec);
        let mut tags = Tags::default();
        let pairs = self.tags.into_iter().map(|(key, value)| serde_json::json!({"key": key, "value": value}));
        let pairs: Result<Vec<Tag>, _> = pairs.map(serde_json::from_value).collect();
        tags.merge(pairs.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
        Ok(Resource {
            path,
            uid: self.uid.parse().map_err(|error| format!("uid: {error}"))?,
            version: self.version,
            created_at: self.created_at,
            last_updated_at: self.last_updated_at,
            status: Status::Active,
            spec: Arc::new(spec),
            tags,
            written_by: self.written_by.map(Arc::from),
        })
    }
}

/// A remembered answer. The requested spec is that of the answer, so only the rest of the request is stored.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AnswerDocument<V> {
    token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    if_version: Option<u64>,
    #[serde(rename = "asked")]
    action: ActionDocument,
    answer: ResourceDocument<V>,
}

/// The change of a remembered request, without its spec.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum ActionDocument {
    Create { tags: Vec<Tag> },
    Update,
    Keep,
    Delete,
    Tag { tags: Vec<Tag> },
    Untag { keys: BTreeSet<String> },
}

impl<'r> AnswerDocument<&'r Value> {
    fn from_remembered(remembered: &'r Remembered) -> Self {
        let action = match &remembered.action {
            Action::Create { tags, .. } => ActionDocument::Create { tags: tags.clone() },
            Action::Update { spec: Some(_) } => ActionDocument::Update,
            Action::Update { spec: None } => ActionDocument::Keep,
            Action::Delete => ActionDocument::Delete,
            Action::Tag(tags) => ActionDocument::Tag { tags: tags.clone() },
            Action::Untag(keys) => ActionDocument::Untag { keys: keys.clone() },
        };
        Self {
            token: remembered.token.to_string(),
            if_version: remembered.if_version,
            action,
            answer: ResourceDocument::from_resource(&remembered.answer),
        }
    }
}

impl AnswerDocument<Value> {
    fn remembered(self) -> Result<Remembered, String> {
        let answer = self.answer.resource()?;
        let spec = Arc::clone(&answer.spec);
        let action = match self.action {
            ActionDocument::Create { tags } => Action::Create { spec, tags },
            ActionDocument::Update => Action::Update { spec: Some(spec) },
            ActionDocument::Keep => Action::Update { spec: None },
            ActionDocument::Delete => Action::Delete,
            ActionDocument::Tag { tags } => Action::Tag(tags),
            ActionDocument::Untag { keys } => Action::Untag(keys),
        };
        let token = ClientToken::parse(&self.token).map_err(|error| error.to_string())?;
        Ok(Remembered { token, action, if_version: self.if_version, answer: Arc::new(answer) })
    }
}
