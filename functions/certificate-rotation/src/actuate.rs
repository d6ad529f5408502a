//! Executes a plan: lease, one step, and its end in the state table.

use std::collections::BTreeSet;

use mesh::name::MeshName;
use mesh::policy::CertificatesPolicy;
use mesh::rotation::{OwedPage, Plan, Record, StepResult};
use ports::{
    Begin, Begun, BudgetWindow, Deadline, Finish, JournalEntry, PortError, PortErrorKind, Refusal, Spend, StateKey,
    StoreOutcome,
};
use records::{JournalBody, Layout, OutcomeEntry, write_record};
use serde::Serialize;

use crate::Ports;
use crate::observe::Observation;
use crate::steps::take;

/// The outcome of a plan.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all_fields = "camelCase")]
pub(crate) enum Outcome {
    /// The plan was not executed: it affects, or may affect, meshes in observe mode.
    WouldApply {
        /// The meshes in observe mode.
        watching: BTreeSet<MeshName>,
    },
    /// The step was executed.
    Applied,
    /// The step had been executed before.
    AlreadyInPlace,
    /// The other service has not finished.
    InProgress,
    /// Another writer was first; the function observes and decides again.
    Superseded,
    /// The state table did not allow the plan to begin.
    Refused {
        /// The reason of the refusal.
        #[serde(flatten)]
        refusal: Refusal,
    },
    /// The mesh is written, over a change that was not observed.
    Overwrote {
        /// The resource's new version.
        version: u64,
    },
    /// The step failed. The previous state is still in place, and a later run retries the step.
    Failed {
        /// The call and its error.
        error: String,
        /// Whether a retry may succeed.
        may_heal: bool,
    },
}

impl Outcome {
    /// The stable name of the outcome.
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

    /// Whether the outcome is new, and not the same as in the previous run.
    pub(crate) const fn is_news(&self) -> bool {
        match self {
            Self::Applied | Self::Superseded | Self::Overwrote { .. } | Self::Failed { .. } => true,
            Self::WouldApply { .. } | Self::AlreadyInPlace | Self::InProgress | Self::Refused { .. } => false,
        }
    }

    /// Whether the state differs from the observation, so that the function should observe again.
    pub(crate) const fn moved(&self) -> bool {
        match self {
            Self::Applied | Self::AlreadyInPlace | Self::Superseded | Self::Overwrote { .. } => true,
            Self::WouldApply { .. } | Self::InProgress | Self::Refused { .. } | Self::Failed { .. } => false,
        }
    }
}

impl From<&Outcome> for OutcomeEntry {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::WouldApply { watching } => Self::WouldApply { watching: watching.clone() },
            Outcome::Applied => Self::Applied { version: None },
            Outcome::AlreadyInPlace => Self::AlreadyInPlace,
            Outcome::InProgress => Self::InProgress,
            Outcome::Superseded => Self::Superseded,
            Outcome::Refused { refusal } => Self::Refused { refusal: refusal.code().to_owned() },
            Outcome::Overwrote { version } => Self::Overwrote { version: *version },
            Outcome::Failed { error, may_heal } => {
                Self::Failed { error: error.clone(), may_heal: Some(*may_heal), kind: None }
            }
        }
    }
}

/// The outcome of a plan, with its record.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) outcome: Outcome,
    /// The due page, which stays in the record until it is sent.
    pub(crate) page: Option<OwedPage>,
    /// The stored record with its revision; `None` if it could not be stored or another writer was first.
    pub(crate) stored: Option<(Record, u64)>,
    /// Whether the record was stored before the step.
    pub(crate) began: bool,
    /// Whether the state table does not accept the record.
    pub(crate) is_unstorable: bool,
}

