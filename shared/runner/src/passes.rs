//! The loop of every function that changes a mesh.
//!
//! ```text
//! observe, decide; for each document:
//!   for each plan, in sequence:  begin -> execute -> conclude -> finish
//!   if anything is new:          store with the messages -> send -> remove the sent messages
//! superseded by another writer:  observe again, decide about the same resources; three attempts
//! a plan was executed:           observe again, decide about everything; as many rounds as the target has
//! ```
//!
//! | killed | state | next run |
//! |-|-|-|
//! | before `begin` | unchanged | decides the same again |
//! | between `begin` and `finish` | the document has the intent and the lease | resumes the plan once the lease has ended |
//! | after `finish` | the change is recorded and not reported | reports it |
//! | after the messages are stored | they wait in the document | sends them |
//!
//! The engine decides nothing about a mesh: the function reads, decides, writes and words the messages.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::OnceCell;

use crate::case::CaseDecision;
use crate::case_work::CaseWork;
use crate::reconcile::{Pass, Reconcile};
use crate::run::Run;
use crate::work::{RequestedBy, WorkItem};

/// The most attempts for resources that other writers change in between, before the delivery is repeated.
const ATTEMPTS: usize = 3;

/// The continuation after a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NextPass {
    /// The loop ends.
    End,
    /// A pass over the superseded resources.
    Superseded(BTreeSet<String>),
    /// A pass over everything.
    Everything,
}

impl NextPass {
    /// The continuation after the pass with this number, from 1.
    fn after(pass: usize, rounds: usize, has_moved: bool, superseded: &BTreeSet<String>) -> Self {
        if rounds > 1 {
            if has_moved && pass < rounds { Self::Everything } else { Self::End }
        } else if pass < ATTEMPTS && !superseded.is_empty() {
            Self::Superseded(superseded.clone())
        } else {
            Self::End
        }
    }
}

impl Run<'_> {
    /// Brings a target into its decided state. `first` is an observation of this run, if there is one.
    pub async fn reconcile<T: Reconcile>(&self, item: &WorkItem, target: &T, first: Option<T::Observation>) {
        let (mut first, mut only) = (first, None);
        let mut facts: BTreeMap<String, RequestedBy> = BTreeMap::new();
        for number in 1.. {
            let seen = match first.take() {
                Some(seen) => seen,
                None => match self.read(item, target.observe(self).await) {
                    Ok(seen) => seen,
                    Err(_) => break,
                },
            };
            let pass = Pass { run: self, now: self.clock(), only: only.as_ref() };
            let observed = OnceCell::new();
            let (mut has_moved, mut superseded, mut open) = (false, BTreeSet::new(), Vec::new());
            for mut case in target.decide(&pass, &seen) {
                let work = CaseWork { run: self, target, pass: &pass, seen: &seen, observed: &observed };
                work.execute(&mut case).await;
                if work.report(&mut case).await {
                    facts.remove(case.key.as_str());
                } else if !case.facts.is_empty() {
                    facts.insert(case.key.as_str().to_owned(), case.facts);
                }
                for decision in case.decisions {
                    has_moved |= decision.has_moved();
                    // A decision that the next pass makes again is reported by that pass.
                    let (is_superseded, is_final) = (decision.is_superseded(), T::ROUNDS > 1 && decision.has_moved());
                    if is_superseded {
                        superseded.insert(decision.entry.resource.clone());
                    }
                    if is_final || T::ROUNDS == 1 && !is_superseded {
                        self.conclude(&decision);
                    } else {
                        open.push(decision);
                    }
                }
            }
            match NextPass::after(number, T::ROUNDS, has_moved, &superseded) {
                NextPass::End => {
                    for decision in &open {
                        self.conclude(decision);
                    }
                    break;
                }
                NextPass::Superseded(resources) => only = Some(resources),
                NextPass::Everything => only = None,
            }
        }
        for requested_by in facts.values() {
            self.retry(requested_by, "failed to store what an event reported");
        }
    }

    /// Reports a decision that is not made again in this run.
    fn conclude<D, P>(&self, decision: &CaseDecision<D, P>) {
        let why = decision.outcome.as_ref().and_then(|outcome| outcome.retry(&decision.entry.resource));
        if let Some(why) = why {
            self.retry(&decision.requested_by, &why);
        }
        if decision.shown {
            self.report_decision(decision);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_follow_conflicts_and_progress() {
        let (none, one) = (BTreeSet::new(), BTreeSet::from(["mesh/shop".to_owned()]));
        let again = NextPass::Superseded(one.clone());
        // The pass, the rounds of the target, whether a plan moved the state, the superseded resources, what follows.
        for (pass, rounds, has_moved, superseded, next) in [
            (1, 1, true, &none, NextPass::End),
            (1, 1, true, &one, again.clone()),
            (2, 1, true, &one, again),
            (3, 1, true, &one, NextPass::End),
            (1, 6, false, &none, NextPass::End),
            (1, 6, true, &none, NextPass::Everything),
            (5, 6, true, &one, NextPass::Everything),
            (6, 6, true, &one, NextPass::End),
        ] {
            assert_eq!(NextPass::after(pass, rounds, has_moved, superseded), next, "{pass} of {rounds}");
        }
    }
}
