//! The function: its events, and the comparison of each mesh with its last known state.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use mesh::failures::FailureClass;
use mesh::name::{AccountId, MeshName, ResourcePath};
use policy::Policy;
use ports::{DocumentError, Pace, PortError, PortErrorKind, Roster};
use records::AuditOutboxEntry;
use rules::audit::{AuditInput, AuditResult, Snapshot, StaleReading, Write, audit_changes};
use runner::events::Delivery;
use runner::{Decision, LambdaFunction, Metric, Run};
use serde_json::json;
use tokio::sync::Mutex;

use crate::observe::{Observed, Unread, observe};
use crate::remember::{Keeping, Last, LoadError, Remembered};
use crate::report::{self, line, root};
use crate::trigger::{Events, Trigger};
use crate::{NAME, Ports};

/// Calls at a time, to begin with and at the most. App Mesh's own controller reads at up to 40 a second.
const AT_A_TIME: (usize, usize) = (16, 40);

/// The most attempts to audit a mesh that another invocation audits at the same time.
const ATTEMPTS: usize = 3;

/// An audit without changes is stored if the stored state is older than this. The stored read time separates later
/// writes from earlier ones.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// The most unread resources that a report names.
const MOST_NAMED: usize = 20;

/// The reason codes for which a mesh is not or not fully audited. Each failure is remembered until its reason
/// is resolved.
const FAILURES: [&str; 9] = [
    "StateUnreachable",
    "LastStateUnreadable",
    "Unreadable",
    "PartlyRead",
    "Behind",
    "Overtaken",
    "NotAMesh",
    "StateNotKept",
    "NotTold",
];

/// The function change-audit.
#[derive(Debug)]
pub struct ChangeAudit {
    ports: Ports,
    pace: Mutex<Pace>,
}

impl ChangeAudit {
    pub(crate) fn new(ports: Ports) -> Self {
        let (start, most) = AT_A_TIME;
        Self { ports, pace: Mutex::new(Pace::new(start, most)) }
    }
}

impl LambdaFunction for ChangeAudit {
    type Trigger = Trigger;
    const INTERVAL: SignedDuration = SignedDuration::from_hours(1);

    fn name(&self) -> &'static str {
        NAME
    }

    fn trigger(&self, deliveries: Vec<Delivery>) -> Trigger {
        Trigger::new(deliveries)
    }

    // Without expected work, a run without enough time is repeated as a whole: processed messages count as repeats.
    async fn run(&self, run: &Run<'_>, trigger: &Trigger) {
        self.audit(trigger, run).await;
    }
}

/// Records a call that failed before the writes of these events were stored. Their messages are delivered again after any
/// error, since only the events name the writer. A message that keeps failing ends in the dead-letter queue.
fn fail_unrecorded(run: &Run<'_>, mesh: &MeshName, reason: &str, error: &PortError, events: &Events) {
    if !events.writes.is_empty() {
        run.retry(&events.requested_by, &error.to_string());
    }
    fail(run, root(mesh), reason, error, events);
}

/// Records a failed call. If a retry may succeed, the events are delivered again.
fn fail(run: &Run<'_>, resource: String, reason: &str, error: &PortError, events: &Events) {
    if error.kind.may_heal() {
        run.retry(&events.requested_by, &error.to_string());
    }
    run.failures().failed(&target(&resource, reason), error);
    let facts = json!({ "error": error.to_string(), "kind": error.kind, "call": error.call, "message": error.message });
    run.report(line(resource, "hold", reason, facts));
}

/// Records that the document of a mesh cannot be read. The events are delivered again, since only they name the writer. A
/// queue keeps them until the document is repaired.
fn unreadable(run: &Run<'_>, mesh: &MeshName, error: &DocumentError, events: &Events) {
    if !events.writes.is_empty() {
        run.retry(&events.requested_by, &error.to_string());
    }
    run.unreadable(&root(mesh), error);
}

/// Records a failure without a failed call: the mesh is not audited, or its changes are not reported.
fn hold(run: &Run<'_>, mesh: &MeshName, reason: &str, class: FailureClass, text: String, facts: serde_json::Value) {
    run.failures().fail(&target(&root(mesh), reason), class, reason, text);
    run.report(line(root(mesh), "hold", reason, facts));
}

/// The failure target of a resource and a reason.
fn target(resource: &str, reason: &str) -> String {
    format!("{resource} ({reason})")
}

