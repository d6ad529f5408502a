use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Faults;
use ports::PortError;

/// The state behind one in-memory port, reached only through the faults. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Cell<T> {
    faults: Faults,
    versions: Arc<Mutex<Versions<T>>>,
}

#[derive(Debug)]
struct Versions<T> {
    now: T,
    before: T,
}

impl<T: Clone + PartialEq> Cell<T> {
    pub(super) fn new(state: T, faults: Faults) -> Self {
        let versions = Versions { before: state.clone(), now: state };
        Self { faults, versions: Arc::new(Mutex::new(versions)) }
    }

    /// A call of a port that only reads.
    pub(super) async fn read<R>(
        &self,
        name: &'static str,
        subject: impl Display + Send,
        read: impl FnOnce(&T) -> Result<R, PortError> + Send,
    ) -> Result<R, PortError> {
        let passage = self.faults.enter(name, subject.to_string(), false).await?;
        let answer = {
            let versions = self.versions();
            read(if passage.stale() { &versions.before } else { &versions.now })
        };
        passage.leave(answer).await
    }

    /// A call of a port that may write.
    pub(super) async fn write<R>(
        &self,
        name: &'static str,
        subject: impl Display + Send,
        write: impl FnOnce(&mut T) -> Result<R, PortError> + Send,
    ) -> Result<R, PortError> {
        let passage = self.faults.enter(name, subject.to_string(), true).await?;
        let answer = self.poke(write);
        passage.leave(answer).await
    }

    /// Reads the state without counting as a call.
    pub(super) fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.versions().now)
    }

    /// Changes the state without counting as a call.
    pub(super) fn poke<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut versions = self.versions();
        let before = versions.now.clone();
        let answer = change(&mut versions.now);
        // A rejected write does not count: a stale read misses the last write that changed the state.
        if versions.now != before {
            versions.before = before;
        }
        answer
    }

    fn versions(&self) -> MutexGuard<'_, Versions<T>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
