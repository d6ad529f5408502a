//! Executes a plan: lease, restore point, weights, and its end in the state table.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use decisions::failover::{Decision, OwedNote, Plan, RESTORE_TAG, RouteRecord, TagChange};
use futures::future::{Either, select};
use mesh::change::Change;
use mesh::resource::RouteData;
use ports::{
    Begin, Begun, BudgetWindow, Deadline, Finish, JournalEntry, PortError, PortErrorKind, Refusal, RouteWrite, Spend,
    StateKey, StoreOutcome, Written,
};
use records::{JournalBody, Layout, OutcomeEntry, write_record};
use serde::Serialize;

use crate::Ports;
use crate::journal::RecordedDecision;

/// How long a tag may delay the end of a change after its weights are written.
const SIDE_TIME: Duration = Duration::from_secs(1);

/// The outcome of a plan.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all_fields = "camelCase")]
pub(crate) enum Outcome {
    /// The mode is observe; nothing was written.
    WouldApply,
    /// The weights are written, and the answer shows them.
    Applied {
        /// The route's new version.
        version: u64,
    },
    /// The weights were in place already.
    AlreadyInPlace,
    /// Another writer changed the route first; the function observes and decides again.
    Superseded,
    /// The state table did not allow the plan to begin.
    Refused {
        /// The reason of the refusal.
        #[serde(flatten)]
        refusal: Refusal,
    },
    /// The weights are written, over a change that was not observed.
    Overwrote {
        /// The route's new version.
        version: u64,
    },
    /// A call failed; the next run retries its plan.
    Failed {
        /// The call and its error.
        error: String,
        /// Whether a retry may succeed.
        may_heal: bool,
        /// The class of the error, as in `throttled`.
        kind: PortErrorKind,
    },
}

impl Outcome {
    /// The stable name of the outcome.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::WouldApply => "WouldApply",
            Self::Applied { .. } => "Applied",
            Self::AlreadyInPlace => "AlreadyInPlace",
            Self::Superseded => "Superseded",
            Self::Refused { .. } => "Refused",
            Self::Overwrote { .. } => "Overwrote",
            Self::Failed { .. } => "Failed",
        }
    }

    /// Whether the outcome pages at once. A failed call pages by its class and by how long the failure lasts.
    pub(crate) fn pages(&self) -> bool {
        match self {
            Self::Overwrote { .. } | Self::Refused { refusal: Refusal::BudgetSpent | Refusal::KillSwitchOn } => true,
            Self::WouldApply
            | Self::Applied { .. }
            | Self::AlreadyInPlace
            | Self::Superseded
            | Self::Failed { .. }
            | Self::Refused { refusal: Refusal::LeaseHeld | Refusal::RevisionMoved } => false,
        }
    }

    /// Whether the traffic stays where it is although the plan was to move it, and no other process is moving it.
    pub(crate) fn keeps_traffic(&self) -> bool {
        match self {
            Self::Failed { .. } | Self::Refused { refusal: Refusal::BudgetSpent | Refusal::KillSwitchOn } => true,
            Self::WouldApply
            | Self::Applied { .. }
            | Self::AlreadyInPlace
            | Self::Superseded
            | Self::Overwrote { .. }
            | Self::Refused { refusal: Refusal::LeaseHeld | Refusal::RevisionMoved } => false,
        }
    }

    /// Whether the next run makes the same plan again.
    pub(crate) fn left_undone(&self) -> bool {
        match self {
            Self::WouldApply | Self::Superseded | Self::Refused { .. } | Self::Failed { .. } => true,
            Self::Applied { .. } | Self::AlreadyInPlace | Self::Overwrote { .. } => false,
        }
    }
}

impl From<&Outcome> for OutcomeEntry {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::WouldApply => Self::WouldApply { watching: BTreeSet::new() },
            Outcome::Applied { version } => Self::Applied { version: Some(*version) },
            Outcome::AlreadyInPlace => Self::AlreadyInPlace,
            Outcome::Superseded => Self::Superseded,
            Outcome::Refused { refusal } => Self::Refused { refusal: refusal.code().to_owned() },
            Outcome::Overwrote { version } => Self::Overwrote { version: *version },
            Outcome::Failed { error, may_heal, kind } => {
                Self::Failed { error: error.clone(), may_heal: Some(*may_heal), kind: Some(kind.to_string()) }
            }
        }
    }
}

