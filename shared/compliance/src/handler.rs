//! A function: event, observe, decide, plan, actuate, report.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use lambda_kit::wake::Delivery;
use lambda_kit::{Current, Handler, PolicyKeeper, Report, Retry};
use mesh::compliance::{Plan, Scope, Topic, Verdict, decide};
use mesh::name::{MeshName, ResourcePath};
use mesh::policy::{Policy, PolicyError};
use ports::{BudgetWindow, Deadline, PortErrorKind};
use tokio::sync::Mutex;

use crate::account::Account;
use crate::actuate::{Ledger, Outcome, Work, actuate};
use crate::agenda::{Agenda, Item};
use crate::answer::{Answers, is_settled};
use crate::observe::{self, Observation, Warm};
use crate::tell::{Done, Teller};
use crate::wake::{Asked, Wake};
use crate::{Ports, journal, name};

/// How often resources that somebody else wrote in between are observed and decided again before Lambda has to retry.
const ATTEMPTS: usize = 3;

/// What a change needs to be begun and ended in. With less time left the next wake goes on.
const ONE_CHANGE: Duration = Duration::from_secs(3);

/// The function of a topic.
#[derive(Debug)]
pub struct Compliance {
    topic: Topic,
    ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
    warm: Mutex<Warm>,
    teller: Teller,
}

/// One invocation.
struct Run<'a> {
    wake: &'a Wake,
    policy: &'a Policy,
    window: BudgetWindow,
    holder: String,
    deadline: Deadline,
    now: Timestamp,
}

impl Compliance {
    /// Puts the function together.
    #[must_use]
    pub fn new(topic: Topic, ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Self {
        Self { topic, teller: Teller::new(topic, ports.clone()), ports, policy, warm: Mutex::default() }
    }
}

#[async_trait]
impl Handler for Compliance {
    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry> {
        let wake = Wake::of(deliveries);
        let now = self.ports.clock.now();
        let Current { policy, rejected } = self.policy.current(now).await;
        let (window, holder) = (
            BudgetWindow::at(name(self.topic), self.topic.budget(&policy).window.get(), now),
            lambda_kit::holder(name(self.topic), deadline, now),
        );
        let run = Run { wake: &wake, policy: &policy, window, holder, deadline, now };
        let reconciled = tokio::time::timeout(deadline.left(), self.reconcile(&run)).await;
        let accounts = reconciled.map_err(|_| Retry::all("its time ran out; what was begun is taken up again"))?;
        let retry = accounts.iter().find_map(|account| account.retry.clone());
        let mut report = Account::report(accounts);
        report.signals.policy_rejected = rejected.is_some();
        match retry {
            Some(why) => Err(Retry { report: Some(report), ..Retry::all(why) }),
            None => Ok(report),
        }
    }
}

impl Compliance {
    async fn reconcile(&self, run: &Run<'_>) -> Vec<Account> {
        let mut accounts = Account::remarks(run.wake);
        let asked = self.asked(run, &mut accounts).await;
        let (settled, open): (Vec<Asked>, Vec<Asked>) =
            asked.into_iter().partition(|asked| is_settled(self.topic, asked));
        let mut answers = Answers::of(run.wake, settled.iter());
        let agenda = self.agenda(run, &open, &mut accounts).await;

        let mut seen = Vec::new();
        for (mesh, item) in agenda.into_items() {
            if let Some(observation) = self.observe(run, &mesh, &item, &open, &mut answers, &mut accounts).await {
                answers.take(&observation, self.topic, run.policy, run.wake, &open, run.now);
                seen.push((item, observation));
            }
        }
        // Before anything is changed: what AWS Config is told is how it was when it asked.
        accounts.extend(answers.send(&self.ports).await);
        for (item, observation) in seen {
            accounts.extend(self.mend(run, &item, observation).await);
        }
        accounts
    }

    /// What AWS Config tells of; of an item that it could not send, the newest that it has.
    async fn asked(&self, run: &Run<'_>, accounts: &mut Vec<Account>) -> Vec<Asked> {
        let mut all = Vec::new();
        for asked in &run.wake.items {
            let mut asked = asked.clone();
            if asked.oversized {
                match self.ports.config.newest_item(&asked.item.resource).await {
                    Ok(Some(newest)) if newest.captured_at >= asked.item.captured_at => asked.item = newest,
                    // The summary tells who it is and since when, which is all that is needed.
                    Ok(_) => {}
                    Err(error) => {
                        let what = format!("item/{}", asked.item.resource.resource_id);
                        accounts.push(self.teller.blind(&what, &error, paging(run), run.now).await);
                        if error.kind.may_heal() {
                            continue;
                        }
                    }
                }
            }
            all.push(asked);
        }
        all
    }

