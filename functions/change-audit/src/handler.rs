//! The function: each mesh that was written to is compared with how it was last seen.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use lambda_kit::wake::Delivery;
use lambda_kit::{Current, Decision, FailedMessages, Handler, Metric, PolicyKeeper, Report, Retry, holder};
use mesh::audit::{Behind, Facts, Look, Snapshot, Write, look};
use mesh::name::MeshName;
use mesh::policy::{Policy, PolicyError};
use ports::{Deadline, Pace, PortError, Roster};
use serde_json::json;
use tokio::sync::Mutex;

use crate::observe::{Unread, observe};
use crate::remember::{Keeping, Last, Owed, Remembered};
use crate::tell::{self, line, root};
use crate::wake::{Events, Wake};
use crate::{NAME, Ports};

/// Calls at a time, to begin with and at the most. App Mesh's own controller reads at up to 40 a second.
const AT_A_TIME: (usize, usize) = (16, 40);

/// How often a look begins anew when another invocation was there in the meantime.
const ATTEMPTS: usize = 3;

/// A look that finds nothing is written down when the last one is older: so much later a write can't be told from those
/// before it by its time.
const FRESH: SignedDuration = SignedDuration::from_mins(10);

/// The function change-audit.
#[derive(Debug)]
pub struct ChangeAudit {
    ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
    pace: Mutex<Pace>,
}

impl ChangeAudit {
    /// Puts the function together.
    #[must_use]
    pub fn new(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Self {
        let (start, most) = AT_A_TIME;
        Self { ports, policy, pace: Mutex::new(Pace::new(start, most)) }
    }
}

#[async_trait]
impl Handler for ChangeAudit {
    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry> {
        let Current { policy, rejected } = self.policy.current(self.ports.clock.now()).await;
        let wake = Wake::of(deliveries);
        let by = holder(NAME, deadline, self.ports.clock.now());
        let mut done = Done { by, ..Done::default() };
        let audited = tokio::time::timeout(deadline.left(), self.audit(wake, &policy, &mut done)).await;
        if audited.is_err() {
            done.retry = Some("its time ran out; what was written down is not written again".to_owned());
            // Which messages were not looked at isn't known any more; those that were are found to be repeats.
            done.messages.clear();
        }
        let mut report = Report::of(done.decisions);
        report.metrics = done.metrics;
        report.signals.policy_rejected = rejected.is_some();
        report.signals.kill_switch_on = done.kill_switch_on;
        match done.retry {
            Some(why) => {
                Err(Retry { why, report: Some(report), messages: FailedMessages::named_or_all(done.messages) })
            }
            None => Ok(report),
        }
    }
}

/// What is done so far.
#[derive(Debug, Default)]
struct Done {
    decisions: Vec<Decision>,
    metrics: Vec<Metric>,
    kill_switch_on: bool,
    /// This invocation, and no other.
    by: String,
    retry: Option<String>,
    /// The messages that should come again.
    messages: Vec<String>,
}

impl Done {
    /// Says what failed. Events that may do better come again.
    fn fail(&mut self, resource: String, reason: &str, error: &PortError, events: &Events) {
        if error.kind.may_heal() {
            self.again(error.to_string(), events);
        }
        let facts = json!({ "error": error.to_string(), "kind": error.kind });
        self.decisions.push(line(resource, "hold", reason, facts));
    }

    fn again(&mut self, why: String, events: &Events) {
        self.retry.get_or_insert(why);
        self.messages.extend(events.messages.iter().cloned());
    }
}

impl ChangeAudit {
    async fn audit(&self, wake: Wake, policy: &Policy, done: &mut Done) {
        done.decisions.extend(wake.nowhere.iter().map(tell::refused));
        if !wake.nowhere.is_empty() {
            let dimensions = vec![("Function", NAME.to_owned())];
            done.metrics.push(Metric::count("RefusedWrites", wake.nowhere.len(), dimensions));
        }
        if wake.foreign > 0 {
            done.decisions.push(line("event".to_owned(), "keep", "NotOurs", json!({ "count": wake.foreign })));
        }
        let mut meshes = wake.meshes;
        if wake.tick {
            match self.ports.meshes.meshes().await {
                Ok(found) => {
                    let listed: BTreeSet<MeshName> = found.into_iter().map(|mesh| mesh.path.mesh().clone()).collect();
                    // One that is in no list any more went without an event.
                    let known = match self.roster().add(&listed, self.ports.clock.now()).await {
                        Ok(known) => known,
                        Err(error) => {
                            done.fail("meshes".to_owned(), "StateUnreachable", &error, &Events::default());
                            listed
                        }
                    };
                    for mesh in known {
                        meshes.entry(mesh).or_default().tick = true;
                    }
                }
                Err(error) => done.fail("meshes".to_owned(), "Unreadable", &error, &Events::default()),
            }
        }
        for (mesh, events) in meshes {
            self.audit_mesh(&mesh, &events, policy, done).await;
        }
    }

