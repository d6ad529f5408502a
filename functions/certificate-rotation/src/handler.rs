//! The function: event, observe, decide, plan, actuate, report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use mesh::policy::{Policy, PolicyError};
use mesh::rotation::{Decision, OwedPage, Record, decide};
use ports::{BudgetWindow, Deadline, PortError};
use runner::wake::Delivery;
use runner::{Current, FailureMemory, Handler, Metric, NoPolicy, PolicyKeeper, Report, Retry, Signals};
use tokio::sync::Mutex;

use crate::account::Account;
use crate::actuate::{Executed, Outcome, Work, actuate};
use crate::calls::{Calls, TIME, paging};
use crate::observe::{Observation, observe};
use crate::tell::{self, Moments, News, Stored, Unstored};
use crate::wake::{MessageId, Wake};
use crate::{NAME, Ports, journal, metrics};

/// The most rounds of observing, deciding and acting in one run: a bundle takes four steps one after the other. The
/// next run resumes the remaining steps and the steps that wait for proxies.
const ROUNDS: usize = 6;

/// How often the schedule invokes the function.
const INTERVAL: SignedDuration = SignedDuration::from_mins(5);

/// The function certificate-rotation.
#[derive(Debug)]
pub struct CertificateRotation {
    ports: Ports,
    policy: PolicyKeeper<Policy, PolicyError>,
    failures: FailureMemory,
    /// The pages that this process sent and could not store.
    unstored: Unstored,
}

/// One invocation.
struct Run<'a> {
    wake: &'a Wake,
    policy: &'a Policy,
    window: BudgetWindow,
    holder: String,
    started: Timestamp,
    /// The facts from events that no record holds yet.
    facts: Mutex<OpenFacts>,
    /// The results of calls.
    calls: Calls,
}

/// Facts that only events carry, with the messages to repeat until the facts are stored.
#[derive(Debug, Default)]
struct OpenFacts {
    /// The messages by the subject of the record.
    by_subject: BTreeMap<String, BTreeSet<MessageId>>,
    /// The messages about a subject that cannot be read now.
    unplaced: BTreeSet<MessageId>,
}

impl OpenFacts {
    fn messages(&self) -> BTreeSet<MessageId> {
        self.by_subject.values().flatten().chain(&self.unplaced).cloned().collect()
    }
}

impl CertificateRotation {
    /// Creates the function from its ports and its policy.
    #[must_use]
    pub fn new(ports: Ports, policy: PolicyKeeper<Policy, PolicyError>) -> Self {
        let (state, notifier) = (Arc::clone(&ports.state), Arc::clone(&ports.notifier));
        let failures = FailureMemory::new(NAME, INTERVAL, state, notifier);
        Self { ports, policy, failures, unstored: Unstored::default() }
    }
}

#[async_trait]
impl Handler for CertificateRotation {
    async fn handle(&self, deliveries: Vec<Delivery>, deadline: Deadline) -> Result<Report, Retry> {
        let wake = Wake::of(&deliveries);
        let now = self.ports.clock.now();
        let Current { policy, rejected } = match self.policy.current(now).await {
            Ok(current) => current,
            Err(missing) => return Err(missing.end_invocation(&self.failures, deadline, now).await),
        };
        let run = Run {
            wake: &wake,
            policy: &policy,
            window: BudgetWindow::at(NAME, policy.certificates.budget.window.get(), now),
            holder: runner::holder(NAME, deadline, now),
            started: now,
            facts: Mutex::default(),
            calls: Calls::default(),
        };
        let time = FailureMemory::time_for_work(deadline);
        let reconciled = tokio::time::timeout(time, self.reconcile(&run)).await;
        let out_of_time = "its time ran out; what was begun is taken up again";
        match reconciled {
            Ok(_) => run.calls.succeeded(TIME),
            Err(_) => run.calls.out_of_time(out_of_time),
        }
        let Run { facts, calls, .. } = run;
        let failures = calls.into_run();
        NoPolicy::record_loaded(&failures);
        let withheld = self.failures.finish_by(deadline, failures, &paging(&policy.certificates), now).await;
        let withheld = u32::try_from(withheld).unwrap_or(u32::MAX);
        let Ok(Reconciled { accounts, mut metrics, observed_nothing, kill_switch_on }) = reconciled else {
            let signals = Signals { pages_withheld: withheld, ..Signals::default() };
            let report = Report { signals, ..Report::of(Vec::new()) };
            return Err(Retry { report: Some(report), ..Retry::all(out_of_time) });
        };
        let unstored = facts.lock().await.messages();
        let failed = accounts.iter().filter(|account| account.retry.is_some());
        let messages = wake.failed(failed.map(|account| account.line.resource.as_str()), &unstored);
        let why = accounts.iter().find_map(|account| account.retry.clone());
        let why = why.or_else(|| (!unstored.is_empty()).then(|| "failed to store what an event reported".to_owned()));
        metrics.extend(metrics::rotations(&accounts));
        let mut report = Report { metrics, ..Account::report(accounts) };
        report.signals.policy_rejected = rejected.is_some();
        report.signals.observed_nothing = observed_nothing;
        report.signals.kill_switch_on |= kill_switch_on;
        report.signals.pages_withheld = report.signals.pages_withheld.saturating_add(withheld);
        match why {
            Some(why) => Err(Retry { why, report: Some(report), messages }),
            None => Ok(report),
        }
    }
}

