//! The conditions of the state table's writes, as functions of the stored item. The in-memory table evaluates them; the
//! DynamoDB table puts the same conditions into its requests, and uses these functions to explain a failed one.

use jiff::Timestamp;

use crate::state_store::{Begin, Finish, Note, Refusal, Stored};

/// The verdict on a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission<R> {
    /// The condition holds: write the document with this revision.
    Write {
        /// The revision after the write.
        revision: u64,
    },
    /// The write was made before, and only its response was lost: no write is needed.
    AlreadyDone {
        /// The revision after that write.
        revision: u64,
    },
    /// The condition does not hold.
    Refused(R),
}

impl Stored {
    /// Whether the lease is held now.
    #[must_use]
    pub fn leased_at(&self, now: Timestamp) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.until > now)
    }
}

impl Begin {
    /// Whether a change may begin. The epoch of a granted lease is the document's new revision: it increases with every
    /// grant, and the writer can compute it without an answer that could be lost.
    #[must_use]
    pub fn admission(&self, stored: Option<&Stored>) -> Admission<Refusal> {
        let revision = self.revision + 1;
        let Some(stored) = stored else {
            return if self.revision == 0 {
                Admission::Write { revision }
            } else {
                Admission::Refused(Refusal::RevisionMoved)
            };
        };
        let mine = stored.lease.as_ref().is_some_and(|lease| lease.holder == self.holder);
        let leased = stored.leased_at(self.now);
        if mine && leased && stored.revision == revision && stored.epoch == revision && stored.document == self.document
        {
            Admission::AlreadyDone { revision }
        } else if leased && !mine {
            Admission::Refused(Refusal::LeaseHeld)
        } else if stored.revision == self.revision {
            Admission::Write { revision }
        } else {
            Admission::Refused(Refusal::RevisionMoved)
        }
    }
}

impl Finish {
    /// Whether the lease of the epoch is still held. Between a grant and its end, no other writer can write the
    /// document without revoking the lease, so its revision equals the epoch until then.
    #[must_use]
    pub fn admission(&self, stored: Option<&Stored>) -> Admission<()> {
        let revision = self.epoch + 1;
        match stored {
            Some(stored) if stored.epoch == self.epoch && stored.lease.is_some() => Admission::Write { revision },
            Some(stored)
                if stored.epoch == self.epoch && stored.revision == revision && stored.document == self.document =>
            {
                Admission::AlreadyDone { revision }
            }
            Some(_) | None => Admission::Refused(()),
        }
    }
}

impl Note {
    /// Whether the revision is unchanged and no lease is held. An expired lease is revoked, so that its late holder
    /// cannot finish after the note.
    #[must_use]
    pub fn admission(&self, stored: Option<&Stored>) -> Admission<()> {
        let revision = self.revision + 1;
        match stored {
            None if self.revision == 0 => Admission::Write { revision },
            Some(stored) if stored.leased_at(self.now) => Admission::Refused(()),
            Some(stored) if stored.revision == self.revision => Admission::Write { revision },
            Some(stored)
                if stored.revision == revision && stored.lease.is_none() && stored.document == self.document =>
            {
                Admission::AlreadyDone { revision }
            }
            Some(_) | None => Admission::Refused(()),
        }
    }
}