    /// Audits one mesh. Whatever goes wrong with it is said, and keeps no other from being audited.
    async fn audit_mesh(&self, mesh: &MeshName, events: &Events, policy: &Policy, done: &mut Done) {
        for _ in 0..ATTEMPTS {
            let now = self.ports.clock.now();
            let remembered = match Remembered::load(&self.ports, mesh, now).await {
                Ok(remembered) => remembered,
                Err(error) => return done.fail(root(mesh), "StateUnreachable", &error, events),
            };
            done.kill_switch_on |= remembered.kill_switch_on;
            if events.are_refused() {
                return self.note_refused(mesh, remembered, events, done).await;
            }
            let last = match remembered.last(&self.ports).await {
                Ok(last) => last,
                Err(error) => return done.fail(root(mesh), "LastStateUnreadable", &error, events),
            };
            let writes: Vec<Write> = remembered.document.waiting.iter().chain(&events.writes).cloned().collect();
            let before = match &last {
                Last::Known(snapshot) => Some(&**snapshot),
                Last::Never | Last::Lost(_) => None,
            };
            // The schedule looks at what no event tells of.
            let told: &[Write] = if events.tick { &[] } else { &writes };
            let seen = match observe(&self.ports, mesh, before, told, &mut *self.pace.lock().await, now).await {
                Ok(seen) => seen,
                Err(unread) => return self.wait(mesh, remembered, events, unread, done).await,
            };
            if before.is_none_or(|before| before.resources.is_empty())
                && !seen.resources.is_empty()
                && let Err(error) = self.roster().add(&[mesh.clone()].into(), now).await
            {
                return done.fail(root(mesh), "StateUnreachable", &error, events);
            }
            if let Some(behind) = Behind::of(&seen, &writes, now) {
                done.again(behind.to_string(), events);
                let facts = json!({ "told": behind.told, "read": behind.read });
                return done.decisions.push(line(behind.resource.to_string(), "hold", "Behind", facts));
            }
            let facts = Facts { before, after: &seen, writes: &writes, open: &remembered.document.open };
            let found = match look(&facts, policy, now) {
                Ok(found) => found,
                Err(error) => {
                    let facts = json!({ "error": error.to_string() });
                    return done.decisions.push(line(root(mesh), "hold", "NotAMesh", facts));
                }
            };
            let audited = Audited { mesh, events, last: &last, seen: &seen, found: &found, policy, now };
            if self.write_down(&audited, remembered, done).await {
                return self.leave(mesh, &seen, events, done).await;
            }
        }
        done.again(format!("mesh {mesh} is audited by others all the time"), events);
        done.decisions.push(line(root(mesh), "hold", "Overtaken", json!({ "attempts": ATTEMPTS })));
    }

    /// The meshes that were ever seen and not yet seen gone.
    fn roster(&self) -> Roster<'_> {
        Roster { state: self.ports.state.as_ref(), function: NAME }
    }

    /// A mesh that was seen to be gone is missed no more.
    async fn leave(&self, mesh: &MeshName, seen: &Snapshot, events: &Events, done: &mut Done) {
        if seen.resources.is_empty()
            && done.retry.is_none()
            && let Err(error) = self.roster().remove(mesh, self.ports.clock.now()).await
        {
            done.fail(root(mesh), "StateUnreachable", &error, events);
        }
    }