/// A plan with the data that is needed to execute it.
#[derive(Debug)]
pub(crate) struct Work<'a> {
    /// The plan to execute.
    pub(crate) plan: &'a Plan,
    /// The decision that it comes from.
    pub(crate) decision: &'a Decision,
    /// The route as read.
    pub(crate) route: &'a RouteData,
    /// The revision of the route's record as read; 0 when there is none.
    pub(crate) revision: u64,
    /// The holder of the lease: one name per invocation.
    pub(crate) holder: &'a str,
    /// The budget window.
    pub(crate) window: &'a BudgetWindow,
    /// The shifts that the window allows.
    pub(crate) cap: u32,
    /// The content of the journal entry: the decision with its observation.
    pub(crate) journal: &'a RecordedDecision,
}

/// A plan that was executed except for its end in the state table.
#[derive(Debug)]
pub(crate) struct Acted {
    /// The outcome of the plan.
    pub(crate) outcome: Outcome,
    /// The end that is still to be recorded.
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    epoch: u64,
    record: RouteRecord,
    /// The notification to store as owed if it cannot be sent before the end is recorded.
    note: Option<OwedNote>,
}

impl Acted {
    /// An outcome of a plan that did not begin, so that no end has to be recorded.
    pub(crate) fn without_end(outcome: Outcome) -> Self {
        Self { outcome, end: None }
    }
}

/// Executes a plan. A run that is killed between any two calls and repeated has the same result. The record holds the
/// intent before the weights are written, and the write is compared with the version that was read.
pub(crate) async fn actuate(ports: &Ports, work: &Work<'_>) -> Acted {
    match try_actuate(ports, work).await {
        Ok(acted) => acted,
        Err(error) => {
            let may_heal = error.kind.may_heal();
            Acted::without_end(Outcome::Failed { error: chain(&error), may_heal, kind: error.kind })
        }
    }
}

/// Records the end of a plan and releases the lease. If `noted`, the notification was sent before. If the process is
/// killed in between, the next run finds the intent and sends the notification again.
pub(crate) async fn end(ports: &Ports, work: &Work<'_>, acted: Acted, noted: bool) {
    let Some(End { epoch, mut record, note }) = acted.end else { return };
    // An unsent page about a declared write matters more than the note about this change.
    let owes_page = record.owed.as_ref().is_some_and(OwedNote::pages);
    if !noted && note.is_some() && !owes_page {
        record.owed = note;
    }
    if let Err(error) = finish(ports, work, epoch, &record, &acted.outcome).await {
        // The record holds the intent; the next run reads its outcome.
        tracing::warn!(%error, route = %work.plan.route, "failed to record the end of a change; the next run reads its outcome");
    }
}

async fn try_actuate(ports: &Ports, work: &Work<'_>) -> Result<Acted, PortError> {
    let plan = work.plan;
    let epoch = match ports.state.begin(&begin(ports, work)).await? {
        Begun::Granted { epoch, .. } => epoch,
        Begun::Refused(refusal) => return Ok(Acted::without_end(Outcome::Refused { refusal })),
    };
    // The restore point is recorded. The tag is a second copy of it, so neither the weights nor the end of the change
    // wait for a tag that hangs.
    let weights = async { if plan.from == plan.to { Ok(None) } else { write(ports, work).await.map(Some) } };
    let (written, tagged) = alongside(weights, set_tag(ports, work)).await;
    let tagged = tagged.unwrap_or_else(|| {
        tracing::warn!(route = %plan.route, "failed to write the restore tag in time; a later run writes it");
        false
    });
    let mut then = plan.then.clone();
    let (outcome, done) = match written {
        Ok(None) => (Outcome::AlreadyInPlace, true),
        Ok(Some(Written::Applied { version })) => (Outcome::Applied { version }, true),
        Ok(Some(Written::Overwrote { version })) => (Outcome::Overwrote { version }, true),
        Ok(Some(Written::Superseded)) => (Outcome::Superseded, false),
        // Whether the write was executed is unknown.
        Err(error) => {
            (Outcome::Failed { error: chain(&error), may_heal: error.kind.may_heal(), kind: error.kind }, false)
        }
    };
    if let Outcome::Applied { version } | Outcome::Overwrote { version } = &outcome {
        then.version = *version;
    }
    let end = if done {
        // Before the end is recorded: if the process is killed in between, the next run finds the intent and retries
        // the tag.
        then.stale_tag = plan.tag == TagChange::Clear
            && !tokio::time::timeout(SIDE_TIME, clear_tag(ports, work.route)).await.unwrap_or(false);
        then.tag_missing = match plan.tag {
            TagChange::Set(_) => !tagged,
            TagChange::Keep => then.tag_missing,
            TagChange::Clear => false,
        };
        let intent = work.decision.record.as_ref().and_then(|record| record.intent.as_ref());
        Some(End { epoch, record: then, note: intent.and_then(|intent| intent.note.clone()) })
    } else {
        work.decision.record.clone().map(|record| End { epoch, record, note: None })
    };
    Ok(Acted { outcome, end })
}

