//! Ctrl-C and SIGTERM: noted here, looked at wherever something is waited for, so that all that was started is ended
//! on the way out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

static SEEN: AtomicBool = AtomicBool::new(false);

/// How often a condition is looked at. Well under what a person notices.
const PAUSE: Duration = Duration::from_millis(40);

/// Starts to take note.
pub(crate) fn watch() -> Result<()> {
    ctrlc::set_handler(|| SEEN.store(true, Ordering::SeqCst))?;
    Ok(())
}

/// Ends what runs in the background, as a signal would: the task has failed and only cleans up.
pub(crate) fn abandon() {
    SEEN.store(true, Ordering::SeqCst);
}

/// Fails once a signal came.
pub(crate) fn check() -> Result<()> {
    if SEEN.load(Ordering::SeqCst) { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Looks until `look` finds something or the time is up; `None` is for the latter.
pub(crate) fn poll<T>(limit: Duration, look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    poll_through(check, limit, look)
}

/// The same while everything is being ended, when a signal must not cut it short.
pub(crate) fn poll_to_the_end<T>(limit: Duration, look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    poll_through(|| Ok(()), limit, look)
}

fn poll_through<T>(
    guard: impl Fn() -> Result<()>,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let deadline = Instant::now() + limit;
    loop {
        guard()?;
        if let Some(found) = look()? {
            return Ok(Some(found));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}