/// The result of all rounds.
struct Reconciled {
    accounts: Vec<Account>,
    metrics: Vec<Metric>,
    /// Whether the first observation failed.
    observed_nothing: bool,
    /// Whether the kill switch was found on, also if nothing was to be changed.
    kill_switch_on: bool,
}

/// The result of one round.
struct Round {
    accounts: Vec<Account>,
    metrics: Vec<Metric>,
    kill_switch_on: bool,
}

impl CertificateRotation {
    async fn reconcile(&self, run: &Run<'_>) -> Reconciled {
        let mut accounts = Vec::new();
        let mut metrics = Vec::new();
        let (mut observed_nothing, mut kill_switch_on) = (false, false);
        self.unstored.send_unsent(&self.ports).await;
        for round in 1..=ROUNDS {
            match self.round(run).await {
                Ok(Round { accounts: of_round, metrics: of_all, kill_switch_on: is_on }) => {
                    metrics = of_all;
                    kill_switch_on |= is_on;
                    let moved = of_round.iter().any(|account| account.moved);
                    let is_last = !moved || round == ROUNDS;
                    // A decision that the next round makes again is reported by that round.
                    accounts.extend(of_round.into_iter().filter(|account| is_last || account.moved));
                    if is_last {
                        break;
                    }
                }
                Err(error) => {
                    run.calls.failed("meshes", &error);
                    accounts.push(Account::blind(&error));
                    observed_nothing = round == 1;
                    break;
                }
            }
        }
        Reconciled { accounts, metrics, observed_nothing, kill_switch_on }
    }

    /// Observes, decides, and executes each step that is allowed now.
    async fn round(&self, run: &Run<'_>) -> Result<Round, PortError> {
        let now = self.ports.clock.now();
        let observation = observe(&self.ports, run.policy, &run.window, run.wake, &run.calls).await?;
        run.calls.succeeded("meshes");
        {
            let mut facts = run.facts.lock().await;
            facts.unplaced.clone_from(&observation.unplaced);
            for (subject, messages) in observation.unstored.iter().filter(|(_, messages)| !messages.is_empty()) {
                facts.by_subject.entry(subject.clone()).or_default().extend(messages.iter().cloned());
            }
        }
        let harms = |change: &_| observation.harms(change, run.policy, now);
        let decisions = decide(&observation.facts, &harms, &run.policy.certificates, now);
        let mut accounts = Vec::new();
        for decision in &decisions {
            run.calls.decided(decision);
            accounts.push(self.carry_out(run, decision, &observation, now).await);
        }
        let decided: BTreeSet<String> = decisions.iter().map(|decision| decision.subject.name()).collect();
        accounts.extend(self.report_events(run, &observation, &decided, now).await);
        let mut metrics = metrics::expiry(&observation.readings, now);
        metrics.extend(metrics::lateness(&observation.facts, &run.policy.certificates, now));
        Ok(Round { accounts, metrics, kill_switch_on: observation.facts.kill_switch.is_some() })
    }

