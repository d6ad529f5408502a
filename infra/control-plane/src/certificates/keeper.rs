//! What is served, and the asking for better.

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
use super::sources::{Fetched, Refusal, RefusalKind, Sources};
use crate::schedule::{Answer, pause};
use crate::secrets::{Found, KnownSecret, SecretProblem, SecretReport, Secrets, problem};

/// How often what is served is held against its source, where nothing else is said.
const REFRESH: Duration = Duration::from_mins(1);

/// How long a source may take for one secret, which can be several calls.
const PATIENCE: Duration = Duration::from_secs(20);

/// Secrets that are asked for at a time. ACM takes ten calls of a kind a second from a whole account.
const AT_A_TIME: usize = 8;

/// How long a secret is kept that no connected proxy needs: a proxy that is started anew is back before that.
const LINGER: Duration = Duration::from_mins(10);

/// How a keeper keeps.
#[derive(Debug, Clone)]
pub struct KeeperSettings {
    /// How often each secret is asked for; jitter of a tenth comes to it.
    pub refresh: Duration,
    /// What says whether a certificate is past its validity.
    pub clock: Arc<dyn Clock>,
}

impl Default for KeeperSettings {
    fn default() -> Self {
        Self { refresh: REFRESH, clock: Arc::new(SystemClock) }
    }
}

/// Keeps the secrets that proxies need. It begins to ask for one when it is first looked for, serves the last good one
/// whatever comes after that, and stops asking when dropped.
#[derive(Debug)]
pub struct Keeper {
    kept: Arc<Kept>,
    asking: JoinHandle<()>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl Keeper {
    /// Starts one, in the runtime that this is called in.
    #[must_use]
    pub fn start(sources: Sources, settings: KeeperSettings) -> Arc<Self> {
        let kept = Arc::new(Kept {
            sources,
            settings,
            entries: Mutex::default(),
            changes: watch::Sender::new(0),
            wake: Notify::new(),
            draws: RandomState::new(),
        });
        let asking = tokio::spawn(ask_on(Arc::clone(&kept)));
        Arc::new(Self { kept, asking })
    }
}

impl Secrets for Keeper {
    fn find(&self, secret: &SecretRef) -> Found {
        let mut entries = self.kept.entries();
        let Some(entry) = entries.get(secret) else {
            entries.insert(secret.clone(), Entry::new());
            drop(entries);
            self.kept.wake.notify_one();
            return Found::Pending;
        };
        match (&entry.good, &entry.problem) {
            (Some(known), problem) => Found::Known(known.clone(), problem.clone()),
            (None, Some(problem)) => Found::Missing(problem.clone()),
            (None, None) => Found::Pending,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.kept.changes.subscribe()
    }

    fn in_use(&self, secrets: &BTreeSet<SecretRef>) {
        let now = Instant::now();
        let mut entries = self.kept.entries();
        for (secret, entry) in entries.iter_mut() {
            entry.unused = if secrets.contains(secret) { None } else { entry.unused.or(Some(now)) };
        }
        // Wipes their keys.
        entries.retain(|_, entry| entry.unused.is_none_or(|since| now.duration_since(since) < LINGER));
    }

    fn refresh(&self) -> usize {
        let now = Instant::now();
        let mut entries = self.kept.entries();
        entries.values_mut().for_each(|entry| entry.due = now);
        let count = entries.len();
        drop(entries);
        self.kept.wake.notify_one();
        count
    }

    fn told(&self) -> Vec<SecretReport> {
        let report = |(secret, entry): (&SecretRef, &Entry)| SecretReport {
            name: secret.name(),
            certificates: entry.good.as_ref().map(|known| known.certificates.clone()).unwrap_or_default(),
            problem: entry.problem.clone(),
            checked: entry.checked,
        };
        self.kept.entries().iter().map(report).collect()
    }
}

/// What the keeper and its asking share.
#[derive(Debug)]
struct Kept {
    sources: Sources,
    settings: KeeperSettings,
    entries: Mutex<BTreeMap<SecretRef, Entry>>,
    changes: watch::Sender<u64>,
    wake: Notify,
    draws: RandomState,
}

/// A secret that is kept, or wanted.
#[derive(Debug)]
struct Entry {
    /// The last good one.
    good: Option<KnownSecret>,
    /// What is wrong now.
    problem: Option<SecretProblem>,
    /// Failures since the last success.
    failures: u32,
    due: Instant,
    /// Whether it is being asked for.
    asked: bool,
    checked: Option<jiff::Timestamp>,
    /// Since when no connected proxy needs it.
    unused: Option<Instant>,
}

impl Entry {
    fn new() -> Self {
        let now = Instant::now();
        Self { good: None, problem: None, failures: 0, due: now, asked: false, checked: None, unused: Some(now) }
    }

