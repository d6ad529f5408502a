//! The interface between the loop of [`Run::reconcile`] and a function that changes a mesh.

use std::collections::BTreeSet;

use jiff::Timestamp;
use ports::PortError;
use records::Layout;

use crate::case::{Case, CaseDecision, DocumentState, News, ObservationData, PlanData};
use crate::change::{Executed, NotBegun, PendingChange};
use crate::outcome::Outcome;
use crate::run::Run;

/// The part of a function that changes a mesh: its observation, decisions, steps and messages.
pub trait Reconcile: Sync {
    /// The data that was read.
    type Observation: ObservationData;
    /// The content of a document.
    type Record: DocumentState;
    /// A decision as the function makes it.
    type Decision: Send + Sync;
    /// A plan.
    type Plan: PlanData<Self::Record>;
    /// The result of the steps of a plan.
    type Done: Send;
    /// The most passes over everything, for a target with plans that make further plans possible.
    const ROUNDS: usize = 1;
    /// The form of a journal entry about the begin of a change, in format 0.
    const BEGUN: Layout;
    /// The form of a journal entry about decisions, in format 0.
    const DECIDED: Layout;

    /// Reads the facts of the decisions, now.
    fn observe(&self, run: &Run<'_>) -> impl Future<Output = Result<Self::Observation, PortError>> + Send;

    /// Decides, and makes plans. No call is made.
    fn decide(&self, pass: &Pass<'_>, seen: &Self::Observation) -> Vec<CaseOf<Self>>;

    /// Executes one plan. The steps come after `change.begin()`.
    fn execute(
        &self,
        change: PendingChange<'_>,
        seen: &Self::Observation,
        plan: &Self::Plan,
    ) -> impl Future<Output = Result<Executed<Self::Done>, NotBegun>> + Send;

    /// Enters the result of the steps into the record.
    fn conclude(
        &self,
        pass: &Pass<'_>,
        decision: &CaseDecision<Self::Decision, Self::Plan>,
        done: &Result<Self::Done, PortError>,
        record: &mut Self::Record,
    ) -> Outcome;

    /// Enters new facts into the record, after the plans of the case were executed. No call is made.
    fn report(&self, pass: &Pass<'_>, seen: &Self::Observation, case: &mut CaseOf<Self>) -> News;
}

/// The case of a target.
pub type CaseOf<T> = Case<<T as Reconcile>::Record, <T as Reconcile>::Decision, <T as Reconcile>::Plan>;

/// One pass of the loop.
#[derive(Debug)]
pub struct Pass<'a> {
    /// The invocation.
    pub run: &'a Run<'a>,
    /// When the decisions are made.
    pub now: Timestamp,
    /// The resources that are decided again after a conflict; `None` in the first pass.
    pub only: Option<&'a BTreeSet<String>>,
}
