//! A function: event, observe, decide, plan, execute, report.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use lambda_kit::wake::Delivery;
use lambda_kit::{Current, FailedMessages, Handler, PolicyKeeper, Report, Retry};
use mesh::compliance::{Plan, Scope, Topic, Verdict, decide};
use mesh::name::{MeshName, ResourcePath};
use mesh::policy::{Policy, PolicyError};
use ports::{BudgetWindow, Deadline, FailureMemory, FailureRun, PortErrorKind};
use tokio::sync::Mutex;

use crate::account::{Account, Repeat};
use crate::actuate::{Ledger, Outcome, Work, actuate};
use crate::agenda::{Agenda, Item};
use crate::answer::{Answers, is_settled};
use crate::observe::{self, Observation, StateError, Warm};
use crate::tell::{Done, During, INTERVAL, Reporter};
use crate::trigger::{Concern, ItemRequest, Trigger};
use crate::{Ports, journal, name};

/// How often resources that another writer wrote in between are observed and decided again before Lambda has to retry.
const ATTEMPTS: usize = 3;

/// What a change needs to be begun and ended in. With less time left the next invocation continues.
const ONE_CHANGE: Duration = Duration::from_secs(3);

/// The function of a topic.
#[derive(Debug)]
pub struct Compliance {
    topic: Topic,
    ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
    warm: Mutex<Warm>,
    reporter: Reporter,
    failures: FailureMemory,
}

/// One invocation.
struct Run<'a> {
    trigger: &'a Trigger,
    policy: &'a Policy,
    window: BudgetWindow,
    holder: String,
    deadline: Deadline,
    now: Timestamp,
    failures: FailureRun,
}

/// How far an invocation has come. What was done before its time ran out stays done.
#[derive(Debug, Default)]
struct Progress {
    accounts: Vec<Account>,
    /// The meshes that are not finished; unset until they are known.
    unfinished: Option<BTreeSet<MeshName>>,
    /// The messages that wait for an answer to AWS Config.
    unanswered: BTreeSet<String>,
    /// Whether no mesh could be read, although one was to be.
    observed_nothing: bool,
}