    /// Takes in what a source said. Gives what came of it.
    fn settle(&mut self, fetched: Result<Fetched, Refusal>) -> Answer {
        let judged = fetched.and_then(|fetched| match fetched {
            Fetched::Same => Ok(None),
            Fetched::New(material) => {
                let known = judge(material)?;
                match &self.good {
                    Some(good) if discriminant(&good.material) != discriminant(&known.material) => Err(broken(
                        "it was a certificate and is trust now, or the other way round; bind another name to that",
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
                Answer::Served
            }
            Err(Refusal { problem, kind }) => {
                self.problem = Some(problem);
                self.failures = self.failures.saturating_add(1);
                match kind {
                    RefusalKind::Throttled => Answer::Throttled(self.good.is_some()),
                    RefusalKind::MayPass => Answer::MayPass(self.good.is_some()),
                    RefusalKind::Lasting => Answer::Lasting,
                }
            }
        }
    }
}

impl Kept {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<SecretRef, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is to be asked for now, and tells when the next is.
    fn take_due(&self, most: usize) -> (Vec<SecretRef>, Option<Instant>) {
        let now = Instant::now();
        let mut entries = self.entries();
        let mut waiting: Vec<_> = entries.iter_mut().filter(|(_, entry)| !entry.asked).collect();
        // Those that nothing is known of come first: a proxy waits for them.
        waiting.sort_by_key(|(_, entry)| (entry.checked.is_some(), entry.due));
        let mut due = Vec::new();
        for (secret, entry) in &mut waiting {
            if entry.due <= now && due.len() < most {
                entry.asked = true;
                due.push(secret.clone());
            }
        }
        // Those that there was no room for are looked at again when one of those under way is done.
        let later = waiting.iter().filter(|(_, entry)| !entry.asked && entry.due > now);
        let next = later.map(|(_, entry)| entry.due).min();
        (due, next)
    }

    async fn ask(&self, secret: &SecretRef) {
        let had = self.entries().get(secret).and_then(|entry| entry.good.clone());
        let fetched = timeout(PATIENCE, self.sources.fetch(secret, had.as_ref())).await.unwrap_or_else(|_| {
            let message = format!("whoever keeps it did not answer within {} s", PATIENCE.as_secs());
            Err(Refusal { problem: SecretProblem { id: problem::UNAVAILABLE, message }, kind: RefusalKind::MayPass })
        });
        let now = self.settings.clock.now();
        let mut entries = self.entries();
        // No proxy needed it any more.
        let Some(entry) = entries.get_mut(secret) else { return };
        let before = (entry.good.clone(), entry.problem.clone());
        let answer = entry.settle(fetched);
        if entry.problem.is_none() {
            entry.problem = entry.good.as_ref().and_then(|good| expired(good, now));
        }
        let draw = self.draws.hash_one((secret, Instant::now()));
        entry.due = Instant::now() + pause(answer, entry.failures, self.settings.refresh, draw);
        (entry.asked, entry.checked) = (false, Some(now));
        let changed = (&before.0, &before.1) != (&entry.good, &entry.problem);
        if changed {
            tell(secret, before.0.as_ref(), entry);
        }
        drop(entries);
        if changed {
            self.changes.send_modify(|count| *count += 1);
        }
    }
}

/// Says in the log what has changed. Fingerprints and dates only.
fn tell(secret: &SecretRef, before: Option<&KnownSecret>, entry: &Entry) {
    let name = secret.name();
    let of = |known: Option<&KnownSecret>| known.map(|known| known.certificates.clone()).unwrap_or_default();
    let (former, current) = (of(before), of(entry.good.as_ref()));
    if let Some(first) = current.first().filter(|_| former != current) {
        tracing::info!(secret = name, fingerprint = first.fingerprint, not_after = %first.not_after, "a certificate is served from now on");
    }
    if let Some(problem) = &entry.problem {
        let served = if current.is_empty() { "nothing is served" } else { "the last good one is served" };
        tracing::warn!(secret = name, problem = problem.id, reason = problem.message, "{served}");
    }
}

async fn ask_on(kept: Arc<Kept>) {
    let mut asking = JoinSet::new();
    loop {
        let (due, next) = kept.take_due(AT_A_TIME.saturating_sub(asking.len()));
        for secret in due {
            let kept = Arc::clone(&kept);
            asking.spawn(async move { kept.ask(&secret).await });
        }
        tokio::select! {
            () = kept.wake.notified() => {}
            Some(asked) = asking.join_next() => {
                if let Err(error) = asked {
                    tracing::error!(%error, "a secret is not asked for again: restart the control plane");
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