impl ChangeAudit {
    async fn audit(&self, trigger: &Trigger, run: &Run<'_>) {
        let policy = run.policy();
        trigger.nowhere.iter().map(report::refused).for_each(|line| run.report(line));
        if !trigger.nowhere.is_empty() {
            let dimensions = vec![("Function", NAME.to_owned())];
            run.metric(Metric::count("RefusedWrites", trigger.nowhere.len(), dimensions));
        }
        if trigger.foreign > 0 {
            run.report(line("event".to_owned(), "keep", "NotOurs", json!({ "count": trigger.foreign })));
        }
        let mut meshes = trigger.meshes.clone();
        let scheduled = Events { requested_by: trigger.ticks.clone(), ..Events::default() };
        if !trigger.ticks.is_empty() {
            match self.ports.meshes.meshes().await {
                Ok(found) => {
                    let listed: BTreeSet<MeshName> = found.into_iter().map(|mesh| mesh.path.mesh().clone()).collect();
                    // A known mesh that the list lacks may have been deleted without an event.
                    let known = match self.roster().add(&listed, self.ports.clock.now()).await {
                        Ok(known) => known,
                        Err(error) => {
                            fail(run, "meshes".to_owned(), "StateUnreachable", &error, &scheduled);
                            listed
                        }
                    };
                    for mesh in known {
                        meshes.entry(mesh).or_default().schedule(&trigger.ticks);
                    }
                }
                Err(error) => {
                    if meshes.is_empty() {
                        run.observed_nothing();
                    }
                    fail(run, "meshes".to_owned(), "Unreadable", &error, &scheduled);
                }
            }
        }
        for reason in ["StateUnreachable", "Unreadable"] {
            run.failures().succeeded(&target("meshes", reason));
        }
        for (mesh, events) in meshes {
            self.audit_mesh(&mesh, &events, policy, run).await;
            // A recorded failure of this run takes precedence over the success.
            for reason in FAILURES {
                run.failures().succeeded(&target(&root(&mesh), reason));
            }
        }
    }

    /// Audits one mesh. A failure is reported, and does not stop the audit of other meshes.
    async fn audit_mesh(&self, mesh: &MeshName, events: &Events, policy: &Policy, run: &Run<'_>) {
        for _ in 0..ATTEMPTS {
            let now = self.ports.clock.now();
            let remembered = match Remembered::load(&self.ports, mesh, now).await {
                Ok(remembered) => remembered,
                Err(LoadError::Port(error)) => return fail_unrecorded(run, mesh, "StateUnreachable", &error, events),
                Err(LoadError::Document(error)) => return unreadable(run, mesh, &error, events),
            };
            if remembered.kill_switch_on {
                run.kill_switch_on();
            }
            if events.are_refused() {
                return self.note_refused(mesh, remembered, events, run).await;
            }
            let last = match remembered.last(&self.ports).await {
                Ok(Last::Unreadable(error)) => return unreadable(run, mesh, &error, events),
                Ok(last) => last,
                Err(error) => return fail_unrecorded(run, mesh, "LastStateUnreadable", &error, events),
            };
            let writes: Vec<Write> = remembered.document.waiting.iter().chain(&events.writes).cloned().collect();
            let before = match &last {
                Last::Known(snapshot) => Some(&**snapshot),
                Last::Never | Last::Lost(_) | Last::Unreadable(_) => None,
            };
            // A scheduled run also reads the resources that no event names.
            let reported: &[Write] = if events.tick { &[] } else { &writes };
            let observed = match observe(&self.ports, mesh, before, reported, &mut *self.pace.lock().await, now).await {
                Ok(observed) => observed,
                Err(unread) => return self.wait(mesh, remembered, events, unread, run).await,
            };
            let writes = of_this_mesh(mesh, writes, &observed.snapshot, run);
            let (hidden, writes): (Vec<Write>, Vec<Write>) =
                writes.into_iter().partition(|write| observed.hides(write));
            report_unread(mesh, &observed, &hidden, events, run);
            let seen = observed.snapshot;
            if before.is_none_or(|before| before.resources.is_empty())
                && !seen.resources.is_empty()
                && let Err(error) = self.roster().add(&[mesh.clone()].into(), now).await
            {
                return fail_unrecorded(run, mesh, "StateUnreachable", &error, events);
            }
            if let Some(behind) = StaleReading::detect(&seen, &writes, now) {
                run.retry(&events.requested_by, &behind.to_string());
                let facts = json!({ "told": behind.event_version, "read": behind.read });
                run.failures().fail(
                    &target(&root(mesh), "Behind"),
                    FailureClass::Transient,
                    "Behind",
                    behind.to_string(),
                );
                return run.report(line(behind.resource.to_string(), "hold", "Behind", facts));
            }
            let facts = AuditInput { before, after: &seen, writes: &writes, open: &remembered.document.open };
            let found = match audit_changes(&facts, policy, now) {
                Ok(found) => found,
                Err(error) => {
                    let facts = json!({ "error": error.to_string() });
                    return hold(run, mesh, "NotAMesh", FailureClass::Permanent, error.to_string(), facts);
                }
            };
            let audited =
                Audited { mesh, events, last: &last, seen: &seen, found: &found, hidden: &hidden, policy, now };
            if self.write_down(&audited, remembered, run).await {
                return self.leave(mesh, &seen, events, run).await;
            }
        }
        let why = format!("another invocation stored the audit of mesh {mesh} in every attempt");
        run.retry(&events.requested_by, &why);
        hold(run, mesh, "Overtaken", FailureClass::Transient, why, json!({ "attempts": ATTEMPTS }));
    }