impl Compliance {
    /// Puts the function together.
    #[must_use]
    pub fn new(topic: Topic, ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Self {
        let (state, notifier) = (Arc::clone(&ports.state), Arc::clone(&ports.notifier));
        Self {
            topic,
            reporter: Reporter::new(topic, ports.clone()),
            failures: FailureMemory::new(name(topic), INTERVAL, state, notifier),
            ports,
            policy,
            warm: Mutex::default(),
        }
    }
}

#[async_trait]
impl Handler for Compliance {
    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry> {
        let trigger = Trigger::new(deliveries);
        let now = self.ports.clock.now();
        let Current { policy, rejected } = self.policy.current(now).await;
        let (window, holder) = (
            BudgetWindow::at(name(self.topic), self.topic.budget(&policy).window.get(), now),
            lambda_kit::holder(name(self.topic), deadline, now),
        );
        let failures = FailureRun::default();
        let run = Run { trigger: &trigger, policy: &policy, window, holder, deadline, now, failures };
        let mut progress = Progress::default();
        let time = FailureMemory::time_for_work(deadline);
        let in_time = tokio::time::timeout(time, self.reconcile(&run, &mut progress)).await.is_ok();
        let paging = &run.policy.failover.paging;
        self.failures.finish_by(deadline, run.failures, paging, now).await;
        progress.answer(&trigger, in_time, rejected.is_some())
    }
}

impl Progress {
    /// What Lambda is answered: the report, and the messages that come again.
    #[expect(clippy::result_large_err, reason = "the runtime's own type, moved once in an invocation")]
    fn answer(self, trigger: &Trigger, in_time: bool, policy_rejected: bool) -> Result<Report, Retry> {
        let Self { accounts, unfinished, unanswered, observed_nothing } = self;
        let mut why = (!in_time).then(|| "its time ran out; what was begun is continued".to_owned());
        let mut messages = BTreeSet::new();
        for Repeat { why: this, concern } in accounts.iter().flat_map(|account| &account.repeats) {
            let concerned = trigger.concerned(concern);
            if !concerned.is_empty() {
                why.get_or_insert_with(|| this.clone());
                messages.extend(concerned.into_iter().flatten());
            }
        }
        if !in_time {
            match unfinished {
                Some(meshes) => {
                    messages.extend(unanswered);
                    let concerned = meshes.into_iter().flat_map(|mesh| trigger.concerned(&Concern::Mesh(mesh)));
                    messages.extend(concerned.flatten());
                }
                // Nobody knows yet what belongs to which message, and no message means all.
                None => messages.clear(),
            }
        }
        let mut report = Account::report(accounts);
        report.signals.policy_rejected = policy_rejected;
        report.signals.observed_nothing = observed_nothing;
        match why {
            Some(why) => {
                let messages = FailedMessages::named_or_all(messages.into_iter().collect());
                Err(Retry { why, report: Some(report), messages })
            }
            None => Ok(report),
        }
    }
}

impl Compliance {
    async fn reconcile(&self, run: &Run<'_>, progress: &mut Progress) {
        progress.accounts = Account::remarks(run.trigger);
        let requests = self.requests(run, &mut progress.accounts).await;
        let (settled, open): (Vec<ItemRequest>, Vec<ItemRequest>) =
            requests.into_iter().partition(|request| is_settled(self.topic, request));
        let mut answers = Answers::new(run.trigger, settled.iter());
        for request in open.iter().filter(|request| request.item.path().is_none()) {
            answers.without_arn(request);
        }
        let agenda = self.agenda(run, &open, &mut progress.accounts).await;
        progress.unfinished = Some(agenda.meshes().cloned().collect());
        progress.unanswered = answers.messages().cloned().collect();

        let mut seen = Vec::new();
        let items: Vec<(MeshName, Item)> = agenda.into_items().collect();
        let mut left = u32::try_from(items.len()).unwrap_or(u32::MAX);
        for (mesh, item) in items {
            // Each mesh has its share of the time: one that is throttled for long keeps no other from being judged.
            let share = Deadline::after(run.deadline.left() / left.max(1));
            left = left.saturating_sub(1);
            let observed = self.observe(run, &mesh, &item, &open, &mut answers, &mut progress.accounts);
            if let Some(observation) = share.cover(observed).await {
                answers.add(&observation, self.topic, run.policy, &open, run.now);
                seen.push((item, observation));
            } else if let Some(unfinished) = &mut progress.unfinished {
                unfinished.remove(&mesh);
            }
        }
        progress.observed_nothing = seen.is_empty() && progress.accounts.iter().any(|account| account.is_unread);
        // Before anything is changed: AWS Config gets the state at the time of its request.
        progress.accounts.extend(answers.send(&self.ports, &run.failures).await);
        progress.unanswered.clear();
        for (item, observation) in seen {
            let mesh = observation.facts.mesh.name.clone();
            progress.accounts.extend(self.remediate(run, &item, observation).await);
            if let Some(unfinished) = &mut progress.unfinished {
                unfinished.remove(&mesh);
            }
        }
    }

