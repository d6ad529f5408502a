//! The function: event, observe, decide, plan, actuate, report.

use async_trait::async_trait;
use jiff::Timestamp;
use lambda_kit::wake::Delivery;
use lambda_kit::{Current, Handler, Metric, PolicyKeeper, Report, Retry};
use mesh::policy::{CertificatesPolicy, Policy, PolicyError};
use mesh::rotation::{Decision, decide};
use ports::{BudgetWindow, Deadline, PortError};
use tokio::sync::Mutex;

use crate::account::Account;
use crate::actuate::{Outcome, Work, actuate};
use crate::observe::{Observation, observe};
use crate::tell::{self, News};
use crate::wake::Wake;
use crate::{NAME, Ports, journal, metrics};

/// How often one wake looks, decides and acts: a bundle takes four steps one after the other. What is left then, and
/// what waits for proxies, goes on with the next wake.
const ROUNDS: usize = 6;

/// The function certificate-rotation.
#[derive(Debug)]
pub struct CertificateRotation {
    ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
    /// Since when nothing at all can be observed, as far as this process knows, and when somebody was called for it.
    blind: Mutex<Option<Blind>>,
}

/// Nothing at all can be observed.
#[derive(Clone, Copy, Debug)]
struct Blind {
    since: Timestamp,
    paged: Option<Timestamp>,
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
        Self { ports, policy, blind: Mutex::default() }
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
        let Reconciled { accounts, mut metrics } =
            reconciled.map_err(|_| Retry::all("its time ran out; what was begun is taken up again"))?;
        let retry = accounts.iter().find_map(|account| account.retry.clone());
        let failed = accounts.iter().filter(|account| account.retry.is_some());
        let messages = wake.of_failed(failed.map(|account| account.line.resource.as_str()));
        metrics.extend(metrics::rotations(&accounts));
        let mut report = Report { metrics, ..Account::report(accounts) };
        report.signals.policy_rejected = rejected.is_some();
        match retry {
            Some(why) => Err(Retry { why, report: Some(report), messages }),
            None => Ok(report),
        }
    }
}

/// What came of all rounds.
struct Reconciled {
    accounts: Vec<Account>,
    metrics: Vec<Metric>,
}

impl CertificateRotation {
    async fn reconcile(&self, run: &Run<'_>) -> Reconciled {
        let mut accounts = self.tell_people(run.wake).await;
        let mut metrics = Vec::new();
        for round in 1..=ROUNDS {
            match self.round(run).await {
                Ok((of_round, expiry)) => {
                    metrics = expiry;
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
                    if self.is_worth_a_page(&error, &run.policy.certificates).await {
                        tell::page(&self.ports, &account).await;
                    }
                    accounts.push(account);
                    break;
                }
            }
        }
        Reconciled { accounts, metrics }
    }

    /// A throttle or a timeout is over before anybody is awake, so it has to last; whoever was called is not called again
    /// at once. Until then the invocation fails, which has an alarm of its own.
    async fn is_worth_a_page(&self, error: &PortError, policy: &CertificatesPolicy) -> bool {
        let now = self.ports.clock.now();
        let mut blind = self.blind.lock().await;
        let known = blind.get_or_insert(Blind { since: now, paged: None });
        let lasts = !error.kind.may_heal() || known.since + policy.unread_after.get() <= now;
        let due = known.paged.is_none_or(|paged| paged + policy.paging.repeat_after.get() <= now);
        if lasts && due {
            known.paged = Some(now);
        }
        lasts && due
    }

    /// Looks, decides, and takes each step that may be taken now.
    async fn round(&self, run: &Run<'_>) -> Result<(Vec<Account>, Vec<Metric>), PortError> {
        let now = self.ports.clock.now();
        let observation = observe(&self.ports, run.policy, &run.window, run.wake).await?;
        *self.blind.lock().await = None;
        let harms = |change: &_| observation.harms(change, run.policy, now);
        let decisions = decide(&observation.facts, &harms, &run.policy.certificates, now);
        let mut accounts = Vec::new();
        for decision in decisions {
            accounts.push(self.carry_out(run, &decision, &observation, now).await);
        }
        let mut metrics = metrics::expiry(&observation.readings, now);
        metrics.extend(metrics::lateness(&observation.facts, &run.policy.certificates, now));
        Ok((accounts, metrics))
    }

    /// Does what was decided, where the mode allows it, and says so.
    async fn carry_out(
        &self,
        run: &Run<'_>,
        decision: &Decision,
        observation: &Observation,
        now: Timestamp,
    ) -> Account {
        let policy = &run.policy.certificates;
        let news = tell::news(decision, observation, policy, now);
        let outcome = match decision.verdict.plan() {
            Some(plan) if decision.watching.is_empty() => {
                Some(self.act(run, decision, plan, &news, observation, now).await)
            }
            plan => {
                tell::remember(&self.ports, decision, &news, observation, policy, now).await;
                plan.map(|_| Outcome::WouldApply { watching: decision.watching.clone() })
            }
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
        now: Timestamp,
    ) -> Outcome {
        let observed = observation.recorded(&self.ports, &run.policy.certificates, now).await;
        let work = Work {
            plan,
            observation,
            journal: journal::body(decision, observed),
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
