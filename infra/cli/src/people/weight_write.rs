//! One write of a route's weights by an operator's command.

use std::collections::BTreeMap;

use decisions::failover::{RESTORE_TAG, RouteRecord, TagChange};
use mesh::change::Change;
use mesh::name::ResourcePath;
use mesh::split::WeightSplit;
use ports::{
    Begin, Begun, Deadline, Finish, JournalEntry, PortError, PortErrorKind, Refusal as NotBegun, RouteWrite, StateKey,
    StoreOutcome, Written,
};
use records::{JournalBody, Layout, OutcomeEntry, write_record};

use super::desk::{Desk, NAME, Said, Seen};
use super::error::{Refusal, Trouble};

/// A planned write of a route's weights, with the records around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct WeightWrite<'a> {
    /// Identifies route, base version and weights; the client token of the write.
    pub(super) plan: &'a str,
    pub(super) from: &'a WeightSplit,
    pub(super) to: &'a WeightSplit,
    /// The change of the restore tag.
    pub(super) tag: &'a TagChange,
    /// The record to store before the write, including the intent.
    pub(super) begun: &'a RouteRecord,
    /// The record to store after the write.
    pub(super) done: &'a RouteRecord,
}

impl WeightWrite<'_> {
    /// Acquires the lease, and writes weights, tag and outcome in the same steps as the functions, which can resume an
    /// interrupted write. Returns the version of the route.
    pub(super) async fn execute(&self, desk: &Desk<'_>, seen: &Seen, said: &Said<'_>) -> Result<u64, Trouble> {
        let route = &seen.facts.id;
        let key = StateKey::route(route);
        let body = said.body(&ResourcePath::Route(route.clone()).to_string());
        let begin = Begin {
            key: key.clone(),
            revision: seen.revision,
            holder: format!("{NAME}-{}-{}", std::process::id(), desk.now().as_nanosecond()),
            now: desk.now(),
            lease: Deadline::lease(),
            document: write_record(self.begun),
            spend: None,
            journal: self.entry(desk, "begun", &body),
        };
        let epoch = match desk.ports.state.begin(&begin).await? {
            Begun::Granted { epoch, .. } => epoch,
            Begun::Refused(NotBegun::KillSwitchOn) => {
                return Err(Refusal::KillSwitchOn { route: route.clone() }.into());
            }
            // The write spends no budget, so `BudgetSpent` cannot occur.
            Begun::Refused(NotBegun::LeaseHeld | NotBegun::RevisionMoved | NotBegun::BudgetSpent) => {
                return Err(Refusal::Overtaken { route: route.clone() }.into());
            }
        };
        let (outcome, written) = match self.write(desk, seen).await {
            Ok(None) => (OutcomeEntry::AlreadyInPlace, Ok(seen.facts.version)),
            Ok(Some(Written::Applied { version })) => (OutcomeEntry::Applied { version: Some(version) }, Ok(version)),
            Ok(Some(Written::Overwrote { version })) => (OutcomeEntry::Overwrote { version }, Ok(version)),
            Ok(Some(Written::Superseded)) => {
                let overtaken = Refusal::Overtaken { route: route.clone() };
                (OutcomeEntry::Superseded, Err(Trouble::from(overtaken)))
            }
            // The result of the write is unknown. The record keeps the intent, and the next invocation determines the
            // result.
            Err(error) => {
                (OutcomeEntry::Failed { error: error.to_string(), may_heal: None, kind: None }, Err(error.into()))
            }
        };
        let record = match &written {
            Ok(version) => self.after(desk, seen, *version).await,
            Err(_) => self.begun.clone(),
        };
        let journal = self.entry(desk, "ended", &JournalBody::Ended { plan: self.plan.to_owned(), outcome });
        let finish = Finish { key, epoch, document: write_record(&record), journal };
        match (desk.ports.state.finish(&finish).await, written) {
            (_, Err(trouble)) => Err(trouble),
            (Ok(StoreOutcome::Stored), Ok(version)) => Ok(version),
            (Ok(StoreOutcome::Overtaken), Ok(_)) => Err(Trouble::Unfinished { route: route.clone() }),
            (Err(error), Ok(_)) => Err(Trouble::Unrecorded { route: route.clone(), source: Box::new(error) }),
        }
    }

    /// Changes the restore tag, and returns the record after the write.
    async fn after(&self, desk: &Desk<'_>, seen: &Seen, version: u64) -> RouteRecord {
        // The next invocation retries a transient failure, and a denied call: the function may have the permission. Any
        // other failure leaves the tag as it is.
        let is_due = |done: Result<(), PortError>| {
            done.is_err_and(|error| error.kind.may_heal() || error.kind == PortErrorKind::Denied)
        };
        let arn = seen.data.metadata.arn.to_string();
        let done = RouteRecord { version, ..self.done.clone() };
        match self.tag {
            TagChange::Clear => {
                let untagged = desk.ports.routes.untag(&arn, &[RESTORE_TAG.to_owned()]).await;
                RouteRecord { stale_tag: is_due(untagged), tag_missing: false, ..done }
            }
            TagChange::Set(value) => {
                let tags = BTreeMap::from([(RESTORE_TAG.to_owned(), value.clone())]);
                let tagged = desk.ports.routes.tag(&arn, &tags).await;
                RouteRecord { tag_missing: is_due(tagged), stale_tag: false, ..done }
            }
            TagChange::Keep => done,
        }
    }

    /// Writes the weights; `None` if the route has them already.
    async fn write(&self, desk: &Desk<'_>, seen: &Seen) -> Result<Option<Written>, PortError> {
        if self.from == self.to {
            return Ok(None);
        }
        let route = &seen.facts.id;
        let change = Change::SetRouteWeights { route: route.clone(), split: self.to.clone() };
        let mut spec = seen.data.spec.clone();
        change.apply_to_spec(&mut spec).map_err(|error| {
            PortError::new(format!("change route {route}"), PortErrorKind::Other, error.to_string())
        })?;
        let metadata = &seen.data.metadata;
        let shared = metadata.mesh_owner != metadata.resource_owner;
        let write = RouteWrite {
            route: route.clone(),
            mesh_owner: shared.then(|| metadata.mesh_owner.clone()),
            spec,
            if_version: seen.facts.version,
            client_token: self.plan.to_owned(),
        };
        desk.ports.routes.update_route(&write).await.map(Some)
    }

    fn entry(&self, desk: &Desk<'_>, stage: &str, body: &JournalBody) -> JournalEntry {
        JournalEntry::new(desk.now(), format!("{}-{stage}", self.plan), body, Layout::Flat)
    }
}
