//! Instances that somebody is asked for, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ports::{InstanceAttributes, InstanceDirectory, PortError, PortErrorKind};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use xds::Instance;

use super::{InstanceBook, InstanceCounts, InstanceProblem, Instances, Service, Unlisted, instance, problem};
use crate::schedule::{Answer, pause};

/// How often each service is asked for, where nothing else is said: Cloud Map itself takes about as long until a new
/// instance is found everywhere. Half a million calls a month and service.
const REFRESH: Duration = Duration::from_secs(5);

/// How long an answer may take. A proxy that is about to call the service for the first time waits that long at most.
const PATIENCE: Duration = Duration::from_secs(5);

/// Services that are asked for at a time.
const AT_A_TIME: usize = 16;

/// How long a service is kept that no connected proxy calls: a proxy that is started anew is back before that.
const LINGER: Duration = Duration::from_mins(10);

/// How instances are asked for.
#[derive(Debug, Clone, Copy)]
pub struct InstanceDirectorySettings {
    /// How often each service is asked for; jitter of a tenth comes to it.
    pub refresh: Duration,
}

impl Default for InstanceDirectorySettings {
    fn default() -> Self {
        Self { refresh: REFRESH }
    }
}

/// The instances of the services that proxies call. It begins to ask for one when it is first looked for, keeps the last
/// good ones whatever comes after that, and stops asking when dropped.
#[derive(Debug)]
pub struct PolledInstances(Arc<Kept>);

impl PolledInstances {
    /// Starts it, in the runtime that this is called in.
    #[must_use]
    pub fn start(directory: Arc<dyn InstanceDirectory>, settings: InstanceDirectorySettings) -> Arc<Self> {
        Arc::new(Self(Arc::new(Kept {
            directory,
            refresh: settings.refresh,
            ledger: Mutex::default(),
            changes: watch::Sender::new(0),
            room: Semaphore::new(AT_A_TIME),
            runtime: Handle::current(),
            draws: RandomState::new(),
            counted: Counted::default(),
        })))
    }
}

impl Drop for PolledInstances {
    fn drop(&mut self) {
        self.0.ledger().asked.clear();
    }
}

impl Instances for PolledInstances {
    fn known(&self) -> Arc<InstanceBook> {
        Arc::clone(&self.0.ledger().book)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn unlisted(&self, service: &Service) -> Unlisted {
        let mut ledger = self.0.ledger();
        if !ledger.asked.contains_key(service) {
            let asking = self.0.runtime.spawn(ask_on(Arc::clone(&self.0), service.clone())).abort_handle();
            ledger.asked.insert(service.clone(), Asked { asking, unused: Some(Instant::now()) });
        }
        match (ledger.book.known.contains_key(service), ledger.book.problems.get(service)) {
            (false, Some(problem)) => Unlisted::Missing(problem.clone()),
            // Listed since the caller looked: told as a change as well.
            (true, _) | (false, None) => Unlisted::Pending,
        }
    }

    fn in_use(&self, services: &BTreeSet<Service>) {
        let now = Instant::now();
        let mut ledger = self.0.ledger();
        for (service, asked) in &mut ledger.asked {
            asked.unused = if services.contains(service) { None } else { asked.unused.or(Some(now)) };
        }
        let is_over = |asked: &Asked| asked.unused.is_some_and(|since| now.duration_since(since) >= LINGER);
        let over: Vec<Service> =
            ledger.asked.iter().filter(|(_, asked)| is_over(asked)).map(|(service, _)| service.clone()).collect();
        if over.is_empty() {
            return;
        }
        for service in over {
            ledger.asked.remove(&service);
            let book = Arc::make_mut(&mut ledger.book);
            book.known.remove(&service);
            book.problems.remove(&service);
        }
        drop(ledger);
        // Whoever went by what was known would not ask for it again.
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn counts(&self) -> Option<InstanceCounts> {
        let ledger = self.0.ledger();
        let Counted { answers, throttles, failures } = &self.0.counted;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut counts = InstanceCounts {
            answers: read(answers),
            throttles: read(throttles),
            failures: read(failures),
            ..InstanceCounts::default()
        };
        for service in ledger.asked.keys() {
            match (ledger.book.known.contains_key(service), ledger.book.problems.contains_key(service)) {
                (true, false) => counts.well += 1,
                (true, true) => counts.with_problem += 1,
                (false, _) => counts.missing += 1,
            }
        }
        Some(counts)
    }
}

/// What the asking tasks share.
#[derive(Debug)]
struct Kept {
    directory: Arc<dyn InstanceDirectory>,
    refresh: Duration,
    ledger: Mutex<Ledger>,
    changes: watch::Sender<u64>,
    room: Semaphore,
    runtime: Handle,
    draws: RandomState,
    counted: Counted,
}

#[derive(Debug, Default)]
struct Ledger {
    book: Arc<InstanceBook>,
    asked: BTreeMap<Service, Asked>,
}

/// A service that is asked for, until this is dropped.
#[derive(Debug)]
struct Asked {
    asking: AbortHandle,
    /// Since when no connected proxy calls it.
    unused: Option<Instant>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

#[derive(Debug, Default)]
struct Counted {
    answers: AtomicU64,
    throttles: AtomicU64,
    failures: AtomicU64,
}

async fn ask_on(kept: Arc<Kept>, service: Service) {
    let mut failures = 0_u32;
    loop {
        let answer = kept.ask(&service).await;
        failures = if answer == Answer::Served { 0 } else { failures.saturating_add(1) };
        let draw = kept.draws.hash_one((&service, Instant::now()));
        sleep(pause(answer, failures, kept.refresh, draw)).await;
    }
}

impl Kept {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, service: &Service) -> Answer {
        let (namespace, name) = service;
        // Also a turn that does not come is no answer.
        let asked = async {
            let _room = self.room.acquire().await;
            self.directory.discover(namespace, name).await
        };
        let found = timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
            let call = format!("discover the instances of {name}.{namespace}");
            let message = format!("no answer within {} s", PATIENCE.as_secs());
            Err(PortError::new(call, PortErrorKind::TimedOut, message))
        });
        match found {
            Ok(found) => {
                self.counted.answers.fetch_add(1, Ordering::Relaxed);
                let (instances, problem) = usable(service, found);
                self.settle(service, Some(instances), problem);
                Answer::Served
            }
            Err(error) => {
                let counter = match error.kind {
                    PortErrorKind::Throttled => &self.counted.throttles,
                    _ => &self.counted.failures,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "instances are not told");
                // Without what differs from one answer to the next: what stays the same is told once.
                let message = format!("its instances are not told now ({}); {}", error.kind, remedy(error.kind));
                let is_known = self.settle(service, None, Some(InstanceProblem { id: problem::UNAVAILABLE, message }));
                match error.kind {
                    PortErrorKind::Throttled => Answer::Throttled(is_known),
                    kind if kind.may_heal() => Answer::MayPass(is_known),
                    _ => Answer::Lasting,
                }
            }
        }
    }

