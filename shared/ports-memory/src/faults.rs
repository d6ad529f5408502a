use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use ports::{DeniedCalls, PortError, PortErrorKind};

/// The faults of the in-memory ports. Every call of every port that shares this handle passes through it: it is
/// counted, named and, if a rule applies, made to fail.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<FaultState>,
    crashed: Notify,
}

#[derive(Debug, Default)]
struct FaultState {
    calls: Vec<Call>,
    rules: Vec<Rule>,
    dead: bool,
    latency: Duration,
}

/// One call of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The number of the call, from 0, over all ports that share the faults.
    pub number: usize,
    /// The operation, for example `update route`.
    pub name: &'static str,
    /// The subject, for example `shop/recs/main`.
    pub subject: String,
    /// Whether it is a write.
    pub writes: bool,
}

impl Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.subject)
    }
}

/// A fault of a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It fails; an effect stays, and only the answer is lost.
    Fails(Failure, Effect),
    /// A read returns the state before the last write. A write is not affected.
    StaleRead,
    /// The process is killed there: the call never returns, and neither does any later one of the same process.
    Crash(Effect),
    /// The call waits at the gate, so that other calls can happen before its effect.
    Waits(Gate),
}

/// The effect of a fault on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The service throttles the call.
    Throttled,
    /// The call times out.
    TimedOut,
    /// The server returns an error such as 503.
    Unavailable,
    /// The connection was reset.
    ConnectionReset,
    /// The signature or the session token has expired, also after the adapter's own retries.
    Expired,
    /// The caller lacks the permission; a retry never succeeds, so [`Fault::every`] leaves it out.
    Denied,
    /// The resource does not exist.
    NotFound,
}

/// Whether a failing call had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It failed before its effect.
    NotDone,
    /// It failed after its effect.
    Done,
}

impl Fault {
    /// Every failure and the stale read, for tests that iterate over all faults at every call.
    #[must_use]
    pub fn every() -> Vec<Self> {
        vec![
            // A throttled call never had an effect.
            Self::Fails(Failure::Throttled, Effect::NotDone),
            Self::Fails(Failure::Expired, Effect::NotDone),
            Self::Fails(Failure::TimedOut, Effect::NotDone),
            Self::Fails(Failure::TimedOut, Effect::Done),
            Self::Fails(Failure::Unavailable, Effect::NotDone),
            Self::Fails(Failure::Unavailable, Effect::Done),
            Self::Fails(Failure::ConnectionReset, Effect::NotDone),
            Self::Fails(Failure::ConnectionReset, Effect::Done),
            Self::StaleRead,
        ]
    }

    /// The two sides of a call at which a process can be killed.
    #[must_use]
    pub fn crashes() -> [Self; 2] {
        [Self::Crash(Effect::NotDone), Self::Crash(Effect::Done)]
    }
}

/// A gate where a call waits until the test opens it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<GateState>);

#[derive(Debug, Default)]
struct GateState {
    reached: Notify,
    opened: Notify,
}

impl Gate {
    /// Waits until a call has reached the gate.
    pub async fn reached(&self) {
        self.0.reached.notified().await;
    }

    /// Releases the call.
    pub fn open(&self) {
        self.0.opened.notify_one();
    }

    async fn pass(&self) {
        self.0.reached.notify_one();
        self.0.opened.notified().await;
    }
}

struct Rule {
    applies: Box<dyn Fn(&Call) -> bool + Send>,
    fault: Fault,
    once: bool,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("fault", &self.fault).field("once", &self.once).finish_non_exhaustive()
    }
}

impl Faults {
    /// Makes the call with this number fail.
    pub fn at(&self, number: usize, fault: Fault) {
        self.add(Rule { applies: Box::new(move |call| call.number == number), fault, once: true });
    }

    /// Makes the next call that `applies` fail.
    pub fn once(&self, applies: impl Fn(&Call) -> bool + Send + 'static, fault: Fault) {
        self.add(Rule { applies: Box::new(applies), fault, once: true });
    }

    /// Makes every call that `applies` fail.
    pub fn whenever(&self, applies: impl Fn(&Call) -> bool + Send + 'static, fault: Fault) {
        self.add(Rule { applies: Box::new(applies), fault, once: false });
    }

    /// Removes all rules and calls; the state of the ports stays.
    pub fn reset(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.calls.clear();
        state.dead = false;
    }