/// Runs `main` and `side` at the same time, `side` first. Once `main` is done, `side` has [`SIDE_TIME`] left; `None` if
/// it takes longer.
async fn alongside<M: Future, S: Future>(main: M, side: S) -> (M::Output, Option<S::Output>) {
    let (main, side) = (pin!(main), pin!(side));
    match select(side, main).await {
        Either::Left((side, main)) => (main.await, Some(side)),
        Either::Right((output, side)) => (output, tokio::time::timeout(SIDE_TIME, side).await.ok()),
    }
}

fn begin(ports: &Ports, work: &Work<'_>) -> Begin {
    let plan = work.plan;
    Begin {
        key: StateKey::route(&plan.route),
        revision: work.revision,
        holder: work.holder.to_owned(),
        now: ports.clock.now(),
        lease: Deadline::lease(),
        document: write_record(work.decision.record.as_ref().unwrap_or(&plan.then)),
        spend: plan.spends.then(|| Spend { window: work.window.clone(), cap: work.cap }),
        journal: entry(ports, work, "begun", &work.journal.begun()),
    }
}

async fn write(ports: &Ports, work: &Work<'_>) -> Result<Written, PortError> {
    let change = Change::SetRouteWeights { route: work.plan.route.clone(), split: work.plan.to.clone() };
    let mut spec = work.route.spec.clone();
    change.apply_to_spec(&mut spec).map_err(|error| {
        PortError::new(format!("change route {}", work.plan.route), ports::PortErrorKind::Other, error.to_string())
    })?;
    let metadata = &work.route.metadata;
    let shared = metadata.mesh_owner != metadata.resource_owner;
    let write = RouteWrite {
        route: work.plan.route.clone(),
        mesh_owner: shared.then(|| metadata.mesh_owner.clone()),
        spec,
        if_version: work.plan.version,
        client_token: work.plan.id.clone(),
    };
    ports.routes.update_route(&write).await
}

async fn finish(
    ports: &Ports,
    work: &Work<'_>,
    epoch: u64,
    record: &RouteRecord,
    outcome: &Outcome,
) -> Result<(), PortError> {
    let ended = JournalBody::Ended { plan: work.plan.id.clone(), outcome: OutcomeEntry::from(outcome) };
    let finish = Finish {
        key: StateKey::route(&work.plan.route),
        epoch,
        document: write_record(record),
        journal: entry(ports, work, "ended", &ended),
    };
    match ports.state.finish(&finish).await? {
        StoreOutcome::Stored => {}
        StoreOutcome::Overtaken => {
            tracing::warn!(route = %work.plan.route, "the lease ended before the change; the next run reads the route again");
        }
    }
    Ok(())
}

async fn set_tag(ports: &Ports, work: &Work<'_>) -> bool {
    match &work.plan.tag {
        TagChange::Set(value) => tag(ports, work.route, value).await,
        TagChange::Keep | TagChange::Clear => true,
    }
}

/// Sets the restore tag. Returns whether later runs do not have to retry it.
pub(crate) async fn tag(ports: &Ports, route: &RouteData, value: &str) -> bool {
    let tags = BTreeMap::from([(RESTORE_TAG.to_owned(), value.to_owned())]);
    match ports.routes.tag(&route.metadata.arn.to_string(), &tags).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, route = %route.route_name, "failed to set the restore tag; the state table has the restore point");
            is_final(&error)
        }
    }
}

/// Removes the restore tag of a route that has its declared weights again. Returns whether later runs do not have to
/// retry it. A tag that stays has an effect only if the state table is lost, too.
pub(crate) async fn clear_tag(ports: &Ports, route: &RouteData) -> bool {
    match ports.routes.untag(&route.metadata.arn.to_string(), &[RESTORE_TAG.to_owned()]).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, route = %route.route_name, "failed to remove the restore tag");
            is_final(&error)
        }
    }
}

/// Whether a tag call fails in the same way in every later run. A permission can be granted at any time, so a denied
/// call is repeated: one call for each drained route and run, which the metric `CallsDenied` counts.
fn is_final(error: &PortError) -> bool {
    !error.kind.may_heal() && error.kind != PortErrorKind::Denied
}

fn entry(ports: &Ports, work: &Work<'_>, stage: &str, body: &JournalBody) -> JournalEntry {
    JournalEntry::new(ports.clock.now(), format!("{}-{stage}", work.plan.id), body, Layout::Flat)
}

/// An error with all its causes, in one line.
fn chain(error: &PortError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
