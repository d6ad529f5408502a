//! Events over EventBridge.

use async_trait::async_trait;
use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use ports::{BusEvent, DeniedCalls, EventBus, PortError, PortErrorKind};

use crate::call::call;
use crate::lazy::Lazy;

/// The maximum number of entries in one `PutEvents`.
const BATCH: usize = 10;

/// The entries of one `PutEvents` must have fewer bytes than this in total. AWS accepts 1 MB since 2026 and accepted
/// 256 KB before; the lower limit also fits servers that still apply it, and costs a call only for long events.
const BYTES: usize = 256 * 1024;

/// The bytes that `PutEvents` counts for an entry with a time.
const TIME_BYTES: usize = 14;

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

/// The size of an entry as `PutEvents` counts it: detail, type, source and resources in UTF-8, and the time if it is
/// set. The bus does not count.
fn entry_size(entry: &PutEventsRequestEntry) -> usize {
    let texts = [entry.source(), entry.detail_type(), entry.detail()].into_iter().flatten().map(str::len);
    let resources = entry.resources().iter().map(String::len);
    let time = entry.time().map_or(0, |_| TIME_BYTES);
    time + texts.chain(resources).sum::<usize>()
}

/// Splits the entries into batches for one call each. An entry that is too long alone is sent, and the
/// service refuses it.
fn batches(mut entries: &[PutEventsRequestEntry]) -> Vec<&[PutEventsRequestEntry]> {
    let mut batches = Vec::new();
    while !entries.is_empty() {
        let mut bytes = 0;
        let fitting = entries.iter().take(BATCH).take_while(|entry| {
            bytes += entry_size(entry);
            bytes < BYTES
        });
        let (batch, rest) = entries.split_at(fitting.count().max(1));
        batches.push(batch);
        entries = rest;
    }
    batches
}

#[async_trait]
impl EventBus for Bus {
    async fn put(&self, events: &[BusEvent]) -> Result<(), PortError> {
        let what = || format!("put {} events on bus `{}`", events.len(), self.name);
        let entries: Vec<PutEventsRequestEntry> = events.iter().map(|event| self.entry(event)).collect();
        for batch in batches(&entries) {
            let request = self.client.client().put_events().set_entries(Some(batch.to_vec()));
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

    fn entry(detail: usize, resources: &[usize]) -> PutEventsRequestEntry {
        let resources = resources.iter().map(|length| "r".repeat(*length)).collect();
        PutEventsRequestEntry::builder()
            .event_bus_name("an ignored bus")
            .source("s")
            .detail_type("t")
            .detail("x".repeat(detail))
            .set_resources(Some(resources))
            .build()
    }

    fn sizes(entries: &[PutEventsRequestEntry]) -> Vec<usize> {
        batches(entries).into_iter().map(<[PutEventsRequestEntry]>::len).collect()
    }

    #[test]
    fn batch_respects_count_and_size_limits() {
        for (lengths, expected) in [
            (vec![], vec![]),
            (vec![1; 23], vec![10, 10, 3]),
            (vec![100 * 1024; 5], vec![2, 2, 1]),
            (vec![1, 300 * 1024, 1], vec![1, 1, 1]),
        ] {
            let entries: Vec<PutEventsRequestEntry> = lengths.into_iter().map(|length| entry(length, &[])).collect();
            assert_eq!(sizes(&entries), expected);
        }
    }

    #[test]
    fn an_entry_has_the_size_that_aws_counts() {
        assert_eq!(entry_size(&entry(10, &[])), 12);
        assert_eq!(entry_size(&entry(10, &[3, 4])), 19);
        let of_bytes = PutEventsRequestEntry::builder().detail("\u{fc}").source("\u{20ac}").build();
        assert_eq!(entry_size(&of_bytes), 5);
        let with_time = PutEventsRequestEntry::builder().time(aws_smithy_types::DateTime::from_secs(0)).build();
        assert_eq!(entry_size(&with_time), 14);
    }

    #[test]
    fn resources_count_up_to_the_last_byte() {
        // Source and type of both entries have four bytes together.
        let half = BYTES / 2 - 2;
        for (detail, resources, expected) in [
            (half, vec![], vec![1, 1]),
            (half - 1, vec![], vec![2]),
            (0, vec![100; half / 100], vec![2]),
            (half % 100, vec![100; half / 100], vec![1, 1]),
            (1000, vec![1600; 100], vec![1, 1]),
        ] {
            let entries = [entry(detail, &resources), entry(detail, &resources)];
            assert_eq!(sizes(&entries), expected, "{detail} and {} resources", resources.len());
        }
    }
}