    /// Sets the duration of every call (on tokio's clock, so virtual time works).
    pub fn set_latency(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// Every call so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Runs a process until it ends or a [`Fault::Crash`] kills it, which gives `None`. After that the ports answer
    /// again, to the next process.
    pub async fn run<F: Future>(&self, process: F) -> Option<F::Output> {
        let outcome = tokio::select! {
            biased;
            () = self.0.crashed.notified() => None,
            output = process => Some(output),
        };
        self.state().dead = false;
        outcome
    }

    fn add(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    fn state(&self) -> MutexGuard<'_, FaultState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and applies faults before its effect.
    pub(super) async fn enter(&self, name: &'static str, subject: String, writes: bool) -> Result<Passage, PortError> {
        let Some((passage, latency)) = self.count(name, subject, writes) else {
            return std::future::pending().await;
        };
        // Even without latency, other tasks run at every call, so that two writers interleave.
        if latency.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(latency).await;
        }
        passage.before().await?;
        Ok(passage)
    }

    /// Records the call and finds its fault; `None` if the process is dead.
    fn count(&self, name: &'static str, subject: String, writes: bool) -> Option<(Passage, Duration)> {
        let mut state = self.state();
        if state.dead {
            return None;
        }
        let call = Call { number: state.calls.len(), name, subject, writes };
        state.calls.push(call.clone());
        let rule = state.rules.iter().position(|rule| (rule.applies)(&call));
        let fault = rule.and_then(|at| state.rules.get(at).map(|rule| rule.fault.clone()));
        if let Some(at) = rule.filter(|at| state.rules.get(*at).is_some_and(|rule| rule.once)) {
            state.rules.remove(at);
        }
        Some((Passage { faults: self.clone(), call, fault }, state.latency))
    }

    async fn crash<T>(&self) -> T {
        self.state().dead = true;
        self.0.crashed.notify_one();
        std::future::pending().await
    }
}

/// One call in progress.
#[derive(Debug)]
pub(super) struct Passage {
    faults: Faults,
    call: Call,
    fault: Option<Fault>,
}

impl Passage {
    /// Whether the call sees the state before the last write.
    pub(super) fn stale(&self) -> bool {
        matches!(self.fault, Some(Fault::StaleRead))
    }

    async fn before(&self) -> Result<(), PortError> {
        // A process that was killed while this call waited makes no further calls.
        if self.faults.state().dead {
            return std::future::pending().await;
        }
        match &self.fault {
            Some(Fault::Fails(failure, Effect::NotDone)) => Err(failure.error(&self.call)),
            Some(Fault::Crash(Effect::NotDone)) => self.faults.crash().await,
            Some(Fault::Waits(gate)) => {
                gate.pass().await;
                Ok(())
            }
            Some(Fault::Fails(_, Effect::Done) | Fault::Crash(Effect::Done) | Fault::StaleRead) | None => Ok(()),
        }
    }

    /// Applies faults after the effect.
    pub(super) async fn leave<T>(self, answer: Result<T, PortError>) -> Result<T, PortError> {
        match self.fault {
            Some(Fault::Fails(failure, Effect::Done)) => Err(failure.error(&self.call)),
            Some(Fault::Crash(Effect::Done)) => self.faults.crash().await,
            Some(
                Fault::Fails(_, Effect::NotDone) | Fault::Crash(Effect::NotDone) | Fault::StaleRead | Fault::Waits(_),
            )
            | None => answer,
        }
    }
}

impl Failure {
    fn error(self, call: &Call) -> PortError {
        let (kind, message) = match self {
            Self::Throttled => (PortErrorKind::Throttled, "too many requests"),
            Self::TimedOut => (PortErrorKind::TimedOut, "no answer in time"),
            Self::Unavailable => (PortErrorKind::Unavailable, "the service is unavailable"),
            Self::ConnectionReset => (PortErrorKind::Unavailable, "the connection was reset"),
            Self::Expired => (PortErrorKind::Expired, "the signature has expired"),
            Self::Denied => (PortErrorKind::Denied, "the role does not allow it"),
            Self::NotFound => (PortErrorKind::NotFound, "no such resource"),
        };
        if kind == PortErrorKind::Denied {
            DeniedCalls::record();
        }
        PortError::new(call.to_string(), kind, message)
    }
}