    /// Stores what was found, then tells it; `false` when another invocation stored something in the meantime.
    async fn write_down(&self, audited: &Audited<'_>, mut remembered: Remembered, done: &mut Done) -> bool {
        let Audited { mesh, events, last, seen, found, policy, now } = *audited;
        let mut lines = tell::lines(mesh, found, policy);
        let is_news = !found.is_empty() || !remembered.has(seen) || found.open != remembered.document.open;
        let is_waiting = !remembered.document.waiting.is_empty();
        if is_news || is_waiting || remembered.is_owing(now) || remembered.is_older_than(FRESH, seen) {
            if let Last::Lost(why) = last {
                remembered.forget();
                lines.push(line(root(mesh), "hold", "LastStateLost", json!({ "why": why })));
            }
            match remembered.keep(&self.ports, seen).await {
                Ok(Keeping::Done) => {}
                Ok(Keeping::NoPlace { bytes }) => {
                    let mend = "set MESHWARDEN_REPORTS, so that changes of this mesh can be told";
                    lines.push(line(root(mesh), "hold", "NowhereToKeep", json!({ "bytes": bytes, "mend": mend })));
                }
                Err(error) => {
                    done.fail(root(mesh), "StateNotKept", &error, events);
                    return true;
                }
            }
            remembered.document.open.clone_from(&found.open);
            remembered.document.waiting.clear();
            let mine = remembered.claim(tell::tell(mesh, found, policy), &done.by, now);
            let journal = (!found.is_empty()).then(|| (now, tell::body(&lines)));
            match remembered.store(&self.ports, journal, now).await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    done.fail(root(mesh), "StateUnreachable", &error, events);
                    return true;
                }
            }
            self.tell(mesh, &mine, events, done).await;
        }
        if lines.is_empty() {
            lines.push(line(root(mesh), "keep", "Unchanged", json!({ "resources": seen.resources.len() })));
        }
        done.metrics.extend(tell::metrics(mesh, found, policy));
        done.decisions.extend(lines);
        true
    }

    /// Tells what is owed, and takes off what was told.
    async fn tell(&self, mesh: &MeshName, mine: &[Owed], events: &Events, done: &mut Done) {
        if mine.is_empty() {
            return;
        }
        let telling = tell::send(&self.ports, mine).await;
        if let Some(error) = &telling.error {
            done.fail(root(mesh), "NotTold", error, events);
        }
        for _ in 0..ATTEMPTS {
            let now = self.ports.clock.now();
            let settled = match Remembered::load(&self.ports, mesh, now).await {
                Ok(mut remembered) => {
                    remembered.settle(&telling.told, &telling.failed, now);
                    remembered.store(&self.ports, None, now).await
                }
                Err(error) => Err(error),
            };
            match settled {
                Ok(true) => return,
                Ok(false) => {}
                // The next wake tells it once more.
                Err(error) => return done.fail(root(mesh), "StateUnreachable", &error, events),
            }
        }
    }

    /// Writes refused writes down, of which nothing can have changed.
    async fn note_refused(&self, mesh: &MeshName, remembered: Remembered, events: &Events, done: &mut Done) {
        let now = self.ports.clock.now();
        let lines: Vec<Decision> = events.writes.iter().take(tell::MOST_LINES).map(tell::refused).collect();
        // By the time of the first: the same event again is the same entry.
        let at = events.writes.iter().find_map(|write| write.at).unwrap_or(now);
        match remembered.store(&self.ports, Some((at, tell::body(&lines))), now).await {
            Ok(true) => {}
            Ok(false) => done.again(format!("mesh {mesh} was audited by others in the meantime"), events),
            Err(error) => done.fail(root(mesh), "StateUnreachable", &error, events),
        }
        let dimensions = vec![("Function", NAME.to_owned()), ("Mesh", mesh.to_string())];
        done.metrics.push(Metric::count("RefusedWrites", events.writes.len(), dimensions));
        done.decisions.extend(lines);
    }

    /// Nobody can say what has changed. Where no retry would help, who wrote is kept for when the mesh can be read.
    async fn wait(
        &self,
        mesh: &MeshName,
        mut remembered: Remembered,
        events: &Events,
        unread: Unread,
        done: &mut Done,
    ) {
        let reason = if unread.paths.is_empty() { "Unreadable" } else { "PartlyRead" };
        if !unread.error.kind.may_heal() && !events.writes.is_empty() {
            let now = self.ports.clock.now();
            remembered.wait(&events.writes);
            match remembered.store(&self.ports, None, now).await {
                Ok(true) => {}
                Ok(false) => done.again(format!("mesh {mesh} was audited by others in the meantime"), events),
                Err(error) => done.fail(root(mesh), "StateUnreachable", &error, events),
            }
        }
        done.fail(root(mesh), reason, &unread.error, events);
    }
}

/// A mesh that was looked at.
#[derive(Clone, Copy)]
struct Audited<'a> {
    mesh: &'a MeshName,
    events: &'a Events,
    last: &'a Last,
    seen: &'a Snapshot,
    found: &'a Look,
    policy: &'a Policy,
    now: Timestamp,
}
