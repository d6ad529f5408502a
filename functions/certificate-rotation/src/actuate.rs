//! Carries out a plan: lease, one step, and the end of it in the state table.

use std::collections::BTreeSet;

use mesh::name::MeshName;
use mesh::policy::CertificatesPolicy;
use mesh::rotation::{OwedPage, Plan, Record, StepResult};
use ports::{
    Begin, Begun, BudgetWindow, Deadline, Finish, JournalEntry, PortError, PortErrorKind, Refusal, Spend, StateKey,
    StoreOutcome,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Ports;
use crate::observe::Observation;
use crate::steps::take;

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

    /// Whether something is different now, so that another look is worth it.
    pub(crate) const fn moved(&self) -> bool {
        match self {
            Self::Applied | Self::AlreadyInPlace | Self::Superseded | Self::Overwrote { .. } => true,
            Self::WouldApply { .. } | Self::InProgress | Self::Refused { .. } | Self::Failed { .. } => false,
        }
    }
}

/// What became of a plan, and of its record.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) outcome: Outcome,
    /// The page that is due, which the record holds until it was sent.
    pub(crate) page: Option<OwedPage>,
    /// The record as it is stored, with its revision; `None` where it could not be stored, or another writer was first.
    pub(crate) stored: Option<(Record, u64)>,
    /// Whether the record was stored before the step.
    pub(crate) began: bool,
    /// Whether the state table does not accept the record.
    pub(crate) is_unstorable: bool,
}

/// A plan with what is needed to carry it out.
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
    /// The policy.
    pub(crate) policy: &'a CertificatesPolicy,
    /// The page about an outcome.
    pub(crate) page: &'a (dyn Fn(&Outcome) -> OwedPage + Sync),
}

/// Carries out a plan. Killed between any two calls and run again, it ends the same: the record holds the attempt before
/// anything is ordered, and what was done is found where it was done.
pub(crate) async fn actuate(ports: &Ports, work: Work<'_>) -> Executed {
    match try_actuate(ports, &work).await {
        Ok(executed) => executed,
        Err(error) => {
            let may_heal = error.kind.may_heal();
            let outcome = Outcome::Failed { may_heal, error: error.to_string() };
            // Without the state table nothing is changed, and that is paged where no later run will do better.
            let page = (!may_heal).then(|| (work.page)(&outcome));
            Executed { outcome, page, stored: None, began: false, is_unstorable: true }
        }
    }
}

async fn try_actuate(ports: &Ports, work: &Work<'_>) -> Result<Executed, PortError> {
    let subject = work.plan.subject.name();
    let now = ports.clock.now();
    let begin = Begin {
        key: StateKey::certificate(&subject),
        revision: work.observation.revision(&subject),
        holder: work.holder.to_owned(),
        now,
        lease: Deadline::lease(),
        document: document(&work.record),
        spend: work.plan.step.issues().then(|| Spend { window: work.window.clone(), cap: work.policy.budget.changes }),
        journal: entry(ports, work, "begun", work.journal.clone()),
    };
    let (epoch, revision) = match ports.state.begin(&begin).await? {
        Begun::Granted { epoch, revision } => (epoch, revision),
        Begun::Refused(refusal) => {
            let outcome = Outcome::Refused { refusal };
            return Ok(Executed { outcome, page: None, stored: None, began: false, is_unstorable: false });
        }
    };
    let taken = take(ports, &work.plan.step, &work.plan.id, work.observation).await;
    let (result, heals) = match taken {
        Ok(result) => (result, None),
        Err(error) => {
            let failed = StepResult::Failed { why: error.to_string(), is_unplaced: is_certain(&error) };
            (failed, Some(error.kind.may_heal()))
        }
    };
    let now = ports.clock.now();
    let failures = |record: &Record| record.failures.as_ref().map_or(0, |failures| failures.count);
    let before = failures(&work.record);
    let mut record = work.record.clone().after(&work.plan.step, &result, now);
    let given_up = record.failures.clone().filter(|_| failures(&record) > before);
    let outcome = outcome(&result, heals, given_up.map(|failures| failures.why));
    let pages = match &outcome {
        Outcome::Overwrote { .. } => true,
        Outcome::Failed { .. } => {
            let is_permanent = match result {
                StepResult::Refused { .. } => true,
                _ => heals == Some(false),
            };
            record.pages_failure(is_permanent, work.policy, now)
        }
        Outcome::WouldApply { .. }
        | Outcome::Applied
        | Outcome::AlreadyInPlace
        | Outcome::InProgress
        | Outcome::Superseded
        | Outcome::Refused { .. } => false,
    };
    let page = pages.then(|| (work.page)(&outcome));
    if page.is_some() {
        record.owed.clone_from(&page);
    }
    let finish = Finish {
        key: StateKey::certificate(&subject),
        epoch,
        document: document(&record),
        journal: entry(ports, work, "ended", json!({ "plan": work.plan.id, "outcome": outcome })),
    };
    let mut is_unstorable = false;
    let stored = match ports.state.finish(&finish).await {
        Ok(StoreOutcome::Stored) => Some((record, revision.saturating_add(1))),
        Ok(StoreOutcome::Overtaken) => {
            tracing::warn!(subject, "the lease expired before the step ended");
            None
        }
        // The record holds the attempt; the next run finds what came of it.
        Err(error) => {
            tracing::warn!(%error, subject, "failed to store the end of a step");
            is_unstorable = true;
            None
        }
    };
    Ok(Executed { outcome, page, stored, began: true, is_unstorable })
}

/// What is reported of a step. `given_up` says why an attempt was given up that the CA has not finished.
fn outcome(result: &StepResult, heals: Option<bool>, given_up: Option<String>) -> Outcome {
    match result {
        StepResult::Applied | StepResult::Issued | StepResult::Ordered { .. } => Outcome::Applied,
        StepResult::AlreadyInPlace => Outcome::AlreadyInPlace,
        StepResult::InProgress => match given_up {
            Some(error) => Outcome::Failed { error, may_heal: false },
            None => Outcome::InProgress,
        },
        // The next attempt has another version.
        StepResult::VersionTaken | StepResult::Superseded => Outcome::Superseded,
        StepResult::Overwrote { version } => Outcome::Overwrote { version: *version },
        StepResult::Refused { why } => Outcome::Failed { error: why.clone(), may_heal: false },
        StepResult::Failed { why, .. } => Outcome::Failed { error: why.clone(), may_heal: heals.unwrap_or(false) },
    }
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