    /// The meshes that were read before and that no audit has found deleted.
    fn roster(&self) -> Roster<'_> {
        Roster { state: self.ports.state.as_ref(), function: NAME }
    }

    /// Removes a deleted mesh from the roster.
    async fn leave(&self, mesh: &MeshName, seen: &Snapshot, events: &Events, run: &Run<'_>) {
        if seen.resources.is_empty()
            && !run.is_retried()
            && let Err(error) = self.roster().remove(mesh, self.ports.clock.now()).await
        {
            fail(run, root(mesh), "StateUnreachable", &error, events);
        }
    }

    /// Stores the result of an audit, then sends its notifications. Returns `false` if another invocation stored the
    /// mesh in the meantime.
    async fn write_down(&self, audited: &Audited<'_>, mut remembered: Remembered, run: &Run<'_>) -> bool {
        let Audited { mesh, events, last, seen, found, hidden, policy, now } = *audited;
        let mut lines = report::lines(mesh, found, policy);
        let is_news = !found.is_empty() || !remembered.has(seen) || found.open != remembered.document.open;
        let is_waiting = remembered.document.waiting != hidden;
        if is_news || is_waiting || remembered.is_owing(now) || remembered.is_older_than(FRESH, seen) {
            if let Last::Lost(why) = last {
                remembered.forget();
                let text = format!("{why}; the changes since it was stored are not known");
                run.failures().fail(
                    &target(&root(mesh), "LastStateLost"),
                    FailureClass::Permanent,
                    "LastStateLost",
                    text,
                );
                lines.push(line(root(mesh), "hold", "LastStateLost", json!({ "why": why })));
            }
            match remembered.keep(&self.ports, seen).await {
                Ok(Keeping::Done) => {}
                Ok(Keeping::NoPlace { bytes }) => {
                    let remedy = "set MESHWARDEN_REPORTS, so that changes of this mesh are detected";
                    let text = format!("its {bytes} bytes are too large for the state table; {remedy}");
                    run.failures().fail(
                        &target(&root(mesh), "NowhereToKeep"),
                        FailureClass::Permanent,
                        "NowhereToKeep",
                        text,
                    );
                    lines.push(line(root(mesh), "hold", "NowhereToKeep", json!({ "bytes": bytes, "mend": remedy })));
                }
                Err(error) => {
                    fail_unrecorded(run, mesh, "StateNotKept", &error, events);
                    return true;
                }
            }
            remembered.document.open.clone_from(&found.open);
            remembered.document.waiting.clear();
            remembered.wait(hidden);
            let mine = remembered.claim(report::messages(mesh, found, policy), run.holder(), now);
            let journal = (!found.is_empty()).then(|| (now, report::body(&lines)));
            match remembered.store(&self.ports, journal, now).await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    fail_unrecorded(run, mesh, "StateUnreachable", &error, events);
                    return true;
                }
            }
            self.send(mesh, &mine, events, run).await;
        }
        if lines.is_empty() {
            lines.push(line(root(mesh), "keep", "Unchanged", json!({ "resources": seen.resources.len() })));
        }
        for metric in report::metrics(mesh, found, policy) {
            run.metric(metric);
        }
        for line in lines {
            run.report(line);
        }
        true
    }

    /// Sends the owed notifications, and removes the sent ones from the document.
    async fn send(&self, mesh: &MeshName, mine: &[AuditOutboxEntry], events: &Events, run: &Run<'_>) {
        if mine.is_empty() {
            return;
        }
        let result = report::send(&self.ports, mine).await;
        if let Some(error) = &result.error {
            fail(run, root(mesh), "NotTold", error, events);
        }
        for _ in 0..ATTEMPTS {
            let now = self.ports.clock.now();
            let settled = match Remembered::load(&self.ports, mesh, now).await {
                Ok(mut remembered) => {
                    remembered.settle(&result.sent, &result.failed, now);
                    remembered.store(&self.ports, None, now).await
                }
                Err(LoadError::Port(error)) => Err(error),
                Err(LoadError::Document(error)) => Err(error.into()),
            };
            match settled {
                Ok(true) => return,
                Ok(false) => {}
                // The next run sends them once more.
                Err(error) => return fail(run, root(mesh), "StateUnreachable", &error, events),
            }
        }
    }

    /// Stores refused writes in the journal. They cannot have changed the mesh.
    async fn note_refused(&self, mesh: &MeshName, remembered: Remembered, events: &Events, run: &Run<'_>) {
        let now = self.ports.clock.now();
        let lines: Vec<Decision> = events.writes.iter().take(report::MOST_LINES).map(report::refused).collect();
        // The time of the first write: a repeated event writes the same entry.
        let at = events.writes.iter().find_map(|write| write.at).unwrap_or(now);
        match remembered.store(&self.ports, Some((at, report::body(&lines))), now).await {
            Ok(true) => {}
            Ok(false) => {
                run.retry(&events.requested_by, &format!("another invocation stored the audit of mesh {mesh} first"));
            }
            Err(error) => fail_unrecorded(run, mesh, "StateUnreachable", &error, events),
        }
        let dimensions = vec![("Function", NAME.to_owned()), ("Mesh", mesh.to_string())];
        run.metric(Metric::count("RefusedWrites", events.writes.len(), dimensions));
        for line in lines {
            run.report(line);
        }
    }

    /// Handles a mesh that cannot be read, so that its changes are not known. If no retry can succeed, the writes are
    /// stored until the mesh can be read.
    async fn wait(&self, mesh: &MeshName, mut remembered: Remembered, events: &Events, unread: Unread, run: &Run<'_>) {
        if !unread.error.kind.may_heal() && !events.writes.is_empty() {
            let now = self.ports.clock.now();
            remembered.wait(&events.writes);
            match remembered.store(&self.ports, None, now).await {
                Ok(true) => {}
                Ok(false) => {
                    run.retry(
                        &events.requested_by,
                        &format!("another invocation stored the audit of mesh {mesh} first"),
                    );
                }
                Err(error) => fail_unrecorded(run, mesh, "StateUnreachable", &error, events),
            }
        }
        fail(run, root(mesh), "Unreadable", &unread.error, events);
    }
}