    /// What is looked at.
    async fn agenda(&self, run: &Run<'_>, open: &[Asked], accounts: &mut Vec<Account>) -> Agenda {
        let mut all = Vec::new();
        if run.wake.is_for_everything() {
            match observe::meshes(&self.ports).await {
                Ok(meshes) => {
                    self.teller.sees("meshes").await;
                    all = meshes;
                }
                Err(error) => accounts.push(self.teller.blind("meshes", &error, paging(run), run.now).await),
            }
        }
        Agenda::of(run.wake, all, open.iter())
    }

    async fn observe(
        &self,
        run: &Run<'_>,
        mesh: &MeshName,
        item: &Item,
        open: &[Asked],
        answers: &mut Answers,
        accounts: &mut Vec<Account>,
    ) -> Option<Observation> {
        let what = ResourcePath::Mesh(mesh.clone()).to_string();
        match observe::mesh(&self.ports, &self.warm, self.topic, mesh, item.since, &run.window).await {
            Ok(observation) => {
                self.teller.sees(&what).await;
                Some(observation)
            }
            Err(error) => {
                answers.blind(mesh, &error, open);
                accounts.push(if error.kind == PortErrorKind::NotFound {
                    // The last that is heard of a mesh is that it was deleted.
                    Account::not_there(&what)
                } else {
                    self.teller.blind(&what, &error, paging(run), run.now).await
                });
                None
            }
        }
    }

    /// Decides, acts and tells until nobody has written in between, or often enough.
    async fn mend(&self, run: &Run<'_>, item: &Item, mut observation: Observation) -> Vec<Account> {
        let mut accounts = Vec::new();
        let mesh = observation.facts.mesh.name.clone();
        let state = format!("state of {}", observe::key(self.topic, &mesh).as_str());
        let mut again: Option<BTreeSet<ResourcePath>> = None;
        for attempt in 1..=ATTEMPTS {
            match &observation.revision {
                Ok(_) => self.teller.sees(&state).await,
                Err(error) => accounts.push(self.teller.blind(&state, error, paging(run), run.now).await),
            }
            let scope = again.as_ref().map_or(item.scope(), Scope::Only);
            let done = self.carry_out(run, &observation, scope).await;
            let superseded = |(_, outcome): &Done| matches!(outcome, Some(Outcome::Superseded));
            let is_last = attempt == ATTEMPTS;
            accounts.extend(accounts_of(&done, &observation, item, again.is_none(), is_last));
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
                    accounts.push(self.teller.blind(&what, &error, paging(run), run.now).await);
                    break;
                }
            }
            again = Some(overtaken);
        }
        accounts
    }

    /// Does what was decided, where the mode allows it, and says so.
    async fn carry_out(&self, run: &Run<'_>, observation: &Observation, scope: Scope<'_>) -> Vec<Done> {
        let decisions = decide(self.topic, &observation.facts, run.policy, run.now, scope);
        let mut done: Vec<Done> = decisions.into_iter().map(|decision| (decision, None)).collect();
        let acts = |(decision, _): &Done| matches!(&decision.verdict, Verdict::Act(plan) if !plan.apply.is_empty());
        let observed = if done.iter().any(|done| acts(done) || Teller::is_news(done, observation)) {
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
        self.teller.tell(&done, observation, &observed, ledger, paging(run), run.now).await;
        done
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
        match (ledger, &observation.revision, observation.resources.get(&plan.resource)) {
            (Some(ledger), Ok(_), Some(read)) => actuate(&self.ports, ledger, &Work { plan, read, journal }).await,
            (_, Err(error), _) => Outcome::failed(error),
            // A plan is only ever made for a resource of the observation.
            (_, Ok(_), _) => Outcome::Superseded,
        }
    }

    fn ledger(&self, run: &Run<'_>, observation: &Observation) -> Option<Ledger> {
        let revision = *observation.revision.as_ref().ok()?;
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
        let tells =
            item.only.is_some() || !matches!(decision.verdict, Verdict::Keep(_)) || Teller::is_news(entry, observation);
        if tells && !overtaken {
            accounts.push(Account::of_decision(decision, outcome.as_ref()));
        }
    }
    accounts
}

fn paging<'a>(run: &Run<'a>) -> &'a mesh::policy::PagingPolicy {
    &run.policy.failover.paging
}
