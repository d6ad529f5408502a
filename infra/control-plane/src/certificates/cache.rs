//! The secrets that are served, and the requests that keep them current.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::mem::discriminant;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ports::{Clock, SystemClock};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use xds::SecretRef;

use super::material::{broken, expired, judge};
use super::sources::{FetchError, FetchErrorKind, Fetched, Sources};
use crate::schedule::{PollOutcome, pause};
use crate::secrets::{KnownSecret, SecretLookup, SecretProblem, SecretReport, Secrets, problem};

/// The default interval between requests for one secret.
const REFRESH: Duration = Duration::from_mins(1);

/// The timeout of a request for one secret, which can take several calls.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Concurrent requests. ACM accepts ten calls of one kind a second from a whole account.
const MAX_CONCURRENT: usize = 8;

/// How long a secret stays in the cache that no connected proxy needs: a restarted proxy reconnects before that.
const LINGER: Duration = Duration::from_mins(10);

/// The settings of a secret cache.
#[derive(Debug, Clone)]
pub struct SecretCacheSettings {
    /// How often each secret is requested; up to a tenth of it is added as jitter.
    pub refresh: Duration,
    /// The clock that decides whether a certificate has expired.
    pub clock: Arc<dyn Clock>,
}

impl Default for SecretCacheSettings {
    fn default() -> Self {
        Self { refresh: REFRESH, clock: Arc::new(SystemClock) }
    }
}

/// A cache of the secrets that proxies need. The first lookup of a secret starts the requests for it. The last valid
/// version is served through later failures. Dropping the cache stops the requests.
#[derive(Debug)]
pub struct SecretCache {
    state: Arc<CacheState>,
    requests: JoinHandle<()>,
}

impl Drop for SecretCache {
    fn drop(&mut self) {
        self.requests.abort();
    }
}

impl SecretCache {
    /// Starts a cache in the current runtime.
    #[must_use]
    pub fn start(sources: Sources, settings: SecretCacheSettings) -> Arc<Self> {
        let state = Arc::new(CacheState {
            sources,
            settings,
            entries: Mutex::default(),
            changes: watch::Sender::new(0),
            work_available: Notify::new(),
            draws: RandomState::new(),
        });
        let requests = tokio::spawn(request_forever(Arc::clone(&state)));
        Arc::new(Self { state, requests })
    }
}

impl Secrets for SecretCache {
    fn find(&self, secret: &SecretRef) -> SecretLookup {
        let mut entries = self.state.entries();
        let Some(entry) = entries.get(secret) else {
            entries.insert(secret.clone(), SecretEntry::new());
            drop(entries);
            self.state.work_available.notify_one();
            return SecretLookup::Pending;
        };
        match (&entry.good, &entry.problem) {
            (Some(known), problem) => SecretLookup::Known(known.clone(), problem.clone()),
            (None, Some(problem)) => SecretLookup::Missing(problem.clone()),
            (None, None) => SecretLookup::Pending,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.state.changes.subscribe()
    }

    fn in_use(&self, secrets: &BTreeSet<SecretRef>) {
        let now = Instant::now();
        let mut entries = self.state.entries();
        for (secret, entry) in entries.iter_mut() {
            entry.unused = if secrets.contains(secret) { None } else { entry.unused.or(Some(now)) };
        }
        // Dropping an entry wipes its key.
        entries.retain(|_, entry| entry.unused.is_none_or(|since| now.duration_since(since) < LINGER));
    }

    fn refresh(&self) -> usize {
        let now = Instant::now();
        let mut entries = self.state.entries();
        entries.values_mut().for_each(|entry| entry.due = now);
        let count = entries.len();
        drop(entries);
        self.state.work_available.notify_one();
        count
    }

    fn reports(&self) -> Vec<SecretReport> {
        let report = |(secret, entry): (&SecretRef, &SecretEntry)| SecretReport {
            name: secret.name(),
            certificates: entry.good.as_ref().map(|known| known.certificates.clone()).unwrap_or_default(),
            problem: entry.problem.clone(),
            checked: entry.checked,
        };
        self.state.entries().iter().map(report).collect()
    }
}

/// The state that the cache shares with its task.
#[derive(Debug)]
struct CacheState {
    sources: Sources,
    settings: SecretCacheSettings,
    entries: Mutex<BTreeMap<SecretRef, SecretEntry>>,
    changes: watch::Sender<u64>,
    work_available: Notify,
    draws: RandomState,
}

/// A secret that is cached, or requested for the first time.
#[derive(Debug)]
struct SecretEntry {
    /// The last valid version.
    good: Option<KnownSecret>,
    /// The current problem.
    problem: Option<SecretProblem>,
    /// Failures since the last success.
    failures: u32,
    due: Instant,
    /// Whether a request for it is in progress.
    requested: bool,
    checked: Option<jiff::Timestamp>,
    /// Since when no connected proxy needs it.
    unused: Option<Instant>,
}

impl SecretEntry {
    fn new() -> Self {
        let now = Instant::now();
        Self { good: None, problem: None, failures: 0, due: now, requested: false, checked: None, unused: Some(now) }
    }

