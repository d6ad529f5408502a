//! The conditions of the state table's writes, as functions of what is stored. The in-memory table goes by them; the
//! DynamoDB table puts the same conditions into its requests and uses these to tell why one was refused.

use jiff::Timestamp;

use crate::state_store::{Begin, Finish, Note, Refusal, Stored};

/// What a conditional write comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission<R> {
    /// The condition holds: write, with this as the document's new revision.
    Write {
        /// The revision after the write.
        revision: u64,
    },
    /// The very same write was done before and only its answer was lost: nothing is left to do.
    AlreadyDone {
        /// The revision after that write.
        revision: u64,
    },
    /// The condition does not hold.
    Refused(R),
}

impl Stored {
    /// Whether somebody holds the lease now.
    #[must_use]
    pub fn leased_at(&self, now: Timestamp) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.until > now)
    }
}

impl Begin {
    /// Whether the document lets this begin. A granted lease's epoch is the document's new revision: it rises with
    /// every grant, and the writer knows it without an answer that could be lost.
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
    /// Whether the lease is still the one that the epoch was granted with. Between a grant and its end nobody else can
    /// write the document without taking the lease away, so its revision is the epoch until then.
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
    /// Whether the revision still holds and nobody has the lease. A lease that has run out is taken away, so that its
    /// late holder can't finish over the note.
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
