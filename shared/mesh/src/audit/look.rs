//! One look at a mesh: what has changed since the last, by whom, and what that did.

use jiff::{SignedDuration, Timestamp};

use super::attribute::{Cause, Open, attribute};
use super::change::{ResourceChange, changes};
use super::effect::{Effect, Effects, effects};
use super::snapshot::Snapshot;
use super::write::{Act, Write};
use crate::graph::InsertError;
use crate::name::ResourcePath;
use crate::policy::Policy;

/// How long an event is waited for. CloudTrail's come within a quarter of an hour, and a queue keeps them for a while.
const OPEN_FOR: SignedDuration = SignedDuration::from_hours(24);

/// How old an event may be that tells more than was read. A reading lags by seconds; what lags for longer is another
/// history, such as that of a control plane that was set back, and nothing waits for it.
const LAG: SignedDuration = SignedDuration::from_mins(15);

/// The most changes that are kept open for late events: a document of the state table has at most 400 KB.
const MOST_OPEN: usize = 200;

/// What a look is made from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The mesh as it was last seen; `None` at first sight.
    pub before: Option<&'a Snapshot>,
    /// The mesh as it is.
    pub after: &'a Snapshot,
    /// The writes that events told since, and some of before; those that were refused among them.
    pub writes: &'a [Write],
    /// What earlier looks left open.
    pub open: &'a [Open],
}

/// What a look found.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Whether the mesh was never seen before, so that nothing can have changed.
    pub is_first: bool,
    /// What has changed, in the order in which it did as far as that is known.
    pub audits: Vec<Audit>,
    /// Writes that explain what an earlier look found.
    pub late: Vec<Late>,
    /// Writes of which nothing is to be seen: told before, or without an effect.
    pub repeats: Vec<Write>,
    /// Writes that were refused.
    pub refused: Vec<Write>,
    /// What the changes did together.
    pub effect: Effect,
    /// What of that can't be put down to one of them.
    pub rest: Effect,
    /// What is left open now.
    pub open: Vec<Open>,
}

/// A change with whoever made it and what it did.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// The change.
    pub change: ResourceChange,
    /// What it came of.
    pub cause: Cause,
    /// What it did of what is left of it now.
    pub effect: Effect,
}

/// A write that explains what an earlier look found.
#[derive(Debug, Clone, PartialEq)]
pub struct Late {
    /// The write.
    pub write: Write,
    /// When the change was seen.
    pub seen: Timestamp,
    /// Whether people were told of the change without knowing by whom.
    pub told: bool,
}

/// What was read is older than what an event told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{resource} was read at version {read}, and an event told of version {told}")]
pub struct Behind {
    /// The resource.
    pub resource: ResourcePath,
    /// The version that an event told.
    pub told: u64,
    /// The version that was read.
    pub read: u64,
}

impl Behind {
    /// The first resource whose reading is older than a recent event. One that was created after the event is another.
    #[must_use]
    pub fn of(after: &Snapshot, writes: &[Write], now: Timestamp) -> Option<Self> {
        writes.iter().filter(|write| write.error.is_none() && write.act() == Act::Spec).find_map(|write| {
            let (path, told) = (write.resource.as_ref()?, write.version?);
            let seen = after.resources.get(path)?;
            let read = seen.version();
            let at = write.at?;
            let created = seen.resource.metadata().created_at.time();
            // Events tell whole seconds.
            let is_the_same = created.as_second() <= at.as_second();
            let is_recent = now.duration_since(at) < LAG;
            (told > read && is_the_same && is_recent).then(|| Self { resource: path.clone(), told, read })
        })
    }
}

/// Looks at what has changed. An error is a state that holds a resource of another mesh.
pub fn look(facts: &Facts<'_>, policy: &Policy, now: Timestamp) -> Result<Look, InsertError> {
    let (refused, writes): (Vec<Write>, Vec<Write>) =
        facts.writes.iter().cloned().partition(|write| write.error.is_some());
    let known = facts.before.map(|before| before.with_tags_known_since(facts.after));
    let Some(before) = known.as_ref() else {
        return Ok(Look {
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
    let mut causes: Vec<(ResourceChange, Cause, Option<Open>)> = found
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
        match open.iter_mut().find_map(|open| open.take(&write).then_some((open.seen(), open.told))) {
            Some((seen, told)) => late.push(Late { write, seen, told }),
            None => repeats.push(write),
        }
    }
    let mut audits = Vec::new();
    for (change, cause, left) in causes {
        let effect = each.next().unwrap_or_default();
        if let Some(mut left) = left {
            left.told = worse_together || effect.is_worse(policy);
            open.push(left);
        }
        audits.push(Audit { change, cause, effect });
    }
    open.retain(|open| open.untold > 0 && now.duration_since(open.seen()) < OPEN_FOR);
    let superfluous = open.len().saturating_sub(MOST_OPEN);
    open.drain(..superfluous);
    let Effects { all: effect, rest, .. } = effects;
    Ok(Look { is_first: false, audits, late, repeats, refused, effect, rest, open })
}

/// When a change was made, as far as anybody knows.
fn made_at(change: &ResourceChange, cause: &Cause) -> (bool, Option<Timestamp>) {
    let told = cause.writes().iter().filter_map(|write| write.at).max();
    let stands = change.after.map(|stand| stand.updated);
    let of_spec = change.differences.iter().any(|difference| difference.path.starts_with("spec"));
    let at = told.or(stands.filter(|_| of_spec));
    // What nobody knows the time of comes last.
    (at.is_none(), at)
}

impl Audit {
    /// The stable reason code.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match &self.cause {
            Cause::Written { .. } => "Written",
            Cause::Between { .. } => "WritesBetween",
            Cause::NoEvent => "NoEvent",
        }
    }
}

impl Look {
    /// Whether there is nothing to write down.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.is_first && self.audits.is_empty() && self.late.is_empty() && self.refused.is_empty()
    }
}
