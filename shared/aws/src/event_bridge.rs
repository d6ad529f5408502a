//! Events over EventBridge.

use async_trait::async_trait;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use ports::{BusEvent, DeniedCalls, EventBus, PortError, PortErrorKind};

use crate::call::call;
use crate::lazy::Lazy;

/// The maximum number of entries in one `PutEvents`.
const BATCH: usize = 10;

/// The maximum number of bytes in one `PutEvents`, with some left for the names of source, type and bus.
const BYTES: usize = 250 * 1024;

/// The source of our events.
const SOURCE: &str = "meshwarden";

/// An event bus.
#[derive(Clone, Debug)]
pub struct Bus {
    client: Lazy<Client>,
    name: String,
    source: &'static str,
}

impl Bus {
    pub(crate) fn new(client: Lazy<Client>, name: impl Into<String>) -> Self {
        Self { client, name: name.into(), source: SOURCE }
    }

    /// Uses the source for mesh writes, which replace the events of `CloudTrail`. `PutEvents` refuses the source
    /// `aws.appmesh`.
    pub(crate) fn of_mesh_writes(self) -> Self {
        Self { source: "meshwarden.appmesh", ..self }
    }

    fn entry(&self, event: &BusEvent) -> PutEventsRequestEntry {
        PutEventsRequestEntry::builder()
            .event_bus_name(&self.name)
            .source(self.source)
            .detail_type(&event.detail_type)
            .detail(event.detail.to_string())
            .set_resources(Some(event.resources.clone()))
            .build()
    }
}

/// Splits the events into batches for one call each. An event that is too long alone is sent, and the service refuses
/// it.
fn batches(mut events: &[BusEvent]) -> Vec<&[BusEvent]> {
    let mut batches = Vec::new();
    while !events.is_empty() {
        let mut bytes = 0;
        let fitting = events.iter().take(BATCH).take_while(|event| {
            bytes += event.detail.to_string().len();
            bytes <= BYTES
        });
        let (batch, rest) = events.split_at(fitting.count().max(1));
        batches.push(batch);
        events = rest;
    }
    batches
}

#[async_trait]
impl EventBus for Bus {
    async fn put(&self, events: &[BusEvent]) -> Result<(), PortError> {
        let what = || format!("put {} events on bus `{}`", events.len(), self.name);
        for batch in batches(events) {
            let entries = batch.iter().map(|event| self.entry(event)).collect();
            let request = self.client.client().put_events().set_entries(Some(entries));
            let answer = call(what, request.send()).await?;
            // The call succeeds even when every one of its entries was refused.
            if answer.failed_entry_count() != 0 {
                let refused = answer.entries().iter().find_map(|entry| {
                    Some((entry.error_code()?.to_owned(), entry.error_message().unwrap_or_default().to_owned()))
                });
                let (code, message) = refused.unwrap_or_default();
                let kind = match code.as_str() {
                    "ThrottlingException" => PortErrorKind::Throttled,
                    "InternalFailure" | "InternalException" => PortErrorKind::Unavailable,
                    "NotAuthorizedForSourceException" | "NotAuthorizedForDetailTypeException" => PortErrorKind::Denied,
                    _ => PortErrorKind::Other,
                };
                if kind == PortErrorKind::Denied {
                    DeniedCalls::record();
                }
                let message = format!("{} entries were refused: {code} {message}", answer.failed_entry_count());
                return Err(PortError::new(what(), kind, message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_respects_count_and_size_limits() {
        let event = |length: usize| BusEvent {
            detail_type: "t".to_owned(),
            detail: "x".repeat(length).into(),
            resources: Vec::new(),
        };
        for (lengths, expected) in [
            (vec![], vec![]),
            (vec![1; 23], vec![10, 10, 3]),
            (vec![100 * 1024; 5], vec![2, 2, 1]),
            (vec![1, 300 * 1024, 1], vec![1, 1, 1]),
        ] {
            let events: Vec<BusEvent> = lengths.into_iter().map(event).collect();
            let sizes: Vec<usize> = batches(&events).into_iter().map(<[BusEvent]>::len).collect();
            assert_eq!(sizes, expected);
        }
    }
}
