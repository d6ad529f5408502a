//! Attributes a change of a resource to the writes between its two states.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::change::{ChangeKind, ResourceChange};
use super::snapshot::Snapshot;
use super::write::{Write, WriteKind};
use mesh::name::ResourcePath;

/// The tolerated difference between an event's time and the reading's time: events have whole seconds, and clocks
/// differ. A larger value would include earlier writes, a smaller one would miss writes.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

/// The maximum number of stored marks of an open change. Beyond that, an event delivered twice is reported twice.
const MOST_MARKS: usize = 20;

/// The cause of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "cause", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ChangeCause {
    /// One write, and no other.
    Written {
        /// The write.
        write: Box<Write>,
    },
    /// Several writes lie between the two states; their individual effects are unknown.
    Between {
        /// The writes with an event, oldest first.
        writes: Vec<Write>,
        /// The number of further writes, without an event.
        #[serde(rename = "untold")]
        unreported: u64,
    },
    /// No event reported a write.
    NoEvent,
}

impl ChangeCause {
    /// The known writes.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        match self {
            Self::Written { write } => std::slice::from_ref(&**write),
            Self::Between { writes, .. } => writes,
            Self::NoEvent => &[],
        }
    }
}

/// A change with writes that no event has reported yet. Events may arrive late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenChange {
    /// The resource.
    pub resource: ResourcePath,
    #[serde(flatten)]
    span: Span,
    /// The number of unreported writes.
    #[serde(rename = "untold")]
    pub unreported: u64,
    /// Whether operators were notified that the change made the mesh worse, without its author.
    #[serde(rename = "told")]
    pub notified: bool,
    /// The marks of the known writes.
    known: BTreeSet<String>,
}

/// The interval between two states of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span {
    /// The version before; absent if the resource was deleted in between, so the versions are not comparable.
    from: Option<u64>,
    /// The version after; absent if the resource was deleted.
    to: Option<u64>,
    /// Whether a resource was deleted in between.
    deletes: bool,
    /// When the state before was read.
    since: Timestamp,
    /// When the state after was read.
    until: Timestamp,
}

impl Span {
    fn new(change: &ResourceChange, before: &Snapshot, after: &Snapshot) -> Self {
        let deletes = matches!(change.kind, ChangeKind::Deleted | ChangeKind::Replaced);
        let from = change.before.map(|stand| stand.version).filter(|_| !deletes);
        let to = change.after.map(|stand| stand.version);
        let path = &change.resource;
        Self { from, to, deletes, since: before.read_at(path), until: after.read_at(path) }
    }

    /// Whether a write of this resource lies in the interval.
    fn has(&self, write: &Write) -> bool {
        let in_time = write.at.is_none_or(|at| self.since - SLACK <= at && at <= self.until + SLACK);
        match (write.kind(), write.version) {
            (WriteKind::Delete, _) => self.deletes && in_time,
            (WriteKind::Tags, _) | (WriteKind::Spec, None) => in_time,
            // The version decides, independent of clocks.
            (WriteKind::Spec, Some(version)) => match (self.from, self.to) {
                (Some(from), Some(to)) => from < version && version <= to,
                (None, Some(to)) => in_time && (self.deletes || version <= to),
                (_, None) => in_time,
            },
        }
    }

    /// The minimum number of writes in the interval, without writes of tags.
    fn steps(&self) -> u64 {
        match (self.from, self.to) {
            (Some(from), Some(to)) => to.saturating_sub(from),
            (None, Some(to)) => to.saturating_add(u64::from(self.deletes)),
            (_, None) => u64::from(self.deletes),
        }
    }
}

/// The cause of a change, and its unreported writes.
pub(super) fn attribute(
    change: &ResourceChange,
    before: &Snapshot,
    after: &Snapshot,
    writes: &[Write],
) -> (ChangeCause, Option<OpenChange>) {
    let span = Span::new(change, before, after);
    let mut known = BTreeSet::new();
    let mut lie_between: Vec<Write> = Vec::new();
    for write in writes {
        let is_of_it = write.resource.as_ref() == Some(&change.resource) && write.error.is_none();
        if is_of_it && span.has(write) && known.insert(write.mark()) {
            lie_between.push(write.clone());
        }
    }
    lie_between.sort_by_key(|write| (write.version, write.at));
    let count = |act: fn(WriteKind) -> bool| lie_between.iter().filter(|write| act(write.kind())).count();
    // A deletion is one step, independent of the writes before it.
    let of_spec = if change.kind == ChangeKind::Deleted {
        count(|act| act == WriteKind::Delete)
    } else {
        count(|act| act != WriteKind::Tags)
    };
    let retagged = change.differences.iter().any(|difference| difference.path.starts_with("tags."));
    // The creation of a resource includes its tags.
    let tags_unreported = retagged && span.from.is_some() && count(|act| act == WriteKind::Tags) == 0;
    let unreported =
        span.steps().saturating_sub(u64::try_from(of_spec).unwrap_or(u64::MAX)) + u64::from(tags_unreported);
    let open = (unreported > 0).then(|| OpenChange {
        resource: change.resource.clone(),
        span,
        unreported,
        notified: false,
        known: known.into_iter().take(MOST_MARKS).collect(),
    });
    let cause = match (lie_between.len(), unreported) {
        (0, _) => ChangeCause::NoEvent,
        (1, 0) => {
            lie_between.pop().map_or(ChangeCause::NoEvent, |write| ChangeCause::Written { write: Box::new(write) })
        }
        (_, unreported) => ChangeCause::Between { writes: lie_between, unreported },
    };
    (cause, open)
}

impl OpenChange {
    /// Assigns a late write to the change; `false` if it does not belong to the change, or is known already.
    pub(super) fn assign(&mut self, write: &Write) -> bool {
        let is_of_it = write.resource.as_ref() == Some(&self.resource) && write.error.is_none();
        if self.unreported == 0 || !is_of_it || !self.span.has(write) || !self.known.insert(write.mark()) {
            return false;
        }
        self.unreported -= 1;
        true
    }

    /// When the change was observed.
    #[must_use]
    pub const fn seen(&self) -> Timestamp {
        self.span.until
    }
}