/// A plan with the data that is needed to execute it.
pub(crate) struct Work<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) observation: &'a Observation,
    /// The body of the journal entry before the step: the decision with its observation.
    pub(crate) journal: JournalBody,
    /// The record to store before the step.
    pub(crate) record: Record,
    /// The holder of the lease: one name per invocation.
    pub(crate) holder: &'a str,
    pub(crate) window: &'a BudgetWindow,
    /// The policy for certificates.
    pub(crate) policy: &'a CertificatesPolicy,
    /// The page about an outcome.
    pub(crate) page: &'a (dyn Fn(&Outcome) -> OwedPage + Sync),
}

/// Executes a plan. A run that is killed between any two calls and repeated has the same result. The record holds the
/// attempt before anything is ordered, and the repeated run finds the results of executed calls in their stores.
pub(crate) async fn actuate(ports: &Ports, work: Work<'_>) -> Executed {
    match try_actuate(ports, &work).await {
        Ok(executed) => executed,
        Err(error) => {
            let may_heal = error.kind.may_heal();
            let outcome = Outcome::Failed { may_heal, error: error.to_string() };
            // Without the state table no change is made. The failure pages if no later run can succeed.
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
        document: write_record(&work.record),
        spend: work.plan.step.issues().then(|| Spend { window: work.window.clone(), cap: work.policy.budget.changes }),
        journal: entry(ports, work, "begun", &work.journal),
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
        document: write_record(&record),
        journal: entry(ports, work, "ended", &ended(work, &outcome)),
    };
    let mut is_unstorable = false;
    let stored = match ports.state.finish(&finish).await {
        Ok(StoreOutcome::Stored) => Some((record, revision.saturating_add(1))),
        Ok(StoreOutcome::Overtaken) => {
            tracing::warn!(subject, "the lease expired before the step ended");
            None
        }
        // The record holds the attempt; the next run reads its outcome.
        Err(error) => {
            tracing::warn!(%error, subject, "failed to store the end of a step");
            is_unstorable = true;
            None
        }
    };
    Ok(Executed { outcome, page, stored, began: true, is_unstorable })
}

/// The outcome to report for a step. `given_up` is the reason why an unfinished attempt was given up.
fn outcome(result: &StepResult, heals: Option<bool>, given_up: Option<String>) -> Outcome {
    match result {
        StepResult::Applied | StepResult::Issued | StepResult::Ordered { .. } => Outcome::Applied,
        StepResult::AlreadyInPlace => Outcome::AlreadyInPlace,
        StepResult::InProgress => match given_up {
            Some(error) => Outcome::Failed { error, may_heal: false },
            None => Outcome::InProgress,
        },
        // The next attempt uses another version.
        StepResult::VersionTaken | StepResult::Superseded => Outcome::Superseded,
        StepResult::Overwrote { version } => Outcome::Overwrote { version: *version },
        StepResult::Refused { why } => Outcome::Failed { error: why.clone(), may_heal: false },
        StepResult::Failed { why, .. } => Outcome::Failed { error: why.clone(), may_heal: heals.unwrap_or(false) },
    }
}

/// Whether an error proves that no certificate was ordered.
fn is_certain(error: &PortError) -> bool {
    match error.kind {
        PortErrorKind::NotFound
        | PortErrorKind::Throttled
        | PortErrorKind::Expired
        | PortErrorKind::Denied
        | PortErrorKind::Other => {
            // The order was placed before the import, no matter how the import ends.
            !error.call.starts_with("import")
        }
        PortErrorKind::Conflict | PortErrorKind::Unavailable | PortErrorKind::TimedOut => false,
    }
}

fn entry(ports: &Ports, work: &Work<'_>, stage: &str, body: &JournalBody) -> JournalEntry {
    let now = ports.clock.now();
    JournalEntry::new(now, format!("{}-{}-{stage}", work.plan.id, now.as_second()), body, Layout::Flat)
}

fn ended(work: &Work<'_>, outcome: &Outcome) -> JournalBody {
    JournalBody::Ended { plan: work.plan.id.clone(), outcome: OutcomeEntry::from(outcome) }
}
