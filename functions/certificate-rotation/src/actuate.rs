//! Carries out a plan: lease, one step, and the end of it in the state table.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use mesh::name::MeshName;
use mesh::rotation::{Plan, Record};
use ports::{
    Begin, Begun, BudgetWindow, Finish, JournalEntry, PortError, PortErrorKind, Refusal, Spend, StateKey, StoreOutcome,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Ports;
use crate::observe::Observation;
use crate::steps::{Done, take};

/// How long a lease is taken for: longer than an invocation may run (120 s in the template), so that two never act at
/// the same time; a killed one keeps others out for no longer than this.
const LEASE: SignedDuration = SignedDuration::from_secs(150);

/// What became of a plan.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all_fields = "camelCase")]
pub(crate) enum Outcome {
    /// Nothing was done: it touches meshes, or may touch them, whose mode is observe.
    WouldApply {
        /// Those meshes.
        watching: BTreeSet<MeshName>,
    },
    /// The step was taken.
    Applied,
    /// It had been taken.
    AlreadyInPlace,
    /// The other side is at it.
    InProgress,
    /// Somebody was there first; it is observed and decided again.
    Superseded,
    /// The state table did not allow it to begin.
    Refused {
        /// Why not.
        #[serde(flatten)]
        refusal: Refusal,
    },
    /// The mesh is written, over a change that had not been seen.
    Overwrote {
        /// The resource's new version.
        version: u64,
    },
    /// It failed; what was there before is still in place, and it is tried again later.
    Failed {
        /// What was tried and what came back.
        error: String,
        /// Whether trying again may help.
        may_heal: bool,
    },
}

impl Outcome {
    /// Its stable name.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::WouldApply { .. } => "WouldApply",
            Self::Applied => "Applied",
            Self::AlreadyInPlace => "AlreadyInPlace",
            Self::InProgress => "InProgress",
            Self::Superseded => "Superseded",
            Self::Refused { .. } => "Refused",
            Self::Overwrote { .. } => "Overwrote",
            Self::Failed { .. } => "Failed",
        }
    }

    /// Whether it happened anew, and is not just the same as at the last wake.
    pub(crate) const fn is_news(&self) -> bool {
        match self {
            Self::Applied | Self::Superseded | Self::Overwrote { .. } | Self::Failed { .. } => true,
            Self::WouldApply { .. } | Self::AlreadyInPlace | Self::InProgress | Self::Refused { .. } => false,
        }
    }

    /// Whether a person should be called.
    pub(crate) const fn pages(&self) -> bool {
        match self {
            Self::Overwrote { .. } | Self::Failed { may_heal: false, .. } => true,
            Self::WouldApply { .. }
            | Self::Applied
            | Self::AlreadyInPlace
            | Self::InProgress
            | Self::Superseded
            | Self::Refused { .. }
            | Self::Failed { may_heal: true, .. } => false,
        }
    }

    /// Whether something is different now, so that another look is worth it.
    pub(crate) const fn moved(&self) -> bool {
        match self {
            Self::Applied | Self::AlreadyInPlace | Self::Superseded | Self::Overwrote { .. } => true,
            Self::WouldApply { .. } | Self::InProgress | Self::Refused { .. } | Self::Failed { .. } => false,
        }
    }
}

/// A plan with what is needed to carry it out.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) observation: &'a Observation,
    /// What is journalled before the step: the decision with its observation.
    pub(crate) journal: Value,
    /// The record as it is to be stored before the step.
    pub(crate) record: Record,
    /// Who acts: one name an invocation.
    pub(crate) holder: &'a str,
    pub(crate) window: &'a BudgetWindow,
    /// The issuances that the window allows.
    pub(crate) cap: u32,
}

/// Carries out a plan. Killed between any two calls and run again, it ends the same: the record holds the attempt before
/// anything is ordered, and what was done is found where it was done.
pub(crate) async fn actuate(ports: &Ports, work: Work<'_>) -> Outcome {
    match try_actuate(ports, work).await {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed { may_heal: error.kind.may_heal(), error: error.to_string() },
    }
}

async fn try_actuate(ports: &Ports, work: Work<'_>) -> Result<Outcome, PortError> {
    let subject = work.plan.subject.name();
    let now = ports.clock.now();
    let begin = Begin {
        key: StateKey::certificate(&subject),
        revision: work.observation.revision(&subject),
        holder: work.holder.to_owned(),
        now,
        lease: LEASE,
        document: document(&work.record),
        spend: work.plan.step.issues().then(|| Spend { window: work.window.clone(), cap: work.cap }),
        journal: entry(ports, &work, "begun", work.journal.clone()),
    };
    let epoch = match ports.state.begin(&begin).await? {
        Begun::Granted { epoch, .. } => epoch,
        Begun::Refused(refusal) => return Ok(Outcome::Refused { refusal }),
    };
    let taken = take(ports, &work.plan.step, &work.plan.id, work.observation).await;
    let now = ports.clock.now();
    let record = work.record.clone();
    let (outcome, record) = match taken {
        Ok(Done::Applied) => (Outcome::Applied, record.succeeded()),
        Ok(Done::Issued) => (Outcome::Applied, record.issued()),
        Ok(Done::Ordered(name)) => (Outcome::Applied, record.ordered(&name)),
        Ok(Done::AlreadyInPlace) => (Outcome::AlreadyInPlace, record),
        Ok(Done::InProgress) => (Outcome::InProgress, record),
        Ok(Done::Superseded) => (Outcome::Superseded, record.unplaced()),
        Ok(Done::Overwrote(version)) => (Outcome::Overwrote { version }, record.succeeded()),
        Ok(Done::Refused(why)) => {
            let failed = Outcome::Failed { error: why.clone(), may_heal: false };
            (failed, record.refused(why, now))
        }
        Err(error) => {
            let record = if is_certain(&error) { record.unplaced() } else { record };
            let failed = Outcome::Failed { error: error.to_string(), may_heal: error.kind.may_heal() };
            (failed, record.failed(error.to_string(), now))
        }
    };
    let finish = Finish {
        key: StateKey::certificate(&subject),
        epoch,
        document: document(&record),
        journal: entry(ports, &work, "ended", json!({ "plan": work.plan.id, "outcome": outcome })),
    };
    match ports.state.finish(&finish).await {
        Ok(StoreOutcome::Stored) => {}
        Ok(StoreOutcome::Overtaken) => tracing::warn!(subject, "the lease ran out before the step ended"),
        // The record holds the attempt; the next wake finds what came of it.
        Err(error) => tracing::warn!(%error, subject, "the end of the step is not recorded yet"),
    }
    Ok(outcome)
}

/// Whether an error says for sure that nothing was ordered.
fn is_certain(error: &PortError) -> bool {
    match error.kind {
        PortErrorKind::NotFound
        | PortErrorKind::Throttled
        | PortErrorKind::Expired
        | PortErrorKind::Denied
        | PortErrorKind::Other => {
            // Whatever happens to an import, the order before it was placed.
            !error.call.starts_with("import")
        }
        PortErrorKind::Conflict | PortErrorKind::Unavailable | PortErrorKind::TimedOut => false,
    }
}

fn entry(ports: &Ports, work: &Work<'_>, stage: &str, body: Value) -> JournalEntry {
    let now = ports.clock.now();
    JournalEntry { at: now, id: format!("{}-{}-{stage}", work.plan.id, now.as_second()), body }
}

/// A record as the state table keeps it.
pub(crate) fn document(record: &Record) -> Value {
    // A record has only string keys, so this can't fail.
    serde_json::to_value(record).unwrap_or_default()
}
