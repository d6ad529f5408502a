//! The function: its events, and its passes over all meshes.

use jiff::SignedDuration;
use policy::{PagingPolicy, Policy};
use runner::events::Delivery;
use runner::{LambdaFunction, RequestedBy, Run, WorkItem};

use crate::rotations::Rotations;
use crate::trigger::{EVERYTHING, Trigger};
use crate::{NAME, Ports, calls, lines, metrics};

/// The function certificate-rotation.
#[derive(Debug)]
pub struct CertificateRotation {
    pub(crate) ports: Ports,
}

impl LambdaFunction for CertificateRotation {
    type Trigger = Trigger;
    const INTERVAL: SignedDuration = SignedDuration::from_mins(5);

    fn name(&self) -> &'static str {
        NAME
    }

    fn paging(&self, policy: &Policy) -> PagingPolicy {
        calls::paging(&policy.certificates)
    }

    // 1. Event
    fn trigger(&self, deliveries: Vec<Delivery>) -> Trigger {
        Trigger::new(&deliveries)
    }

    async fn run(&self, run: &Run<'_>, trigger: &Trigger) {
        let rotations = Rotations::new(&self.ports, trigger, run);
        let meshes = WorkItem { subject: EVERYTHING.to_owned(), requested_by: trigger.requested_by(EVERYTHING) };
        let Ok(first) = run.read(&meshes, runner::Reconcile::observe(&rotations, run).await) else {
            return run.observed_nothing();
        };
        run.reconcile(&meshes, &rotations, Some(first)).await;
        let newest = std::mem::take(&mut *rotations.newest());
        for notice in &newest.unused {
            run.report(lines::unused(notice));
        }
        let unplaced: RequestedBy = newest.unplaced.into_iter().collect();
        run.retry(&unplaced, "failed to store what an event reported");
        for metric in newest.metrics.into_iter().chain(metrics::rotations(&run.outcomes())) {
            run.metric(metric);
        }
    }
}
