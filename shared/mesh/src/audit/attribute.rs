//! Which writes lie between two states of a resource.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::change::{ChangeKind, ResourceChange};
use super::snapshot::Snapshot;
use super::write::{Act, Write};
use crate::name::ResourcePath;

/// How far an event's time and ours may be apart: events tell seconds, and clocks differ. More, and a write is taken for
/// one of the time before; less, and it is taken for none.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

/// The most marks that are remembered of an open change. Beyond that an event that comes twice is told twice.
const MOST_MARKS: usize = 20;

/// What a change came of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "cause", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Cause {
    /// Of this write, and of no other.
    Written {
        /// The write.
        write: Box<Write>,
    },
    /// These writes lie between the two states; which of them did what nobody can say.
    Between {
        /// Those that events told, the oldest first.
        writes: Vec<Write>,
        /// How many more there must have been.
        untold: u64,
    },
    /// No event told of a write.
    NoEvent,
}

impl Cause {
    /// The writes that are known.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        match self {
            Self::Written { write } => std::slice::from_ref(&**write),
            Self::Between { writes, .. } => writes,
            Self::NoEvent => &[],
        }
    }
}

/// A change of which not every write was told by an event yet. Events come late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// The resource.
    pub resource: ResourcePath,
    #[serde(flatten)]
    span: Span,
    /// How many writes are not told.
    pub untold: u64,
    /// Whether people were told that something got worse, without knowing by whom.
    pub told: bool,
    /// The writes that are known already.
    known: BTreeSet<String>,
}

/// From one state of a resource to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    /// The version before; unset where that says nothing of the version after, since it is another resource's.
    from: Option<u64>,
    /// The version after; unset where the resource is gone.
    to: Option<u64>,
    /// Whether a resource was deleted on the way.
    deletes: bool,
    /// When the state before was read.
    since: Timestamp,
    /// When the state after was read.
    until: Timestamp,
}

impl Span {
    fn of(change: &ResourceChange, before: &Snapshot, after: &Snapshot) -> Self {
        let deletes = matches!(change.kind, ChangeKind::Deleted | ChangeKind::Replaced);
        let from = change.before.map(|stand| stand.version).filter(|_| !deletes);
        let to = change.after.map(|stand| stand.version);
        let path = &change.resource;
        Self { from, to, deletes, since: before.read_at(path), until: after.read_at(path) }
    }

    /// Whether a write of this resource lies in it.
    fn has(&self, write: &Write) -> bool {
        let in_time = write.at.is_none_or(|at| self.since - SLACK <= at && at <= self.until + SLACK);
        match (write.act(), write.version) {
            (Act::Delete, _) => self.deletes && in_time,
            (Act::Tags, _) | (Act::Spec, None) => in_time,
            // The version tells, whatever the clocks say.
            (Act::Spec, Some(version)) => match (self.from, self.to) {
                (Some(from), Some(to)) => from < version && version <= to,
                (None, Some(to)) => in_time && (self.deletes || version <= to),
                (_, None) => in_time,
            },
        }
    }

    /// How many writes there must have been, those of tags left aside.
    fn steps(&self) -> u64 {
        match (self.from, self.to) {
            (Some(from), Some(to)) => to.saturating_sub(from),
            (None, Some(to)) => to.saturating_add(u64::from(self.deletes)),
            (_, None) => u64::from(self.deletes),
        }
    }
}

/// What a change came of, and what is left open of it.
pub(super) fn attribute(
    change: &ResourceChange,
    before: &Snapshot,
    after: &Snapshot,
    writes: &[Write],
) -> (Cause, Option<Open>) {
    let span = Span::of(change, before, after);
    let mut known = BTreeSet::new();
    let mut lie_between: Vec<Write> = Vec::new();
    for write in writes {
        let is_of_it = write.resource.as_ref() == Some(&change.resource) && write.error.is_none();
        if is_of_it && span.has(write) && known.insert(write.mark()) {
            lie_between.push(write.clone());
        }
    }
    lie_between.sort_by_key(|write| (write.version, write.at));
    let count = |act: fn(Act) -> bool| lie_between.iter().filter(|write| act(write.act())).count();
    // A deletion is one step, whatever was written before it.
    let of_spec = if change.kind == ChangeKind::Deleted {
        count(|act| act == Act::Delete)
    } else {
        count(|act| act != Act::Tags)
    };
    let retagged = change.differences.iter().any(|difference| difference.path.starts_with("tags."));
    // The one that creates a resource tags it, too.
    let tags_untold = retagged && span.from.is_some() && count(|act| act == Act::Tags) == 0;
    let untold = span.steps().saturating_sub(u64::try_from(of_spec).unwrap_or(u64::MAX)) + u64::from(tags_untold);
    let open = (untold > 0).then(|| Open {
        resource: change.resource.clone(),
        span,
        untold,
        told: false,
        known: known.into_iter().take(MOST_MARKS).collect(),
    });
    let cause = match (lie_between.len(), untold) {
        (0, _) => Cause::NoEvent,
        (1, 0) => lie_between.pop().map_or(Cause::NoEvent, |write| Cause::Written { write: Box::new(write) }),
        (_, untold) => Cause::Between { writes: lie_between, untold },
    };
    (cause, open)
}

impl Open {
    /// Takes a write that comes late; `false` if it is none of this change's, or known already.
    pub(super) fn take(&mut self, write: &Write) -> bool {
        let is_of_it = write.resource.as_ref() == Some(&self.resource) && write.error.is_none();
        if self.untold == 0 || !is_of_it || !self.span.has(write) || !self.known.insert(write.mark()) {
            return false;
        }
        self.untold -= 1;
        true
    }

    /// When the change was seen.
    #[must_use]
    pub const fn seen(&self) -> Timestamp {
        self.span.until
    }
}
