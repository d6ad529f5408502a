//! Sends notices through SNS.

use async_trait::async_trait;
use aws_sdk_sns::Client;
use aws_sdk_sns::error::BuildError;
use aws_sdk_sns::types::MessageAttributeValue;
use ports::{Notice, Notifier, PortError, PortErrorKind, Urgency};

use crate::call::call;
use crate::lazy::Lazy;

/// The maximum length of a subject in `Publish`, in characters.
const LONGEST_SUBJECT: usize = 100;

/// A topic that notices are published to.
#[derive(Clone, Debug)]
pub struct Topic {
    client: Lazy<Client>,
    arn: String,
}

impl Topic {
    pub(crate) fn new(client: Lazy<Client>, arn: impl Into<String>) -> Self {
        Self { client, arn: arn.into() }
    }
}

#[async_trait]
impl Notifier for Topic {
    async fn notify(&self, notice: &Notice) -> Result<(), PortError> {
        let what = || format!("publish to topic {}", self.arn);
        let unfit = |error: BuildError| PortError::new(what(), PortErrorKind::Other, error.to_string());
        let urgency = match notice.urgency {
            Urgency::Page => "page",
            Urgency::Note => "note",
        };
        // Subscriptions filter by this attribute, so that only pages alert an operator.
        let urgency =
            MessageAttributeValue::builder().data_type("String").string_value(urgency).build().map_err(unfit)?;
        let request = self
            .client
            .client()
            .publish()
            .topic_arn(&self.arn)
            .subject(subject(&notice.subject))
            .message(&notice.body)
            .message_attributes("urgency", urgency);
        call(what, request.send()).await.map(drop)
    }
}

/// Converts a text into a subject that SNS accepts. SNS requires at most 100 ASCII characters, none of them a control
/// character. The first is a letter, digit or punctuation mark.
fn subject(text: &str) -> String {
    let printable = |character: char| match character {
        ' '..='~' => character,
        _ if character.is_whitespace() => ' ',
        _ => '?',
    };
    let subject: String =
        text.chars().map(printable).collect::<String>().trim().chars().take(LONGEST_SUBJECT).collect();
    if subject.is_empty() { "Meshwarden".to_owned() } else { subject }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_within_the_limit() {
        for (text, expected) in [
            ("recommendations-v2 drained", "recommendations-v2 drained"),
            (" two\nlines\t", "two lines"),
            ("über 5 %", "?ber 5 %"),
            ("", "Meshwarden"),
            ("\n", "Meshwarden"),
        ] {
            assert_eq!(subject(text), expected);
        }
        assert_eq!(subject(&"x".repeat(200)).len(), 100);
    }
}
