//! Says what was decided: the journal, the event bus, and people.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mesh::failover::{Decision, Memory, RouteRecord, Subject, Telling, Told, Verdict, telling};
use mesh::policy::{Mode, PagingPolicy, Policy};
use ports::{BusEvent, JournalEntry, Note, Notice, PortError, StateKey, StoreOutcome, Urgency};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::account::{Account, reason, resource};
use crate::actuate::{Outcome, clear_tag, document};
use crate::observe::Observation;
use crate::wake::Wake;
use crate::{NAME, Ports};

/// Above this an observation goes to the reports store: an item of the state table has at most 400 KB, and people
/// read the journal.
const LARGEST_INLINE: usize = 100 * 1024;

/// A decision together with what is to be said of it.
#[derive(Debug)]
pub(crate) struct News {
    /// The decision, its record already saying what people will have been told.
    pub(crate) decision: Decision,
    /// What the journal says of it: enough to make the decision again.
    pub(crate) journal: Value,
    telling: Telling,
}

/// Tells, and remembers what was told of things that have no record in the state table.
#[derive(Debug)]
pub(crate) struct Teller {
    ports: Ports,
    /// Kept by a warm function only: after a cold start something may be said once more.
    told: Mutex<BTreeMap<String, Told>>,
}

impl Teller {
    pub(crate) fn new(ports: Ports) -> Self {
        Self { ports, told: Mutex::default() }
    }

    /// Compares a decision with what was told before, and prepares what is to be said.
    pub(crate) async fn news(
        &self,
        mut decision: Decision,
        observation: &Observation,
        mode: Mode,
        policy: &Policy,
        now: Timestamp,
    ) -> News {
        let name = resource(&observation.facts.mesh, &decision.subject);
        let record = remembered(&decision.subject, observation);
        let last = match record {
            Some(record) => record.told.clone(),
            None => self.told.lock().await.get(&name).cloned(),
        };
        let telling = telling(&decision, last.as_ref(), &policy.failover.paging, now);
        if telling.told != last && record.is_some() && decision.record.is_none() {
            decision.record = record.cloned();
        }
        if let Some(record) = &mut decision.record {
            record.told.clone_from(&telling.told);
            if mode == Mode::Observe {
                record.intent = None;
            }
        } else {
            self.remember(name, telling.told.as_ref()).await;
        }
        if let Verdict::Act(plan) = &mut decision.verdict {
            plan.then.told.clone_from(&telling.told);
        }
        let journal =
            if telling.news { self.journal(&decision, observation, policy, now).await } else { Value::Null };
        News { decision, journal, telling }
    }

    /// Says what became of a decision. None of this blocks or undoes a change: what can't be said is logged.
    pub(crate) async fn tell(
        &self,
        news: News,
        outcome: Option<Outcome>,
        observation: &Observation,
        wake: &Wake,
        now: Timestamp,
    ) -> Account {
        let mesh = &observation.facts.mesh;
        let mut account = Account::of(mesh, &news.decision, outcome.as_ref());
        account.telling = news.telling.news
            || !matches!(news.decision.verdict, Verdict::Keep(_))
            || concerns(&news.decision.subject, observation, wake);
        let page = news.telling.page || outcome.as_ref().is_some_and(pages);
        let note = news.telling.news && matches!(news.decision.verdict, Verdict::Act(_));
        if page || note {
            let urgency = if page { Urgency::Page } else { Urgency::Note };
            self.notify(urgency, &account, &reason(&news.decision.verdict).2).await;
        }
        if news.telling.news {
            self.put(&account, observation, &news.decision.subject).await;
        }
        // After the page: killed in between, somebody is woken twice rather than never.
        let written = matches!(&news.decision.verdict, Verdict::Act(_)) && !matches!(outcome, Some(Outcome::WouldApply));
        if !written {
            self.note(&news, observation, now).await;
        }
        account
    }

    /// A part of the world could not be observed, so nothing about it is decided: people should know.
    pub(crate) async fn blind(&self, what: &str, error: &PortError, policy: &PagingPolicy, now: Timestamp) -> Account {
        let account = Account::blind(what, error);
        let mut told = self.told.lock().await;
        let known = told.get(what).filter(|told| told.code == account.line.reason);
        let due = known.and_then(|told| told.paged).is_none_or(|paged| paged + policy.repeat_after.get() <= now);
        if due {
            let code = account.line.reason.clone();
            told.insert(what.to_owned(), Told { code, since: now, repeats: 0, paged: Some(now) });
            drop(told);
            self.notify(Urgency::Page, &account, &format!("{what} can't be observed, so nothing there is decided: {error}"))
                .await;
        }
        account
    }

