//! The function: event, observe, decide, plan, actuate, report.

use async_trait::async_trait;
use jiff::Timestamp;
use lambda_kit::wake::Delivery;
use lambda_kit::{Current, Handler, PolicyKeeper, Report, Retry};
use mesh::policy::{Mode, Policy, PolicyError, RuleId};
use mesh::rotation::{Decision, decide};
use ports::{BudgetWindow, Deadline, PortError};

use crate::account::Account;
use crate::actuate::{Outcome, Work, actuate};
use crate::observe::{Observation, observe};
use crate::tell::{self, News};
use crate::wake::Wake;
use crate::{NAME, Ports};

/// How often one wake looks, decides and acts: a bundle takes four steps one after the other. What is left then, and
/// what waits for proxies, goes on with the next wake.
const ROUNDS: usize = 6;

/// The function certificate-rotation.
#[derive(Debug)]
pub struct CertificateRotation {
    ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
}

/// One invocation.
struct Run<'a> {
    wake: &'a Wake,
    policy: &'a Policy,
    window: BudgetWindow,
    holder: String,
}

impl CertificateRotation {
    /// Puts the function together.
    #[must_use]
    pub fn new(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Self {
        Self { ports, policy }
    }
}

#[async_trait]
impl Handler for CertificateRotation {
    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry> {
        let wake = Wake::of(&deliveries);
        let now = self.ports.clock.now();
        let Current { policy, rejected } = self.policy.current(now).await;
        let run = Run {
            wake: &wake,
            policy: &policy,
            window: BudgetWindow::at(NAME, policy.certificates.budget.window.get(), now),
            holder: lambda_kit::holder(NAME, deadline, now),
        };
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

impl CertificateRotation {
    async fn reconcile(&self, run: &Run<'_>) -> Vec<Account> {
        let mut accounts = self.tell_people(run.wake).await;
        for round in 1..=ROUNDS {
            match self.round(run).await {
                Ok(of_round) => {
                    let moved = of_round.iter().any(|account| account.moved);
                    let is_last = !moved || round == ROUNDS;
                    // What is decided again in the next round is told of then.
                    accounts.extend(of_round.into_iter().filter(|account| is_last || account.moved));
                    if is_last {
                        break;
                    }
                }
                Err(error) => {
                    let account = Account::blind(&error);
                    tell::page(&self.ports, &account).await;
                    accounts.push(account);
                    break;
                }
            }
        }
        accounts
    }

    /// Looks, decides, and takes each step that may be taken now.
    async fn round(&self, run: &Run<'_>) -> Result<Vec<Account>, PortError> {
        let now = self.ports.clock.now();
        let observation = observe(&self.ports, run.policy, &run.window, run.wake).await?;
        let harms = |change: &_| observation.harms(change, run.policy, now);
        let decisions = decide(&observation.facts, &harms, &run.policy.certificates, now);
        let mut accounts = Vec::new();
        for decision in decisions {
            accounts.push(self.carry_out(run, &decision, &observation, now).await);
        }
        Ok(accounts)
    }

    /// Does what was decided, where the mode allows it, and says so.
    async fn carry_out(
        &self,
        run: &Run<'_>,
        decision: &Decision,
        observation: &Observation,
        now: Timestamp,
    ) -> Account {
        let news = tell::news(decision, observation, &run.policy.certificates.paging, now);
        let outcome = match (decision.verdict.plan(), mode(run.policy, observation)) {
            (None, _) => {
                tell::remember(&self.ports, decision, &news, observation, now).await;
                None
            }
            (Some(_), Mode::Observe) => Some(Outcome::WouldApply),
            (Some(plan), Mode::Enforce) => Some(self.act(run, decision, plan, &news, observation).await),
        };
        let account = Account::of(decision, outcome.as_ref());
        tell::tell(&self.ports, &account, &news, outcome.as_ref()).await;
        account
    }

    async fn act(
        &self,
        run: &Run<'_>,
        decision: &Decision,
        plan: &mesh::rotation::Plan,
        news: &News,
        observation: &Observation,
    ) -> Outcome {
        let work = Work {
            plan,
            decision,
            observation,
            record: news.record.clone(),
            holder: &run.holder,
            window: &run.window,
            cap: run.policy.certificates.budget.changes,
        };
        actuate(&self.ports, work).await
    }

    /// What only a person can do something about.
    async fn tell_people(&self, wake: &Wake) -> Vec<Account> {
        let mut accounts = Vec::new();
        for one in &wake.for_people {
            let account = Account::note(&one.resource, one.code, one.facts.clone(), &one.text);
            tell::page(&self.ports, &account).await;
            accounts.push(account);
        }
        accounts
    }
}

/// A certificate may be of several meshes: it is changed only if all of them may be.
fn mode(policy: &Policy, observation: &Observation) -> Mode {
    let mut meshes = observation.facts.meshes.iter();
    let all = meshes.all(|mesh| policy.modes.of(RuleId::CertificateRotation, mesh) == Mode::Enforce);
    if all { Mode::Enforce } else { Mode::Observe }
}
