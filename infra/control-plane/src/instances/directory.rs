//! Instances of Cloud Map services, polled from a directory.

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

use super::{CloudMapService, InstanceBook, InstanceCounts, InstanceProblem, Instances, Unlisted, instance, problem};
use crate::schedule::{PollOutcome, pause};

/// The default polling interval. Cloud Map itself takes about as long to propagate a new instance. It results in half
/// a million calls a month for each service.
const REFRESH: Duration = Duration::from_secs(5);

/// The timeout of a poll. A proxy that is about to call the service for the first time waits at most that long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The most concurrent polls.
const MAX_CONCURRENT: usize = 16;

/// How long a service is polled that no connected proxy calls: a restarted proxy reconnects before that.
const LINGER: Duration = Duration::from_mins(10);

/// The settings of polling.
#[derive(Debug, Clone, Copy)]
pub struct InstanceDirectorySettings {
    /// How often each service is polled; up to a tenth of it is added as jitter.
    pub refresh: Duration,
}

impl Default for InstanceDirectorySettings {
    fn default() -> Self {
        Self { refresh: REFRESH }
    }
}

/// The instances of the services that proxies call. The first lookup of a service starts its polling. The last valid
/// instances are served through later failures. Dropping this stops the polling.
#[derive(Debug)]
pub struct PolledInstances(Arc<Poller>);

impl PolledInstances {
    /// Starts a poller in the current runtime.
    #[must_use]
    pub fn start(directory: Arc<dyn InstanceDirectory>, settings: InstanceDirectorySettings) -> Arc<Self> {
        Arc::new(Self(Arc::new(Poller {
            directory,
            refresh: settings.refresh,
            table: Mutex::default(),
            changes: watch::Sender::new(0),
            permits: Semaphore::new(MAX_CONCURRENT),
            runtime: Handle::current(),
            draws: RandomState::new(),
            counters: PollCounters::default(),
        })))
    }
}

impl Drop for PolledInstances {
    fn drop(&mut self) {
        self.0.table().tasks.clear();
    }
}

impl Instances for PolledInstances {
    fn known(&self) -> Arc<InstanceBook> {
        Arc::clone(&self.0.table().book)
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn unlisted(&self, service: &CloudMapService) -> Unlisted {
        let mut table = self.0.table();
        if !table.tasks.contains_key(service) {
            let task = self.0.runtime.spawn(poll_forever(Arc::clone(&self.0), service.clone())).abort_handle();
            table.tasks.insert(service.clone(), PollTask { task, unused: Some(Instant::now()) });
        }
        match (table.book.known.contains_key(service), table.book.problems.get(service)) {
            (false, Some(problem)) => Unlisted::Missing(problem.clone()),
            // It was listed after the caller read the book; the caller also receives the change.
            (true, _) | (false, None) => Unlisted::Pending,
        }
    }

    fn in_use(&self, services: &BTreeSet<CloudMapService>) {
        let now = Instant::now();
        let mut table = self.0.table();
        for (service, task) in &mut table.tasks {
            task.unused = if services.contains(service) { None } else { task.unused.or(Some(now)) };
        }
        let is_over = |task: &PollTask| task.unused.is_some_and(|since| now.duration_since(since) >= LINGER);
        let over: Vec<CloudMapService> =
            table.tasks.iter().filter(|(_, task)| is_over(task)).map(|(service, _)| service.clone()).collect();
        if over.is_empty() {
            return;
        }
        for service in over {
            table.tasks.remove(&service);
            let book = Arc::make_mut(&mut table.book);
            book.known.remove(&service);
            book.problems.remove(&service);
        }
        drop(table);
        // Users of the book have to look up the removed services again.
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn counts(&self) -> Option<InstanceCounts> {
        let table = self.0.table();
        let PollCounters { answers, throttles, failures } = &self.0.counters;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut counts = InstanceCounts {
            answers: read(answers),
            throttles: read(throttles),
            failures: read(failures),
            ..InstanceCounts::default()
        };
        for service in table.tasks.keys() {
            match (table.book.known.contains_key(service), table.book.problems.contains_key(service)) {
                (true, false) => counts.well += 1,
                (true, true) => counts.with_problem += 1,
                (false, _) => counts.missing += 1,
            }
        }
        Some(counts)
    }
}

/// The state that the polling tasks share.
#[derive(Debug)]
struct Poller {
    directory: Arc<dyn InstanceDirectory>,
    refresh: Duration,
    table: Mutex<PollTable>,
    changes: watch::Sender<u64>,
    permits: Semaphore,
    runtime: Handle,
    draws: RandomState,
    counters: PollCounters,
}

#[derive(Debug, Default)]
struct PollTable {
    book: Arc<InstanceBook>,
    tasks: BTreeMap<CloudMapService, PollTask>,
}

/// The polling of one service, stopped when dropped.
#[derive(Debug)]
struct PollTask {
    task: AbortHandle,
    /// Since when no connected proxy calls the service.
    unused: Option<Instant>,
}

impl Drop for PollTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Default)]
struct PollCounters {
    answers: AtomicU64,
    throttles: AtomicU64,
    failures: AtomicU64,
}

