//! Queues of SQS, for the operator who handles dead letters.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use jiff::Timestamp;
use ports::{PortError, PortErrorKind, QueueAttribute, QueueMessage, QueueValue, Queues};

use crate::call::call;

/// The maximum number of messages that one call receives.
const AT_A_TIME: i32 = 10;

/// The time, in seconds, that a call waits for messages. Without a wait SQS queries only some of its servers, and
/// messages seem absent.
const WAIT_SECONDS: i32 = 1;

/// The adapter of the account's queues.
#[derive(Clone, Debug)]
pub struct Sqs {
    client: Client,
}

impl Sqs {
    pub(crate) const fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Queues for Sqs {
    async fn address(&self, queue: &str) -> Result<String, PortError> {
        if queue.starts_with("http://") || queue.starts_with("https://") {
            return Ok(queue.to_owned());
        }
        let what = || format!("find queue {queue}");
        let mut request = self.client.get_queue_url();
        request = match queue.split(':').collect::<Vec<_>>().as_slice() {
            ["arn", _, "sqs", _, account, name] => request.queue_name(*name).queue_owner_aws_account_id(*account),
            _ => request.queue_name(queue),
        };
        let answer = call(what, request.send()).await?;
        answer.queue_url.ok_or_else(|| PortError::new(what(), PortErrorKind::Other, "the response has no address"))
    }

    async fn sources(&self, address: &str) -> Result<Vec<String>, PortError> {
        let what = || format!("list the source queues of dead-letter queue {address}");
        let mut sources = Vec::new();
        let mut next = None;
        loop {
            let request = self.client.list_dead_letter_source_queues().queue_url(address).max_results(100);
            let answer = call(what, request.set_next_token(next).send()).await?;
            sources.extend(answer.queue_urls);
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(sources);
            }
        }
    }

    async fn receive(&self, address: &str, hold: Duration) -> Result<Vec<QueueMessage>, PortError> {
        let request = self
            .client
            .receive_message()
            .queue_url(address)
            .max_number_of_messages(AT_A_TIME)
            .wait_time_seconds(WAIT_SECONDS)
            .visibility_timeout(i32::try_from(hold.as_secs()).unwrap_or(i32::MAX))
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All");
        let answer = call(|| format!("receive messages of {address}"), request.send()).await?;
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(message).collect())
    }

    async fn release(&self, address: &str, receipt: &str) -> Result<(), PortError> {
        let request =
            self.client.change_message_visibility().queue_url(address).receipt_handle(receipt).visibility_timeout(0);
        call(|| format!("release a message of {address}"), request.send()).await.map(drop)
    }

    async fn send(&self, address: &str, message: &QueueMessage) -> Result<(), PortError> {
        let mut attributes = HashMap::new();
        for (name, attribute) in &message.attributes {
            let value = MessageAttributeValue::builder().data_type(&attribute.data_type);
            let value = match &attribute.value {
                QueueValue::Text(text) => value.string_value(text),
                QueueValue::Binary(bytes) => value.binary_value(Blob::new(bytes.clone())),
            };
            let malformed = |error: aws_sdk_sqs::error::BuildError| {
                PortError::new(format!("send message {}", message.id), PortErrorKind::Other, error.to_string())
            };
            attributes.insert(name.clone(), value.build().map_err(malformed)?);
        }
        let mut request = self.client.send_message().queue_url(address).message_body(&message.body);
        let is_fifo = address.rsplit('.').next() == Some("fifo");
        if is_fifo {
            let group = message.group.as_deref().unwrap_or("meshwarden");
            // The queue uses this id to remove duplicates within five minutes.
            request = request.message_group_id(group).message_deduplication_id(&message.id);
        }
        let attributes = Some(attributes).filter(|attributes| !attributes.is_empty());
        let request = request.set_message_attributes(attributes);
        call(|| format!("send message {} to {address}", message.id), request.send()).await.map(drop)
    }

    async fn delete(&self, address: &str, receipt: &str) -> Result<(), PortError> {
        let request = self.client.delete_message().queue_url(address).receipt_handle(receipt);
        call(|| format!("delete a message of {address}"), request.send()).await.map(drop)
    }
}

/// Converts the SDK's message; `None` without an id or a receipt handle, because such a message cannot be handled.
fn message(message: Message) -> Option<QueueMessage> {
    let system = message.attributes.unwrap_or_default();
    let of_system = |name: MessageSystemAttributeName| system.get(&name).cloned();
    let sent = of_system(MessageSystemAttributeName::SentTimestamp);
    let received = of_system(MessageSystemAttributeName::ApproximateReceiveCount);
    let attributes = message.message_attributes.unwrap_or_default().into_iter().filter_map(|(name, value)| {
        let content = match (value.string_value, value.binary_value) {
            (Some(text), _) => QueueValue::Text(text),
            (None, Some(bytes)) => QueueValue::Binary(bytes.into_inner()),
            (None, None) => return None,
        };
        Some((name, QueueAttribute { data_type: value.data_type, value: content }))
    });
    Some(QueueMessage {
        id: message.message_id?,
        receipt: message.receipt_handle?,
        body: message.body.unwrap_or_default(),
        sent: sent.and_then(|millis| Timestamp::from_millisecond(millis.parse().ok()?).ok()),
        received: received.and_then(|count| count.parse().ok()).unwrap_or(0),
        source: of_system(MessageSystemAttributeName::DeadLetterQueueSourceArn),
        group: of_system(MessageSystemAttributeName::MessageGroupId),
        attributes: attributes.collect(),
    })
}