    /// Executes a decision where the mode allows it, and reports it.
    async fn carry_out(
        &self,
        run: &Run<'_>,
        decision: &Decision,
        observation: &Observation,
        now: Timestamp,
    ) -> Account {
        let policy = &run.policy.certificates;
        let subject = decision.subject.name();
        let news = tell::news(decision, observation, policy, Moments { started: run.started, now });
        let mut pages: Vec<OwedPage> = news.late.iter().chain(&news.page).cloned().collect();
        let mut is_unstorable = false;
        let (outcome, stored) = match decision.verdict.plan() {
            Some(plan) if decision.watching.is_empty() && !observation.is_foreign(&subject) => {
                let executed = self.act(run, decision, plan, &news, observation, now).await;
                if executed.began {
                    run.facts.lock().await.by_subject.remove(&subject);
                }
                pages.extend(executed.page);
                is_unstorable = executed.is_unstorable;
                (Some(executed.outcome), executed.stored)
            }
            plan => {
                let outcome = plan.map(|_| Outcome::WouldApply { watching: decision.watching.clone() });
                match tell::remember(&self.ports, decision, &news, observation, policy, now).await {
                    Stored::At(revision) => {
                        run.facts.lock().await.by_subject.remove(&subject);
                        (outcome, Some((news.record.clone(), revision)))
                    }
                    // The other writer reports them.
                    Stored::Overtaken => {
                        pages.clear();
                        (outcome, None)
                    }
                    Stored::Foreign => (outcome, None),
                    Stored::Failed => {
                        is_unstorable = true;
                        (outcome, None)
                    }
                }
            }
        };
        let mut account = Account::of(decision, outcome.as_ref());
        match stored {
            Some((record, revision)) => {
                let pages: Vec<&OwedPage> = pages.iter().collect();
                tell::settle(&self.ports, &subject, &record, revision, &pages, now).await;
            }
            None if is_unstorable => account.signals.pages_withheld += tell::withhold(&pages),
            None => {
                for page in &pages {
                    if !self.unstored.send(&self.ports, &subject, page, policy).await {
                        account.retry.get_or_insert_with(|| "failed to send a page and to store it".to_owned());
                    }
                }
            }
        }
        tell::publish(&self.ports, &account, &news, outcome.as_ref(), &run.calls).await;
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
    ) -> Executed {
        let observed = observation.recorded(&self.ports, &run.policy.certificates, now).await;
        let work = Work {
            plan,
            observation,
            journal: journal::begun(decision, observed),
            record: news.record.clone(),
            holder: &run.holder,
            window: &run.window,
            policy: &run.policy.certificates,
            page: &|outcome| tell::page_about(&Account::of(decision, Some(outcome)), now),
        };
        actuate(&self.ports, work).await
    }

    /// Reports events without a decision: about private CAs, and about certificates that no mesh uses.
    async fn report_events(
        &self,
        run: &Run<'_>,
        observation: &Observation,
        decided: &BTreeSet<String>,
        now: Timestamp,
    ) -> Vec<Account> {
        let mut accounts: Vec<Account> = observation.unused.iter().map(Account::unused).collect();
        for subject in observation.unstored.keys().filter(|subject| !decided.contains(*subject)) {
            let Some(record) = observation.record(subject) else { continue };
            let notice = observation.event_pages.get(subject);
            let account = notice.map(|one| Account::note(&one.resource, one.code, one.facts.clone(), &one.text));
            let page = account.as_ref().map(|account| tell::page_about(account, now));
            let record = Record { owed: page.clone().or_else(|| record.owed.clone()), ..record.clone() };
            let mut account = account;
            let stored = tell::store(&self.ports, subject, observation.revision(subject), &record, None, now).await;
            match (stored, page) {
                (Stored::At(revision), page) => {
                    run.facts.lock().await.by_subject.remove(subject);
                    let pages: Vec<&OwedPage> = page.iter().collect();
                    tell::settle(&self.ports, subject, &record, revision, &pages, now).await;
                }
                // The event is delivered again, because it is not stored.
                (Stored::Failed, page) => {
                    if let Some(account) = &mut account {
                        account.signals.pages_withheld += tell::withhold(&page);
                    }
                }
                (Stored::Overtaken | Stored::Foreign, _) => {}
            }
            accounts.extend(account);
        }
        accounts
    }
}