async fn poll_forever(poller: Arc<Poller>, service: CloudMapService) {
    let mut failures = 0_u32;
    loop {
        let outcome = poller.poll(&service).await;
        failures = if outcome == PollOutcome::Served { 0 } else { failures.saturating_add(1) };
        let draw = poller.draws.hash_one((&service, Instant::now()));
        sleep(pause(outcome, failures, poller.refresh, draw)).await;
    }
}

impl Poller {
    fn table(&self) -> MutexGuard<'_, PollTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn poll(&self, service: &CloudMapService) -> PollOutcome {
        let (namespace, name) = service;
        // The timeout includes the wait for a permit.
        let discovery = async {
            let _permit = self.permits.acquire().await;
            self.directory.discover(namespace, name).await
        };
        let found = timeout(TIMEOUT, discovery).await.unwrap_or_else(|_| {
            let call = format!("discover the instances of {name}.{namespace}");
            let message = format!("no response within {} s", TIMEOUT.as_secs());
            Err(PortError::new(call, PortErrorKind::TimedOut, message))
        });
        match found {
            Ok(found) => {
                self.counters.answers.fetch_add(1, Ordering::Relaxed);
                let (instances, problem) = usable(service, found);
                self.settle(service, Some(instances), problem);
                PollOutcome::Served
            }
            Err(error) => {
                let counter = match error.kind {
                    PortErrorKind::Throttled => &self.counters.throttles,
                    _ => &self.counters.failures,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "failed to discover instances");
                // Only parts that stay the same from one failure to the next, so that a lasting problem is reported once.
                let message = format!("its instances cannot be discovered ({}); {}", error.kind, remedy(error.kind));
                let is_known = self.settle(service, None, Some(InstanceProblem { id: problem::UNAVAILABLE, message }));
                match error.kind {
                    PortErrorKind::Throttled => PollOutcome::Throttled(is_known),
                    kind if kind.may_heal() => PollOutcome::Transient(is_known),
                    _ => PollOutcome::Permanent,
                }
            }
        }
    }

    /// Records the result of a poll; without instances the previous ones stay. Returns whether instances are known.
    fn settle(
        &self,
        service: &CloudMapService,
        instances: Option<Vec<Instance>>,
        problem: Option<InstanceProblem>,
    ) -> bool {
        let mut table = self.table();
        // No proxy calls it any more.
        if !table.tasks.contains_key(service) {
            return false;
        }
        let (known, previous) = (table.book.known.get(service), table.book.problems.get(service));
        let found = instances.filter(|instances| known != Some(instances));
        let is_known = known.is_some() || found.is_some();
        let problem_changed = previous != problem.as_ref();
        if found.is_none() && !problem_changed {
            return is_known;
        }
        log_change(service, known, found.as_ref(), problem.as_ref().filter(|_| problem_changed));
        let book = Arc::make_mut(&mut table.book);
        if let Some(found) = found {
            book.known.insert(service.clone(), found);
        }
        match problem {
            Some(problem) => book.problems.insert(service.clone(), problem),
            None => book.problems.remove(service),
        };
        drop(table);
        self.changes.send_modify(|count| *count += 1);
        is_known
    }
}

/// The instances with an address, sorted, since the directory returns them in a different order each time.
fn usable(service: &CloudMapService, found: Vec<InstanceAttributes>) -> (Vec<Instance>, Option<InstanceProblem>) {
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
        PortErrorKind::NotFound => "create the service in Cloud Map, or correct its name in the virtual node",
        PortErrorKind::Denied => "allow servicediscovery:DiscoverInstances",
        PortErrorKind::Throttled => "they are polled less often until the throttling ends",
        PortErrorKind::Expired => "if it lasts, set the clock and renew the credentials",
        PortErrorKind::Unavailable | PortErrorKind::TimedOut | PortErrorKind::Conflict => "a later poll may succeed",
        PortErrorKind::Other => "check the names, the region and the endpoint",
    }
}

fn log_change(
    (namespace, name): &CloudMapService,
    known: Option<&Vec<Instance>>,
    found: Option<&Vec<Instance>>,
    problem: Option<&InstanceProblem>,
) {
    if let Some(found) = found {
        let before = known.map_or(0, Vec::len);
        tracing::info!(service = name, namespace, before, now = found.len(), "instances changed");
    }
    if let Some(problem) = problem {
        let serves_last_valid = known.is_some();
        tracing::warn!(
            service = name,
            namespace,
            problem = problem.id,
            reason = problem.message,
            serves_last_valid,
            "failed to update instances"
        );
    }
}

#[cfg(test)]
mod tests;
