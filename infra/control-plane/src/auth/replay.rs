//! Writes that were received already.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::Denial;

/// How many signatures are kept at most: some megabytes.
const MOST: usize = 50_000;

/// The signatures of writes, each until it has expired anyway.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<HashMap<[u8; 32], Timestamp>>);

impl Seen {
    /// Remembers a signature, if it is the first time.
    pub(super) fn first(&self, signature: [u8; 32], expires: Timestamp, now: Timestamp) -> Result<(), Denial> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains_key(&signature) {
            return Err(Denial::Replayed);
        }
        if seen.len() >= MOST {
            seen.retain(|_, expires| *expires >= now);
        }
        if seen.len() >= MOST {
            return Err(Denial::Crowded);
        }
        seen.insert(signature, expires);
        Ok(())
    }
}