    /// What AWS Config reports; of an item that it could not send whole, or that has no ARN, the newest that it has.
    async fn requests(&self, run: &Run<'_>, accounts: &mut Vec<Account>) -> Vec<ItemRequest> {
        let mut all = Vec::new();
        for request in &run.trigger.items {
            let mut request = request.clone();
            let is_nameless = request.item.kind().is_some() && request.item.arn.is_none();
            if (request.oversized || is_nameless) && !request.item.status.is_deleted() {
                let target = format!("the history of {}", request.item.resource.resource_type);
                match self.ports.config.newest_item(&request.item.resource).await {
                    Ok(newest) => {
                        run.failures.succeeded(&target);
                        let arn = request.item.arn.clone().or_else(|| newest.as_ref()?.arn.clone());
                        if let Some(newest) = newest.filter(|newest| newest.captured_at >= request.item.captured_at) {
                            request.item = newest;
                        }
                        // The summary names the resource and the time, which is all that is needed.
                        request.item.arn = arn;
                    }
                    Err(error) => {
                        run.failures.failed(&target, &error);
                        let what = format!("item/{}", request.item.resource.resource_id);
                        let concern = Concern::Delivery(request.message.clone());
                        accounts.push(Account::unreadable(&what, &error, concern));
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

    /// What is looked at.
    async fn agenda(&self, run: &Run<'_>, open: &[ItemRequest], accounts: &mut Vec<Account>) -> Agenda {
        let mut all = Vec::new();
        if run.trigger.is_for_everything() {
            match observe::meshes(&self.ports).await {
                Ok(meshes) => {
                    run.failures.succeeded("meshes");
                    all = meshes;
                }
                Err(error) => {
                    run.failures.failed("meshes", &error);
                    accounts.push(Account::unreadable("meshes", &error, Concern::AllMeshes));
                }
            }
        }
        Agenda::new(run.trigger, all, open.iter())
    }

    async fn observe(
        &self,
        run: &Run<'_>,
        mesh: &MeshName,
        item: &Item,
        open: &[ItemRequest],
        answers: &mut Answers,
        accounts: &mut Vec<Account>,
    ) -> Option<Observation> {
        let what = ResourcePath::Mesh(mesh.clone()).to_string();
        match observe::mesh(&self.ports, &self.warm, self.topic, mesh, item.since, &run.window).await {
            Ok(observation) => {
                run.failures.succeeded(&what);
                let parts = format!("parts of {what}");
                match observation.facts.unread.iter().next() {
                    Some((_, first)) => {
                        let (class, count) = (first.class(), observation.facts.unread.len());
                        run.failures.fail(
                            &parts,
                            class,
                            "PartlyRead",
                            format!("{count} unread, first {}", first.error),
                        );
                    }
                    None => run.failures.succeeded(&parts),
                }
                accounts.extend(Account::partly_read(mesh, &observation.facts.unread));
                Some(observation)
            }
            Err(error) => {
                answers.unread(mesh, &error, open);
                accounts.push(if error.kind == PortErrorKind::NotFound {
                    // The last event about a mesh is that it was deleted.
                    run.failures.succeeded(&what);
                    Account::not_there(&what)
                } else {
                    run.failures.failed(&what, &error);
                    Account::unreadable(&what, &error, Concern::Mesh(mesh.clone()))
                });
                None
            }
        }
    }

    /// Decides, executes and reports until no other writer has written in between, or often enough.
    async fn remediate(&self, run: &Run<'_>, item: &Item, mut observation: Observation) -> Vec<Account> {
        let mut accounts = Vec::new();
        let mesh = observation.facts.mesh.name.clone();
        let mut again: Option<BTreeSet<ResourcePath>> = None;
        for attempt in 1..=ATTEMPTS {
            accounts.extend(self.state_account(run, &mesh, observation.state_error.as_ref()));
            let scope = again.as_ref().map_or(item.scope(), Scope::Only);
            let (done, not_sent) = self.execute(run, &observation, scope).await;
            let superseded = |(_, outcome): &Done| matches!(outcome, Some(Outcome::Superseded));
            let is_last = attempt == ATTEMPTS;
            accounts.extend(accounts_of(&done, &observation, item, again.is_none(), is_last));
            accounts.extend(not_sent);
            let overtaken: BTreeSet<ResourcePath> =
                done.iter().filter(|done| superseded(done)).map(|(decision, _)| decision.resource.clone()).collect();
            if overtaken.is_empty() || is_last {
                break;
            }
            observe::forget(&self.warm, &mesh).await;
            match observe::mesh(&self.ports, &self.warm, self.topic, &mesh, None, &run.window).await {
                Ok(fresh) => observation = fresh,
                Err(error) => {
                    let what = ResourcePath::Mesh(mesh.clone()).to_string();
                    run.failures.failed(&what, &error);
                    accounts.push(Account::unreadable(&what, &error, Concern::Mesh(mesh.clone())));
                    break;
                }
            }
            again = Some(overtaken);
        }
        accounts
    }

    /// The line about a record that could not be read.
    fn state_account(&self, run: &Run<'_>, mesh: &MeshName, error: Option<&StateError>) -> Option<Account> {
        let what = format!("state of {}", observe::key(self.topic, mesh).as_str());
        match error {
            None => {
                run.failures.succeeded(&what);
                None
            }
            Some(StateError::Unreachable(error)) => {
                run.failures.failed(&what, error);
                Some(Account::unreadable(&what, error, Concern::Mesh(mesh.clone())))
            }
            Some(StateError::Unreadable(error)) => {
                run.failures.unreadable(error);
                Some(Account::unreadable_document(&what, error))
            }
        }
    }

    /// Does what was decided, where the mode allows it, and reports it. Also gives the lines about what could not be sent.
    async fn execute(&self, run: &Run<'_>, observation: &Observation, scope: Scope<'_>) -> (Vec<Done>, Vec<Account>) {
        let decisions = decide(self.topic, &observation.facts, run.policy, run.now, scope);
        let mut done: Vec<Done> = decisions.into_iter().map(|decision| (decision, None)).collect();
        let acts = |(decision, _): &Done| matches!(&decision.verdict, Verdict::Act(plan) if !plan.apply.is_empty());
        let observed = if done.iter().any(|done| acts(done) || Reporter::is_news(done, observation)) {
            journal::observed(self.ports.reports.as_ref(), self.topic, observation, run.policy, run.now).await
        } else {
            serde_json::Value::Null
        };
        let mut ledger = self.ledger(run, observation);
        let mut halted = None;
        for (decision, outcome) in &mut done {
            let Verdict::Act(plan) = &decision.verdict else { continue };
            *outcome = Some(if plan.apply.is_empty() {
                Outcome::WouldApply
            } else if let Some(halted) = &halted {
                Outcome::clone(halted)
            } else {
                let line = Account::of_decision(decision, None).line;
                let body = journal::body(self.topic, &line, &observed);
                self.act(run, plan, observation, ledger.as_mut(), body).await
            });
            halted = halted.or_else(|| outcome.clone().filter(Outcome::halts));
        }
        if done.iter().any(|(_, outcome)| outcome.as_ref().is_some_and(|outcome| *outcome != Outcome::WouldApply)) {
            observe::forget(&self.warm, &observation.facts.mesh.name).await;
        }
        let during = During { failures: &run.failures, paging: &run.policy.failover.paging, now: run.now };
        let not_sent = self.reporter.report(&done, observation, &observed, ledger, &during).await;
        (done, not_sent)
    }

    async fn act(
        &self,
        run: &Run<'_>,
        plan: &Plan,
        observation: &Observation,
        ledger: Option<&mut Ledger>,
        journal: serde_json::Value,
    ) -> Outcome {
        if run.deadline.left() < ONE_CHANGE {
            return Outcome::OutOfTime;
        }
        match (ledger, observation.resources.get(&plan.resource)) {
            (Some(ledger), Some(read)) => actuate(&self.ports, ledger, &Work { plan, read, journal }).await,
            // A plan is only ever made for a resource of the observation, and with a record that could be read.
            (None, _) | (_, None) => Outcome::Superseded,
        }
    }

    fn ledger(&self, run: &Run<'_>, observation: &Observation) -> Option<Ledger> {
        let revision = observation.revision?;
        Some(Ledger {
            key: observe::key(self.topic, &observation.facts.mesh.name),
            record: observation.facts.record.clone(),
            revision,
            holder: run.holder.clone(),
            window: run.window.clone(),
            cap: self.topic.budget(run.policy).changes,
        })
    }
}

/// The lines about a mesh: what is new, what is wrong, and what was asked for.
fn accounts_of(done: &[Done], observation: &Observation, item: &Item, is_first: bool, is_last: bool) -> Vec<Account> {
    let mut accounts = Vec::new();
    if item.only.is_none() && is_first {
        accounts.push(Account::summary(&observation.facts.mesh.name, done));
    }
    for entry in done {
        let (decision, outcome) = entry;
        let overtaken = matches!(outcome, Some(Outcome::Superseded)) && !is_last;
        let tells = item.only.is_some()
            || !matches!(decision.verdict, Verdict::Keep(_))
            || Reporter::is_news(entry, observation);
        if tells && !overtaken {
            accounts.push(Account::of_decision(decision, outcome.as_ref()));
        }
    }
    accounts
}
