//! The dependencies of the operator commands, and the read of a route.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use decisions::failover::{Memory, RESTORE_TAG, RouteFacts, RouteRecord, current_record};
use jiff::Timestamp;
use mesh::name::{ResourcePath, RouteId};
use mesh::resource::{Resource, RouteData};
use policy::Policy;
use ports::certificates::ProxyEvidence;
use ports::{
    AlarmReader, BudgetWindow, Clock, JournalEntry, MeshReader, MetricReader, Note, PortErrorKind, ReportStore,
    RouteWriter, StateKey, StateStore, StateView, StoreOutcome,
};
use records::{DecisionEntry, JournalBody, Layout, OperatorFacts, PlanEntry, route_memory, write_record};
use serde_json::{Value, json};

use super::error::{Refusal, Trouble};

/// The function name in the journal entries of this command.
pub(super) const NAME: &str = "meshwarden";

/// The services that the commands use.
#[derive(Clone, Debug)]
pub(crate) struct Ports {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) meshes: Arc<dyn MeshReader>,
    pub(crate) routes: Arc<dyn RouteWriter>,
    pub(crate) alarms: Arc<dyn AlarmReader>,
    pub(crate) metrics: Arc<dyn MetricReader>,
    pub(crate) state: Arc<dyn StateStore>,
    pub(crate) proxies: Arc<dyn ProxyEvidence>,
    /// The store of large observations; `None` if none is configured.
    pub(crate) reports: Option<Arc<dyn ReportStore>>,
}

/// The dependencies of one command.
pub(crate) struct Desk<'a> {
    pub(crate) ports: Ports,
    pub(crate) policy: Policy,
    /// The operator's name; empty for a command that writes nothing.
    pub(crate) by: String,
    /// Prompts for a confirmation; returns true where no prompt is needed.
    pub(crate) prompt: &'a dyn Fn(&str) -> io::Result<bool>,
}

/// A route with its facts and its record.
pub(super) struct Seen {
    pub(super) data: RouteData,
    pub(super) facts: RouteFacts,
    /// The revision of the record; 0 if none exists.
    pub(super) revision: u64,
}

impl Desk<'_> {
    pub(super) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// Confirms a write with the operator.
    pub(super) fn confirm(&self, question: &str) -> Result<(), Trouble> {
        if (self.prompt)(question).map_err(Trouble::Prompt)? { Ok(()) } else { Err(Refusal::Declined.into()) }
    }

    /// Loads documents of the state table. This load spends no budget, but the store requires a window for every load.
    pub(super) async fn load(&self, keys: &[StateKey]) -> Result<StateView, Trouble> {
        let now = self.now();
        let window = BudgetWindow { class: NAME.to_owned(), start: now, end: now };
        Ok(self.ports.state.load(keys, &window).await?)
    }

    /// Reads a route in the same way as route-failover.
    pub(super) async fn see(&self, route: &RouteId) -> Result<Seen, Trouble> {
        let path = ResourcePath::Route(route.clone());
        let data = match self.ports.meshes.describe(&path).await {
            Ok(Resource::Route(data)) => data,
            Ok(_) => return Err(Refusal::NoRoute { route: route.clone() }.into()),
            Err(error) if error.kind == PortErrorKind::NotFound => {
                return Err(Refusal::NoRoute { route: route.clone() }.into());
            }
            Err(error) => return Err(error.into()),
        };
        let split = data.spec.split().ok_or_else(|| Refusal::NoTargets { route: route.clone() })?;
        let key = StateKey::route(route);
        let mut view = self.load(std::slice::from_ref(&key)).await?;
        let stored = view.documents.remove(&key);
        let memory = stored.as_ref().map_or(Memory::None, |stored| route_memory(&key, &stored.document));
        let restore_tag = if memory == Memory::None {
            self.ports.meshes.tags(&data.metadata.arn.to_string()).await?.remove(RESTORE_TAG)
        } else {
            None
        };
        let facts = RouteFacts {
            id: route.clone(),
            uid: data.metadata.uid.clone(),
            version: data.metadata.version.get().unsigned_abs(),
            split,
            memory,
            restore_tag,
            data_points: BTreeMap::new(),
            alarm_data: BTreeMap::new(),
            released: None,
            written_by: data.metadata.written_by().map(str::to_owned),
        };
        Ok(Seen { data, facts, revision: stored.map_or(0, |stored| stored.revision) })
    }

    /// The route's record, updated in the same way as by route-failover.
    pub(super) fn record(&self, seen: &Seen, now: Timestamp) -> Result<RouteRecord, Trouble> {
        let unclear = |reason| Refusal::Unclear { route: seen.facts.id.clone(), reason };
        Ok(current_record(&seen.facts, &self.policy, now).map_err(unclear)?)
    }

    /// Stores a route's record with its journal entry, unless another writer stored a newer revision.
    pub(super) async fn note(&self, seen: &Seen, record: &RouteRecord, said: &Said<'_>) -> Result<(), Trouble> {
        let now = self.now();
        let body = said.body(&ResourcePath::Route(seen.facts.id.clone()).to_string());
        let id = format!("{}-{}", seen.revision, said.code);
        let note = Note {
            key: StateKey::route(&seen.facts.id),
            revision: seen.revision,
            now,
            document: write_record(record),
            journal: Some(JournalEntry::new(now, id, &body, Layout::Flat)),
        };
        match self.ports.state.note(&note).await? {
            StoreOutcome::Stored => Ok(()),
            StoreOutcome::Overtaken => Err(Refusal::Overtaken { route: seen.facts.id.clone() }.into()),
        }
    }
}

/// The journal entry of a command.
pub(super) struct Said<'a> {
    pub(super) command: &'static str,
    pub(super) by: &'a str,
    pub(super) code: &'static str,
    /// The facts, without the operator's name.
    pub(super) facts: Value,
    pub(super) text: &'a str,
    pub(super) plan: Option<PlanEntry>,
}

impl Said<'_> {
    /// The body of the entry about a resource or a document.
    pub(super) fn body(&self, resource: &str) -> JournalBody {
        let facts = OperatorFacts { by: self.by.to_owned(), more: self.facts.as_object().cloned().unwrap_or_default() };
        let decision = DecisionEntry {
            text: Some(self.text.to_owned()),
            plan: self.plan.clone(),
            ..DecisionEntry::new(resource, self.code, json!(facts))
        };
        JournalBody::Operator { command: self.command.to_owned(), by: self.by.to_owned(), decision }
    }
}