    /// Takes down what came of asking; without instances those from before stay. Gives whether there are any.
    fn settle(&self, service: &Service, instances: Option<Vec<Instance>>, problem: Option<InstanceProblem>) -> bool {
        let mut ledger = self.ledger();
        // No proxy calls it any more.
        if !ledger.asked.contains_key(service) {
            return false;
        }
        let (known, former) = (ledger.book.known.get(service), ledger.book.problems.get(service));
        let found = instances.filter(|instances| known != Some(instances));
        let is_known = known.is_some() || found.is_some();
        let troubled = former != problem.as_ref();
        if found.is_none() && !troubled {
            return is_known;
        }
        tell(service, known, found.as_ref(), problem.as_ref().filter(|_| troubled));
        let book = Arc::make_mut(&mut ledger.book);
        if let Some(found) = found {
            book.known.insert(service.clone(), found);
        }
        match problem {
            Some(problem) => book.problems.insert(service.clone(), problem),
            None => book.problems.remove(service),
        };
        drop(ledger);
        self.changes.send_modify(|count| *count += 1);
        is_known
    }
}

/// The instances that have an address, in an order of their own: who knows them tells them in another one each time.
fn usable(service: &Service, found: Vec<InstanceAttributes>) -> (Vec<Instance>, Option<InstanceProblem>) {
    let (all, (namespace, name)) = (found.len(), service);
    let mut instances: Vec<Instance> = found.into_iter().filter_map(instance).collect();
    instances.sort();
    let without = all - instances.len();
    let problem = (without > 0).then(|| InstanceProblem {
        id: problem::NO_ADDRESS,
        message: format!(
            "{without} of {all} instances of {name}.{namespace} have no AWS_INSTANCE_IPV4 or AWS_INSTANCE_IPV6 and are left out; register them with one"
        ),
    });
    (instances, problem)
}

const fn remedy(kind: PortErrorKind) -> &'static str {
    match kind {
        PortErrorKind::NotFound => "create the service in Cloud Map, or name the one that there is",
        PortErrorKind::Denied => "allow servicediscovery:DiscoverInstances",
        PortErrorKind::Throttled => "they are asked for more rarely until it passes",
        PortErrorKind::Expired => "if it lasts, set the clock and renew the credentials",
        PortErrorKind::Unavailable | PortErrorKind::TimedOut | PortErrorKind::Conflict => "it may pass by itself",
        PortErrorKind::Other => "look at the names, the region and the endpoint",
    }
}

fn tell(
    (namespace, name): &Service,
    known: Option<&Vec<Instance>>,
    found: Option<&Vec<Instance>>,
    problem: Option<&InstanceProblem>,
) {
    if let Some(found) = found {
        let before = known.map_or(0, Vec::len);
        tracing::info!(service = name, namespace, before, now = found.len(), "instances have changed");
    }
    if let Some(problem) = problem {
        let served = if known.is_some() { "the last good ones are served" } else { "none are served" };
        tracing::warn!(service = name, namespace, problem = problem.id, reason = problem.message, "{served}");
    }
}

#[cfg(test)]
mod tests;
