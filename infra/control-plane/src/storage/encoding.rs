//! Records as bytes: JSON documents under text keys, so that what is on disk can be read with common tools.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use mesh::name::ResourcePath;
use mesh::resource::{Tag, Tags};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::state::{Action, ClientToken, Record, Remembered, Resource, Status, ValidSpec};

/// Where records of one sort are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Table {
    /// Resources by their path.
    Resources,
    /// Remembered answers by their number.
    Remembered,
    /// Listener ports by what they are given to.
    Ports,
}

impl Table {
    pub(super) const ALL: [Self; 3] = [Self::Resources, Self::Remembered, Self::Ports];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Resources => "resources",
            Self::Remembered => "remembered",
            Self::Ports => "ports",
        }
    }
}

/// What is to be under a key; nothing when `value` is `None`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) table: Table,
    pub(super) key: String,
    pub(super) value: Option<Vec<u8>>,
}

/// The entry that keeps a record.
pub(super) fn encode(record: &Record) -> Result<Entry, serde_json::Error> {
    let (table, key, value) = match record {
        Record::Resource(resource) => {
            let value = serde_json::to_vec(&ResourceDocument::of(resource))?;
            (Table::Resources, resource.path.to_string(), Some(value))
        }
        Record::Gone(path) => (Table::Resources, path.to_string(), None),
        Record::Remembered(number, remembered) => {
            (Table::Remembered, number_key(*number), Some(serde_json::to_vec(&AnswerDocument::of(remembered))?))
        }
        Record::Forgotten(number) => (Table::Remembered, number_key(*number), None),
        Record::Port(key, port) => (Table::Ports, key.clone(), port.map(|port| port.to_string().into_bytes())),
    };
    Ok(Entry { table, key, value })
}

/// The record that an entry keeps, or why it keeps none.
pub(super) fn decode(table: Table, key: &str, value: &[u8]) -> Result<Record, String> {
    match table {
        Table::Resources => {
            let document: ResourceDocument<Value> = parse(value)?;
            let resource = document.resource()?;
            if resource.path.to_string() != key {
                return Err(format!("it is about {}", resource.path));
            }
            Ok(Record::Resource(Arc::new(resource)))
        }
        Table::Remembered => {
            let number = u64::from_str_radix(key, 16).map_err(|error| error.to_string())?;
            let document: AnswerDocument<Value> = parse(value)?;
            Ok(Record::Remembered(number, Arc::new(document.remembered()?)))
        }
        Table::Ports => Ok(Record::Port(key.to_owned(), Some(parse(value)?))),
    }
}

/// All of one length, so that keys have the order of their numbers.
fn number_key(number: u64) -> String {
    format!("{number:016x}")
}

fn parse<T: for<'v> Deserialize<'v>>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

/// A resource, its spec borrowed when written and owned when read.
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
}

impl<'r> ResourceDocument<&'r Value> {
    fn of(resource: &'r Resource) -> Self {
        Self {
            path: resource.path.to_string(),
            uid: resource.uid.to_string(),
            version: resource.version,
            created_at: resource.created_at,
            last_updated_at: resource.last_updated_at,
            spec: resource.spec.value(),
            tags: resource.tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        }
    }
}

impl ResourceDocument<Value> {
    /// A deleted resource is neither kept nor remembered, so this one exists.
    fn resource(self) -> Result<Resource, String> {
        let path = ResourcePath::parse(&self.path).map_err(|error| error.to_string())?;
        let spec = ValidSpec::parse(&path, self.spec).map_err(|error| error.to_string())?;
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
        })
    }
}

/// A remembered answer. The spec that was asked for is the one in the answer, so only what else was asked is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct AnswerDocument<V> {
    token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    if_version: Option<u64>,
    asked: Asked,
    answer: ResourceDocument<V>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Asked {
    Create { tags: Vec<Tag> },
    Update,
    Keep,
    Delete,
    Tag { tags: Vec<Tag> },
    Untag { keys: BTreeSet<String> },
}

impl<'r> AnswerDocument<&'r Value> {
    fn of(remembered: &'r Remembered) -> Self {
        let asked = match &remembered.action {
            Action::Create { tags, .. } => Asked::Create { tags: tags.clone() },
            Action::Update { spec: Some(_) } => Asked::Update,
            Action::Update { spec: None } => Asked::Keep,
            Action::Delete => Asked::Delete,
            Action::Tag(tags) => Asked::Tag { tags: tags.clone() },
            Action::Untag(keys) => Asked::Untag { keys: keys.clone() },
        };
        Self {
            token: remembered.token.to_string(),
            if_version: remembered.if_version,
            asked,
            answer: ResourceDocument::of(&remembered.answer),
        }
    }
}

impl AnswerDocument<Value> {
    fn remembered(self) -> Result<Remembered, String> {
        let answer = self.answer.resource()?;
        let spec = Arc::clone(&answer.spec);
        let action = match self.asked {
            Asked::Create { tags } => Action::Create { spec, tags },
            Asked::Update => Action::Update { spec: Some(spec) },
            Asked::Keep => Action::Update { spec: None },
            Asked::Delete => Action::Delete,
            Asked::Tag { tags } => Action::Tag(tags),
            Asked::Untag { keys } => Action::Untag(keys),
        };
        let token = ClientToken::parse(&self.token).map_err(|error| error.to_string())?;
        Ok(Remembered { token, action, if_version: self.if_version, answer: Arc::new(answer) })
    }
}
