//! A function and the engine that runs it: the same path from deliveries to an answer for every function.
//!
//! ```text
//! deliveries ─▶ trigger ─▶ policy ─▶ run, within the time ─▶ failures, paged if they last ─▶ report and retry
//! ```
//!
//! Without any version of the policy the work does not run: the invocation fails, and the failure is paged if it lasts.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::SignedDuration;
use policy::{PagingPolicy, Policy, PolicyError};
use ports::Deadline;
use serde_json::Value;

use crate::engine::{Engine, EnginePorts};
use crate::events::{self, Delivery};
use crate::failure_memory::{FailureMemory, FailureRun};
use crate::policy_keeper::{Current, NoPolicy, PolicyKeeper};
use crate::report::Report;
use crate::run::{Run, RunResult};
use crate::runtime::{Handler, Retry};
use crate::standstill_memory::StandstillMemory;

/// The part of a function that the engine does not have: its events and its work.
pub trait LambdaFunction: Send + Sync {
    /// The requests of all deliveries of one invocation together.
    type Trigger: Send + Sync;

    /// The interval of the schedule. Two failures that are further apart than three intervals are not in a row.
    const INTERVAL: SignedDuration;

    /// Whether traffic may stay on a failing target because of a failed call, as long as the run has not set it. See
    /// [`FailureRun::set_urgent`].
    const IS_URGENT: bool = false;

    /// The name in reports, metrics, budgets and the state table.
    fn name(&self) -> &'static str;

    /// The limits for pages about failed calls.
    fn paging(&self, policy: &Policy) -> PagingPolicy {
        policy.failover.paging.clone()
    }

    /// Reads an event. A function that is invoked with events of an undocumented form reads them itself.
    fn read(&self, event: &Value) -> Vec<Delivery> {
        events::parse(event)
    }

    /// Reads the deliveries. Unreadable ones and those for other recipients have already been reported.
    fn trigger(&self, deliveries: Vec<Delivery>) -> Self::Trigger;

    /// Does the work of one invocation. It may be dropped at any await when the time runs out.
    fn run(&self, run: &Run<'_>, trigger: &Self::Trigger) -> impl Future<Output = ()> + Send;
}

/// A function with its engine: the handler of its events.
#[derive(Debug)]
pub struct Runner<F> {
    function: F,
    engine: Engine,
}

impl<F: LambdaFunction> Runner<F> {
    /// Puts a function on the engine.
    pub fn new(function: F, ports: EnginePorts, policy: PolicyKeeper<Policy, PolicyError>) -> Self {
        let (state, notifier) = (Arc::clone(&ports.state), Arc::clone(&ports.notifier));
        let name = function.name();
        let failures = FailureMemory::new(name, F::INTERVAL, Arc::clone(&state), Arc::clone(&notifier));
        let standstills = StandstillMemory::new(name, F::INTERVAL, state, notifier);
        Self { function, engine: Engine { ports, policy, failures, standstills } }
    }
}

#[async_trait]
impl<F: LambdaFunction> Handler for Runner<F> {
    fn read(&self, event: &Value) -> Vec<Delivery> {
        self.function.read(event)
    }

    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry> {
        let Self { function, engine } = self;
        let trigger = function.trigger(deliveries);
        let now = engine.ports.clock.now();
        let failures = FailureRun::new(F::IS_URGENT);
        let Current { policy, rejected } = match engine.policy.current(now).await {
            Ok(current) => current,
            Err(missing) => return Err(missing.end_invocation(&engine.failures, failures, deadline, now).await),
        };
        let run = Run::new(function.name(), engine, &policy, failures, deadline, now);
        NoPolicy::record_loaded(run.failures());
        let work = function.run(&run, &trigger);
        let in_time = FailureMemory::work_by(deadline, work).await;
        let RunResult { mut report, failures, waiting, work } = run.into_ended();
        failures.ended(in_time);
        let paging = function.paging(&policy);
        let mut withheld = engine.failures.finish_by(deadline, failures, &paging, now).await;
        if in_time {
            // A run without enough time does not know which decisions still wait.
            withheld += engine.standstills.finish_by(deadline, waiting, &paging, now).await;
        }
        let withheld = u32::try_from(withheld).unwrap_or(u32::MAX);
        report.signals.pages_withheld = report.signals.pages_withheld.saturating_add(withheld);
        report.signals.policy_rejected = rejected.is_some();
        match work.failure(in_time) {
            Some((why, messages)) => Err(Retry { why, report: Some(report), messages }),
            None => Ok(report),
        }
    }
}