    /// Stores what is remembered of a route without a change to it.
    async fn note(&self, news: &News, observation: &Observation, now: Timestamp) {
        let Subject::Route(route) = &news.decision.subject else { return };
        if news.decision.clear_tag && let Some(route) = observation.routes.get(route) {
            clear_tag(&self.ports, route).await;
        }
        let Some(record) = &news.decision.record else { return };
        let journal = news.telling.news.then(|| JournalEntry {
            at: now,
            id: format!("{}-{}", observation.revision(route), reason(&news.decision.verdict).0),
            body: news.journal.clone(),
        });
        let note = Note {
            key: StateKey::route(route),
            revision: observation.revision(route),
            now,
            document: document(record),
            journal,
        };
        match self.ports.state.note(&note).await {
            Ok(StoreOutcome::Stored) => {}
            Ok(StoreOutcome::Overtaken) => tracing::debug!(%route, "somebody else is at the route; they will say"),
            Err(error) => tracing::warn!(%error, %route, "what was seen of the route is not remembered yet"),
        }
    }

    /// What the journal says: decision, observation and policy, so that it can be made again.
    async fn journal(&self, decision: &Decision, observation: &Observation, policy: &Policy, now: Timestamp) -> Value {
        let (code, facts, text) = reason(&decision.verdict);
        let resource = resource(&observation.facts.mesh, &decision.subject);
        let observed = json!({
            "now": now,
            "facts": observation.facts,
            "harms": observation.harms_asked(),
            "policy": policy,
        });
        let observed = match observed.to_string() {
            small if small.len() <= LARGEST_INLINE => observed,
            large => {
                let name = format!("observations/{resource}/{}.json", now.as_millisecond());
                match self.ports.reports.put(&name, large.as_bytes()).await {
                    Ok(place) => json!({ "at": place }),
                    Err(error) => {
                        tracing::warn!(%error, resource, "the observation is too large for the journal and is not kept");
                        json!({ "lost": error.to_string() })
                    }
                }
            }
        };
        let plan = match &decision.verdict {
            Verdict::Act(plan) => serde_json::to_value(plan).unwrap_or_default(),
            Verdict::Keep(_) | Verdict::Hold(_) => Value::Null,
        };
        json!({ "function": NAME, "resource": resource, "reason": code, "facts": facts, "text": text, "plan": plan, "observed": observed })
    }

    async fn remember(&self, name: String, told: Option<&Told>) {
        let mut memory = self.told.lock().await;
        match told {
            Some(told) => memory.insert(name, told.clone()),
            None => memory.remove(&name),
        };
    }

    async fn notify(&self, urgency: Urgency, account: &Account, text: &str) {
        let line = &account.line;
        let facts = serde_json::to_string_pretty(line).unwrap_or_default();
        let notice = Notice {
            urgency,
            subject: format!("{}: {} {}", line.decision, line.reason, line.resource),
            body: format!("{text}\n\n{facts}\n"),
        };
        if let Err(error) = self.ports.notifier.notify(&notice).await {
            tracing::error!(%error, subject = notice.subject, "nobody could be told");
        }
    }

    async fn put(&self, account: &Account, observation: &Observation, subject: &Subject) {
        let arn = match subject {
            Subject::Route(route) => observation.routes.get(route).map(|route| route.metadata.arn.to_string()),
            Subject::Node(_) => None,
        };
        let event = BusEvent {
            detail_type: "Meshwarden Decision".to_owned(),
            detail: json!({ "function": NAME, "decision": account.line }),
            resources: arn.into_iter().collect(),
        };
        if let Err(error) = self.ports.bus.put(&[event]).await {
            tracing::warn!(%error, "the event bus does not know of a decision");
        }
    }
}

/// What the state table has of a subject.
fn remembered<'a>(subject: &Subject, observation: &'a Observation) -> Option<&'a RouteRecord> {
    let Subject::Route(id) = subject else { return None };
    let route = observation.facts.routes.iter().find(|route| route.id == *id)?;
    match &route.memory {
        Memory::Record(record) => Some(record),
        Memory::None | Memory::Unreadable(_) => None,
    }
}

/// Whether an alarm that the event named speaks of a target of the route, or the event released the route itself.
fn concerns(subject: &Subject, observation: &Observation, wake: &Wake) -> bool {
    match subject {
        Subject::Node(_) => true,
        Subject::Route(id) => {
            wake.released.contains(id)
                || observation.routes.get(id).and_then(|route| route.spec.split()).is_some_and(|split| {
                    observation.woken.iter().any(|node| split.carries(node))
                })
        }
    }
}

/// Whether what became of a plan should wake somebody.
fn pages(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Overwrote { .. } | Outcome::Failed { .. } => true,
        Outcome::WouldApply
        | Outcome::Applied { .. }
        | Outcome::AlreadyInPlace
        | Outcome::Superseded
        | Outcome::Refused { .. } => false,
    }
}
