//! The documents of route-failover: a route, a virtual node that no route has as a target, and the function's memory.

use std::collections::BTreeMap;

use decisions::failover::{
    Edit, FunctionRecord, HeldAlarm, Intent as RouteIntent, Memory as RouteMemory, NodeRecord, OwedNote, RouteRecord,
    Shift,
};
use decisions::weights::StoredLayers;
use jiff::Timestamp;
use mesh::failures::Failures;
use mesh::name::VirtualNodeName;
use mesh::split::WeightSplit;
use mesh::watch::Watch;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::StateKey;
use crate::document::{Document, Intent, Message, MessageContent, Reported};
use crate::format_0::not_in_format_0;
use crate::plain::{parked, unpark};
use crate::stored::{DocumentRecord, read_record};

/// The state of a route in format 1. Members of other writers of weights are kept as they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteState {
    /// The state of the failover.
    pub failover: FailoverState,
    /// The layers of rollouts and drills.
    #[serde(default, skip_serializing_if = "StoredLayers::is_default")]
    pub layers: StoredLayers,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// The state of a route's failover in format 1. The members have the meaning of those of [`RouteRecord`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverState {
    /// The id that distinguishes the route from an earlier or later one of the same name.
    pub uid: String,
    /// The newest version of the route that was read or written.
    pub version: u64,
    /// The split as it was last read or written.
    pub split: WeightSplit,
    /// The progress of the failover.
    pub shift: Shift,
    /// The write that was begun and has no known outcome. Its plan has an entry in the document's intents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<FailoverIntent>,
    /// The operator's edit that wins over alarms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edit: Option<Edit>,
    /// When each node was drained, within the flap window.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drains: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    /// How many restore points the route has had.
    pub epoch: u64,
    /// Whether the restore tag may still be on the route although no weight is shifted.
    #[serde(default)]
    pub stale_tag: bool,
    /// Whether the restore tag may be missing.
    #[serde(default)]
    pub tag_missing: bool,
    /// When the newest release that was followed was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Timestamp>,
    /// When each node was given the probe share without proof, within the policy's window.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trials: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
}

/// The write of weights that was begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailoverIntent {
    /// The id of the plan.
    pub plan: String,
    /// The split that the plan makes.
    pub to: WeightSplit,
    /// The version of the route that the plan is based on.
    pub version: u64,
    /// The progress of the failover after the write.
    pub then: Shift,
    /// The drains after the write.
    #[serde(default)]
    pub drains: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    /// The probes without proof after the write.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trials: BTreeMap<VirtualNodeName, Vec<Timestamp>>,
    /// The layers of rollouts and drills after the write; absent if the write leaves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Box<StoredLayers>>,
}

