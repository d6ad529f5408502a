//! Ctrl-C and SIGTERM: a handler records them, and every wait checks the record, so that all started processes are
//! ended before the exit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

static SEEN: AtomicBool = AtomicBool::new(false);

/// The interval of checks, short enough to be unnoticeable.
const PAUSE: Duration = Duration::from_millis(40);

/// Installs the handler.
pub fn watch() -> Result<()> {
    ctrlc::set_handler(|| SEEN.store(true, Ordering::SeqCst))?;
    Ok(())
}

/// Ends background steps, as a signal would: the task has failed and only cleans up.
pub fn abandon() {
    SEEN.store(true, Ordering::SeqCst);
}

/// Fails after a signal.
pub fn check() -> Result<()> {
    if SEEN.load(Ordering::SeqCst) { Err(Failure::Interrupted) } else { Ok(()) }
}

/// Calls `look` until it finds something; `None` after the time limit.
pub fn poll<T>(limit: Duration, look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    poll_through(check, limit, look)
}

/// The same during cleanup, which a signal must not interrupt.
pub fn poll_to_the_end<T>(limit: Duration, look: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
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