/// The result of the audit of one mesh.
#[derive(Clone, Copy)]
struct Audited<'a> {
    mesh: &'a MeshName,
    events: &'a Events,
    last: &'a Last,
    seen: &'a Snapshot,
    found: &'a AuditResult,
    /// Writes with an unknown effect, stored until their resources can be read.
    hidden: &'a [Write],
    policy: &'a Policy,
    now: Timestamp,
}

/// Returns the writes of this mesh. Events about another account's mesh of the same name do not concern it, and it
/// never shows the changes of those events.
fn of_this_mesh(mesh: &MeshName, writes: Vec<Write>, seen: &Snapshot, run: &Run<'_>) -> Vec<Write> {
    let root_path = ResourcePath::Mesh(mesh.clone());
    let Some(own) = seen.resources.get(&root_path).map(|seen| seen.resource.metadata().mesh_owner.clone()) else {
        return writes;
    };
    let is_own = |write: &Write| {
        let mut owners = write.mesh_owner.iter().chain(&write.named_owner);
        owners.all(|owner| *owner == own)
    };
    let (own_writes, others): (Vec<Write>, Vec<Write>) = writes.into_iter().partition(is_own);
    let owners: BTreeSet<&AccountId> =
        others.iter().filter_map(|write| write.named_owner.as_ref().or(write.mesh_owner.as_ref())).collect();
    if !others.is_empty() {
        let facts = json!({ "count": others.len(), "owners": owners, "own": own });
        run.report(line(root(mesh), "keep", "OtherOwner", facts));
    }
    own_writes
}

/// Reports the resources that could not be read in an otherwise readable mesh. Events with writes to them are delivered
/// again if a retry may succeed. `write_down` stores the hidden writes in both cases.
fn report_unread(mesh: &MeshName, observed: &Observed, hidden: &[Write], events: &Events, run: &Run<'_>) {
    let Some((first, error)) = observed.errors().next() else { return };
    let may_heal = |(path, error): &&(ResourcePath, PortError)| {
        error.kind.may_heal() && hidden.iter().any(|write| write.resource.as_ref() == Some(path))
    };
    if let Some((_, error)) = observed.errors().find(may_heal) {
        run.retry(&events.requested_by, &error.to_string());
    }
    let count = observed.errors().count();
    let kind =
        if observed.errors().all(|(_, error)| error.kind.may_heal()) { error.kind } else { PortErrorKind::Denied };
    let text = format!("{count} resources could not be read, first {first}: {error}");
    run.failures().fail(&target(&root(mesh), "PartlyRead"), kind.class(), "PartlyRead", text);
    let unread: serde_json::Map<String, serde_json::Value> = observed
        .errors()
        .take(MOST_NAMED)
        .map(|(path, error)| (path.to_string(), json!({ "error": error.to_string(), "kind": error.kind })))
        .collect();
    run.report(line(root(mesh), "hold", "PartlyRead", json!({ "unread": unread, "count": count })));
}