/// The state of route-failover's memory in format 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FailoverMemory {
    /// The alarms that are in `ALARM` and lead to no decision, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub alarms: BTreeMap<String, HeldAlarm>,
    /// The calls that fail.
    pub failures: Failures,
    /// The plans that were made and not executed, by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub plans: BTreeMap<String, Watch>,
    /// Members that a newer version has added. They survive a write.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl DocumentRecord for RouteRecord {
    type State = RouteState;

    // Routes counted from 1; 2 has a rollout or a drill, which older versions must not act on.
    const FORMAT_0: u64 = 2;

    fn stored_format(&self) -> Option<u32> {
        Some(RouteRecord::stored_format(self))
    }

    fn into_document(mut self, key: &StateKey) -> Document<RouteState> {
        let subject = key.subject();
        let (mut intents, mut reported, mut outbox) = unpark(&mut self.unknown);
        let intent = self.intent.map(|intent| {
            let RouteIntent { plan, to, version, then, drains, trials, note, layers } = intent;
            let entry = Intent { plan: plan.clone(), begun_at: None, notice: note.map(change) };
            intents.insert(subject.clone(), entry);
            FailoverIntent { plan, to, version, then, drains, trials, layers }
        });
        outbox.extend(self.owed.map(|owed| Message {
            id: format!("change {}", owed.code),
            at: None,
            claimed_until: None,
            content: change(owed),
        }));
        let last = Reported { decision: self.last_notification, condition: None, pages: self.paged, watch: self.watch };
        if !last.is_empty() {
            reported.insert(subject, last);
        }
        let failover = FailoverState {
            uid: self.uid,
            version: self.version,
            split: self.split,
            shift: self.shift,
            intent,
            edit: self.edit,
            drains: self.drains,
            epoch: self.epoch,
            stale_tag: self.stale_tag,
            tag_missing: self.tag_missing,
            released: self.released,
            trials: self.trials,
        };
        let state = RouteState { failover, layers: self.layers, unknown: self.unknown };
        Document { format: 1, state, intents, reported, outbox }
    }

    fn from_document(document: Document<RouteState>, key: &StateKey) -> Result<Self, String> {
        let Document { state, mut intents, mut reported, mut outbox, .. } = document;
        let RouteState { failover, layers, unknown } = state;
        let subject = key.subject();
        let Reported { decision, condition: _, pages, watch } = reported.remove(&subject).unwrap_or_default();
        let owed_at = outbox.iter().position(|message| matches!(message.content, MessageContent::Change { .. }));
        let owed = owed_at.and_then(|at| note(outbox.remove(at).content));
        let entry = intents.remove(&subject);
        let intent = failover.intent.map(|intent| {
            let FailoverIntent { plan, to, version, then, drains, trials, layers } = intent;
            let note = entry.and_then(|entry| entry.notice).and_then(note);
            RouteIntent { plan, to, version, then, drains, trials, note, layers }
        });
        let mut record = Self {
            format: 1,
            uid: failover.uid,
            version: failover.version,
            split: failover.split,
            shift: failover.shift,
            intent,
            edit: failover.edit,
            drains: failover.drains,
            epoch: failover.epoch,
            stale_tag: failover.stale_tag,
            tag_missing: failover.tag_missing,
            released: failover.released,
            owed,
            last_notification: decision,
            paged: pages,
            trials: failover.trials,
            watch,
            layers,
            unknown: parked(unknown, &intents, &reported, &outbox),
        };
        record.format = record.stored_format();
        Ok(record)
    }
}

impl DocumentRecord for NodeRecord {
    type State = ();

    fn into_document(self, key: &StateKey) -> Document<()> {
        let mut document = Document::new(());
        let last = Reported { decision: self.last_notification, watch: self.watch, ..Reported::default() };
        if !last.is_empty() {
            document.reported.insert(key.subject(), last);
        }
        document
    }

    fn from_document(mut document: Document<()>, key: &StateKey) -> Result<Self, String> {
        let Reported { decision: last_notification, watch, .. } =
            document.reported.remove(&key.subject()).unwrap_or_default();
        // A notice of a node is sent again by the next decision, and a node has no plans.
        if document.is_state_only() { Ok(Self { last_notification, watch }) } else { Err(not_in_format_0()) }
    }
}

impl DocumentRecord for FunctionRecord {
    type State = FailoverMemory;

    fn into_document(mut self, _: &StateKey) -> Document<FailoverMemory> {
        let (intents, reported, outbox) = unpark(&mut self.unknown);
        let Self { alarms, failures, plans, unknown } = self;
        let state = FailoverMemory { alarms, failures, plans, unknown };
        Document { format: 1, state, intents, reported, outbox }
    }

    fn from_document(document: Document<FailoverMemory>, _: &StateKey) -> Result<Self, String> {
        let Document { state, intents, reported, outbox, .. } = document;
        let FailoverMemory { alarms, failures, plans, unknown } = state;
        Ok(Self { alarms, failures, plans, unknown: parked(unknown, &intents, &reported, &outbox) })
    }
}

/// The memory of a route, from its stored document.
#[must_use]
pub fn route_memory(key: &StateKey, stored: &Value) -> RouteMemory {
    match read_record(key, stored) {
        Ok(record) => RouteMemory::Record(Box::new(record)),
        Err(error) => RouteMemory::Unreadable(error.to_string()),
    }
}

fn change(OwedNote { code, text }: OwedNote) -> MessageContent {
    MessageContent::Change { code, text }
}

fn note(content: MessageContent) -> Option<OwedNote> {
    match content {
        MessageContent::Change { code, text } => Some(OwedNote { code, text }),
        MessageContent::Notice(_) | MessageContent::Event(_) => None,
    }
}
