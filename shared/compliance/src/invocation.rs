//! An invocation: its events, and the meshes of these events.

use jiff::SignedDuration;
use ports::{Deadline, PortErrorKind};
use runner::events::Delivery;
use runner::{Decision as Line, LambdaFunction, Run, WorkItem};

use crate::agenda::Agenda;
use crate::answer::{Answers, is_settled};
use crate::function::{Compliance, INTERVAL};
use crate::observe::{self, Observation};
use crate::repairs::MeshRepairs;
use crate::trigger::{Concern, ItemRequest, Trigger};
use crate::{lines, name};

impl LambdaFunction for Compliance {
    type Trigger = Trigger;
    const INTERVAL: SignedDuration = INTERVAL;

    fn name(&self) -> &'static str {
        name(self.topic)
    }

    // 1. Event
    fn trigger(&self, deliveries: Vec<Delivery>) -> Trigger {
        Trigger::new(deliveries)
    }

    async fn run(&self, run: &Run<'_>, trigger: &Trigger) {
        lines::report_remarks(run, trigger);
        let requests = self.requests(run, trigger).await;
        let (settled, open): (Vec<ItemRequest>, Vec<ItemRequest>) =
            requests.into_iter().partition(|request| is_settled(self.topic, request));
        let mut answers = Answers::new(trigger, settled.iter());
        for request in open.iter().filter(|request| request.item.path().is_none()) {
            Answers::without_arn(run, request);
        }
        let (agenda, is_listed) = self.agenda(run, trigger, &open).await;
        let meshes: Vec<MeshRepairs<'_>> =
            agenda.into_items().map(|(mesh, scope)| MeshRepairs::new(self, trigger, mesh, scope)).collect();
        let waiting = answers.waiting();
        run.expect(meshes.iter().map(|mesh| mesh.item.clone()).chain(waiting.clone()));

        let (mut seen, mut is_unread) = (Vec::new(), !is_listed);
        let mut left = u32::try_from(meshes.len()).unwrap_or(u32::MAX);
        for mesh in meshes {
            // Each mesh has an equal share of the time, so that a throttled mesh does not delay the others.
            let share = Deadline::after(run.deadline().left() / left.max(1));
            left = left.saturating_sub(1);
            match share.cover(self.read(run, &mesh, &mut answers, &open)).await {
                Ok(observation) => seen.push((mesh, observation)),
                Err(absence) => {
                    is_unread |= absence == Absence::Unread;
                    run.done(&mesh.item.subject);
                }
            }
        }
        if seen.is_empty() && is_unread {
            run.observed_nothing();
        }
        // The answers are sent before any change, so that AWS Config gets the state at the time of its request.
        answers.send(run, &self.ports).await;
        for answer in &waiting {
            run.done(&answer.subject);
        }
        for (mesh, observation) in seen {
            run.reconcile(&mesh.item, &mesh, Some(observation)).await;
            run.done(&mesh.item.subject);
        }
    }
}

/// The reason why a mesh has no observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absence {
    /// The mesh does not exist: the last event about a mesh is its deletion.
    Deleted,
    /// The mesh could not be read.
    Unread,
}

impl Compliance {
    /// Reads a mesh, and evaluates it for AWS Config.
    async fn read(
        &self,
        run: &Run<'_>,
        mesh: &MeshRepairs<'_>,
        answers: &mut Answers,
        open: &[ItemRequest],
    ) -> Result<Observation, Absence> {
        match mesh.read(run).await {
            Ok(observation) => {
                run.failures().succeeded(&mesh.item.subject);
                lines::report_unread(run, mesh.trigger, &mesh.mesh, &observation.facts.unread);
                answers.add(run, &observation, open);
                Ok(observation)
            }
            Err(error) => {
                Answers::unread(run, &mesh.mesh, &error, open);
                if error.kind == PortErrorKind::NotFound {
                    run.failures().succeeded(&mesh.item.subject);
                    run.report(Line::new(mesh.item.subject.clone(), "keep", "NotThere", serde_json::json!({})));
                    return Err(Absence::Deleted);
                }
                run.failures().failed(&mesh.item.subject, &error);
                run.unread(&mesh.item, &error);
                Err(Absence::Unread)
            }
        }
    }

    /// The requests of AWS Config. An item that was too large to be sent, or has no ARN, is replaced by the newest item
    /// in the configuration history.
    async fn requests(&self, run: &Run<'_>, trigger: &Trigger) -> Vec<ItemRequest> {
        let mut all = Vec::new();
        for request in &trigger.items {
            let mut request = request.clone();
            let is_nameless = request.item.kind().is_some() && request.item.arn.is_none();
            if (request.oversized || is_nameless) && !request.item.status.is_deleted() {
                let target = format!("the history of {}", request.item.resource.resource_type);
                match self.ports.config.newest_item(&request.item.resource).await {
                    Ok(newest) => {
                        run.failures().succeeded(&target);
                        let arn = request.item.arn.clone().or_else(|| newest.as_ref()?.arn.clone());
                        if let Some(newest) = newest.filter(|newest| newest.captured_at >= request.item.captured_at) {
                            request.item = newest;
                        }
                        // The summary has the resource and the time, which is sufficient.
                        request.item.arn = arn;
                    }
                    Err(error) => {
                        run.failures().failed(&target, &error);
                        let subject = format!("item/{}", request.item.resource.resource_id);
                        let requested_by = trigger.concerned(&Concern::Delivery(request.message.clone()));
                        run.unread(&WorkItem { subject, requested_by }, &error);
                        if error.kind.may_heal() {
                            continue;
                        }
                    }
                }
            }
            all.push(request);
        }
        all
    }

    /// The agenda of the invocation, and whether the list of meshes could be read if it was needed.
    async fn agenda(&self, run: &Run<'_>, trigger: &Trigger, open: &[ItemRequest]) -> (Agenda, bool) {
        let (mut all, mut is_listed) = (Vec::new(), true);
        if trigger.is_for_everything() {
            let requested_by = trigger.concerned(&Concern::AllMeshes);
            let meshes = WorkItem { subject: "meshes".to_owned(), requested_by };
            match run.read(&meshes, observe::meshes(&self.ports).await) {
                Ok(meshes) => all = meshes,
                Err(_) => is_listed = false,
            }
        }
        (Agenda::new(trigger, all, open.iter()), is_listed)
    }
}