    /// Applies the result of a request. Returns how to schedule the next one.
    fn settle(&mut self, fetched: Result<Fetched, FetchError>) -> PollOutcome {
        let judged = fetched.and_then(|fetched| match fetched {
            Fetched::Same => Ok(None),
            Fetched::New(material) => {
                let known = judge(material)?;
                match &self.good {
                    Some(good) if discriminant(&good.material) != discriminant(&known.material) => Err(broken(
                        "the secret changed between certificate and trust anchors; bind another name to the new content",
                    )
                    .into()),
                    Some(_) | None => Ok(Some(known)),
                }
            }
        });
        match judged {
            Ok(known) => {
                self.good = known.or_else(|| self.good.take());
                (self.problem, self.failures) = (None, 0);
                PollOutcome::Served
            }
            Err(FetchError { problem, kind }) => {
                self.problem = Some(problem);
                self.failures = self.failures.saturating_add(1);
                match kind {
                    FetchErrorKind::Throttled => PollOutcome::Throttled(self.good.is_some()),
                    FetchErrorKind::Transient => PollOutcome::Transient(self.good.is_some()),
                    FetchErrorKind::Permanent => PollOutcome::Permanent,
                }
            }
        }
    }
}

impl CacheState {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<SecretRef, SecretEntry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the secrets that are due as requested, and returns them with the time at which the next one is due.
    fn take_due(&self, most: usize) -> (Vec<SecretRef>, Option<Instant>) {
        let now = Instant::now();
        let mut entries = self.entries();
        let mut waiting: Vec<_> = entries.iter_mut().filter(|(_, entry)| !entry.requested).collect();
        // Secrets without any result come first: a proxy waits for them.
        waiting.sort_by_key(|(_, entry)| (entry.checked.is_some(), entry.due));
        let mut due = Vec::new();
        for (secret, entry) in &mut waiting {
            if entry.due <= now && due.len() < most {
                entry.requested = true;
                due.push(secret.clone());
            }
        }
        // Due secrets beyond `most` are taken when a request in progress ends.
        let later = waiting.iter().filter(|(_, entry)| !entry.requested && entry.due > now);
        let next = later.map(|(_, entry)| entry.due).min();
        (due, next)
    }

    async fn request(&self, secret: &SecretRef) {
        let served = self.entries().get(secret).and_then(|entry| entry.good.clone());
        let fetched = timeout(TIMEOUT, self.sources.fetch(secret, served.as_ref())).await.unwrap_or_else(|_| {
            let message = format!("the source did not answer within {} s", TIMEOUT.as_secs());
            Err(FetchError {
                problem: SecretProblem { id: problem::UNAVAILABLE, message },
                kind: FetchErrorKind::Transient,
            })
        });
        let now = self.settings.clock.now();
        let mut entries = self.entries();
        // The entry was removed because no proxy needed it any more.
        let Some(entry) = entries.get_mut(secret) else { return };
        let before = (entry.good.clone(), entry.problem.clone());
        let outcome = entry.settle(fetched);
        if entry.problem.is_none() {
            entry.problem = entry.good.as_ref().and_then(|good| expired(good, now));
        }
        let draw = self.draws.hash_one((secret, Instant::now()));
        entry.due = Instant::now() + pause(outcome, entry.failures, self.settings.refresh, draw);
        (entry.requested, entry.checked) = (false, Some(now));
        let changed = (&before.0, &before.1) != (&entry.good, &entry.problem);
        if changed {
            log_change(secret, before.0.as_ref(), entry);
        }
        drop(entries);
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}

/// Logs the change of a secret: fingerprints and dates only.
fn log_change(secret: &SecretRef, before: Option<&KnownSecret>, entry: &SecretEntry) {
    let name = secret.name();
    let certificates = |known: Option<&KnownSecret>| known.map(|known| known.certificates.clone()).unwrap_or_default();
    let (previous, current) = (certificates(before), certificates(entry.good.as_ref()));
    if let Some(first) = current.first().filter(|_| previous != current) {
        tracing::info!(
            secret = name,
            fingerprint = first.fingerprint,
            not_after = %first.not_after,
            "serving new certificate"
        );
    }
    if let Some(problem) = &entry.problem {
        let serves_last_valid = !current.is_empty();
        tracing::warn!(
            secret = name,
            problem = problem.id,
            reason = problem.message,
            serves_last_valid,
            "failed to update secret"
        );
    }
}

async fn request_forever(state: Arc<CacheState>) {
    let mut requests = JoinSet::new();
    loop {
        let (due, next) = state.take_due(MAX_CONCURRENT.saturating_sub(requests.len()));
        for secret in due {
            let state = Arc::clone(&state);
            requests.spawn(async move { state.request(&secret).await });
        }
        tokio::select! {
            () = state.work_available.notified() => {}
            Some(ended) = requests.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "secret request task failed; restart the control plane to request the secret again");
                }
            }
            () = at(next) => {}
        }
    }
}

async fn at(next: Option<Instant>) {
    match next {
        Some(next) => sleep_until(next).await,
        None => std::future::pending().await,
    }
}
