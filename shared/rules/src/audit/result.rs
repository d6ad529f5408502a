//! The audit of a mesh: the changes since the last state, their authors, and their effects.

use jiff::{SignedDuration, Timestamp};

use super::attribute::{ChangeCause, OpenChange, attribute};
use super::change::{ResourceChange, changes};
use super::effect::{Effect, Effects, effects};
use super::snapshot::Snapshot;
use super::write::{Write, WriteKind};
use mesh::graph::InsertError;
use mesh::name::ResourcePath;
use policy::Policy;

/// How long late events are expected. CloudTrail delivers within a quarter of an hour, and a queue adds its retention.
const OPEN_FOR: SignedDuration = SignedDuration::from_hours(24);

/// The maximum age of an event with a newer version than the reading. A reading is stale for seconds at most. A longer
/// difference has another cause, for example a control plane restored from a backup, and is not waited for.
const LAG: SignedDuration = SignedDuration::from_mins(15);

/// The maximum number of open changes: a document of the state table is limited to 400 KB.
const MOST_OPEN: usize = 200;

/// The input of an audit.
#[derive(Debug, Clone, Copy)]
pub struct AuditInput<'a> {
    /// The last stored state of the mesh; `None` for a new mesh.
    pub before: Option<&'a Snapshot>,
    /// The present state of the mesh.
    pub after: &'a Snapshot,
    /// The writes that events reported since, including rejected ones, and possibly earlier ones.
    pub writes: &'a [Write],
    /// The open changes of earlier audits.
    pub open: &'a [OpenChange],
}

/// The result of an audit.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditResult {
    /// Whether the mesh has no stored state, so that no changes are known.
    pub is_first: bool,
    /// The changes, in the order in which they were made as far as it is known.
    pub audits: Vec<AuditedChange>,
    /// The late writes that explain changes of earlier audits.
    pub late: Vec<LateWrite>,
    /// The writes without a visible change: reported before, or without an effect.
    pub repeats: Vec<Write>,
    /// The rejected writes.
    pub refused: Vec<Write>,
    /// The effects of all changes together.
    pub effect: Effect,
    /// The effects that no single change explains.
    pub rest: Effect,
    /// The open changes.
    pub open: Vec<OpenChange>,
}

/// A change with its cause and its effects.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditedChange {
    /// The change.
    pub change: ResourceChange,
    /// The cause.
    pub cause: ChangeCause,
    /// The effects that still exist.
    pub effect: Effect,
}

/// A late write that explains a change of an earlier audit.
#[derive(Debug, Clone, PartialEq)]
pub struct LateWrite {
    /// The write.
    pub write: Write,
    /// When the change was observed.
    pub seen: Timestamp,
    /// Whether operators were notified of the change without its author.
    pub reported: bool,
}

/// The reading is older than an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{resource} was read at version {read}, but an event has version {event_version}")]
pub struct StaleReading {
    /// The resource.
    pub resource: ResourcePath,
    /// The version in the event.
    pub event_version: u64,
    /// The version read.
    pub read: u64,
}

impl StaleReading {
    /// The first resource with a reading older than a recent event. A resource created after the event is
    /// a different one.
    #[must_use]
    pub fn detect(after: &Snapshot, writes: &[Write], now: Timestamp) -> Option<Self> {
        writes.iter().filter(|write| write.error.is_none() && write.kind() == WriteKind::Spec).find_map(|write| {
            let (path, event_version) = (write.resource.as_ref()?, write.version?);
            let seen = after.resources.get(path)?;
            let read = seen.version();
            let at = write.at?;
            let created = seen.resource.metadata().created_at.time();
            // Events have whole seconds.
            let is_the_same = created.as_second() <= at.as_second();
            let is_recent = now.duration_since(at) < LAG;
            (event_version > read && is_the_same && is_recent).then(|| Self {
                resource: path.clone(),
                event_version,
                read,
            })
        })
    }
}

/// Audits the changes between two states. Fails if a state holds a resource of another mesh.
pub fn audit_changes(facts: &AuditInput<'_>, policy: &Policy, now: Timestamp) -> Result<AuditResult, InsertError> {
    let (refused, writes): (Vec<Write>, Vec<Write>) =
        facts.writes.iter().cloned().partition(|write| write.error.is_some());
    let known = facts.before.map(|before| before.known_since(facts.after, &writes));
    let Some(before) = known.as_ref() else {
        return Ok(AuditResult {
            is_first: true,
            audits: Vec::new(),
            late: Vec::new(),
            repeats: writes,
            refused,
            effect: Effect::default(),
            rest: Effect::default(),
            open: Vec::new(),
        });
    };
    let found = changes(before, facts.after);
    let mut causes: Vec<(ResourceChange, ChangeCause, Option<OpenChange>)> = found
        .into_iter()
        .map(|change| {
            let (cause, open) = attribute(&change, before, facts.after, &writes);
            (change, cause, open)
        })
        .collect();
    causes.sort_by_key(|(change, cause, _)| made_at(change, cause));
    let ordered: Vec<&ResourceChange> = causes.iter().map(|(change, _, _)| change).collect();
    let effects = effects(before, facts.after, &ordered, policy, now)?;
    let used: Vec<Write> = causes.iter().flat_map(|(_, cause, _)| cause.writes().to_vec()).collect();
    let worse_together = effects.rest.is_worse(policy);
    let mut each = effects.each.into_iter();

    let mut open = facts.open.to_vec();
    let (mut late, mut repeats) = (Vec::new(), Vec::new());
    for write in writes.into_iter().filter(|write| !used.contains(write)) {
        match open.iter_mut().find_map(|open| open.assign(&write).then_some((open.seen(), open.notified))) {
            Some((seen, reported)) => late.push(LateWrite { write, seen, reported }),
            None => repeats.push(write),
        }
    }
    let mut audits = Vec::new();
    for (change, cause, left) in causes {
        let effect = each.next().unwrap_or_default();
        if let Some(mut left) = left {
            left.notified = worse_together || effect.is_worse(policy);
            open.push(left);
        }
        audits.push(AuditedChange { change, cause, effect });
    }
    open.retain(|open| open.unreported > 0 && now.duration_since(open.seen()) < OPEN_FOR);
    let superfluous = open.len().saturating_sub(MOST_OPEN);
    open.drain(..superfluous);
    let Effects { all: effect, rest, .. } = effects;
    Ok(AuditResult { is_first: false, audits, late, repeats, refused, effect, rest, open })
}

/// When a change was made, as far as known; unknown times sort last.
fn made_at(change: &ResourceChange, cause: &ChangeCause) -> (bool, Option<Timestamp>) {
    let written = cause.writes().iter().filter_map(|write| write.at).max();
    let stands = change.after.map(|stand| stand.updated);
    let of_spec = change.differences.iter().any(|difference| difference.path.starts_with("spec"));
    let at = written.or(stands.filter(|_| of_spec));
    // Changes with unknown times come last.
    (at.is_none(), at)
}

impl AuditedChange {
    /// The stable reason code.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match &self.cause {
            ChangeCause::Written { .. } => "Written",
            ChangeCause::Between { .. } => "WritesBetween",
            ChangeCause::NoEvent => "NoEvent",
        }
    }
}

impl AuditResult {
    /// Whether the result is empty, so nothing is recorded.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.is_first && self.audits.is_empty() && self.late.is_empty() && self.refused.is_empty()
    }
}
