use async_trait::async_trait;
use records::{Observation, ObservedRef, RawObservation};

use crate::PortError;

/// Stores objects that are too large for the journal.
#[async_trait]
pub trait ReportStore: Send + Sync + std::fmt::Debug {
    /// Stores `body` under `name`, a relative path with `/` between its parts, and returns its location.
    async fn put(&self, name: &str, body: &[u8]) -> Result<String, PortError>;

    /// The object under `name`; not found if it does not exist.
    async fn get(&self, name: &str) -> Result<Vec<u8>, PortError>;
}

/// Gives the place of an observation: the journal entry up to `largest_inline` bytes, otherwise the reports store. `object`
/// names the object for the observation's text.
pub async fn store_observation(
    reports: &dyn ReportStore,
    observation: &Observation,
    largest_inline: usize,
    object: impl FnOnce(&str) -> String + Send,
) -> ObservedRef {
    let observed = observation.to_value();
    let text = observed.to_string();
    if text.len() <= largest_inline {
        return ObservedRef::Here(RawObservation::from(observed));
    }
    match reports.put(&object(&text), text.as_bytes()).await {
        Ok(place) => ObservedRef::At { place, sha256: None },
        Err(error) => {
            tracing::warn!(%error, bytes = text.len(), "failed to store an observation; its decision cannot be replayed");
            ObservedRef::Lost { error: error.to_string() }
        }
    }
}
