//! The command-line options of change events.

use std::os::unix::fs::MetadataExt as _;
use std::str::FromStr;
use std::sync::Arc;
use std::{fmt, fs, io};

use aws::Aws;
use clap::Args;
use control_plane::{EventReceiver, ReceiverKind, Webhook, WebhookError};
use zeroize::Zeroizing;

/// The receivers of change events.
#[derive(Debug, Args)]
pub(crate) struct EventArgs {
    /// Sends an event for every accepted write, in the format of CloudTrail events: `bus:NAME` to an EventBridge
    /// event bus, with the AWS SDK's own environment variables, or `http://...` or `https://...` to a web server. Can
    /// be repeated. A write never waits for a receiver. With a shared store, events are kept for a receiver that fails, for
    /// a day; otherwise an event that cannot be delivered within about a minute is dropped and counted.
    #[arg(long, value_name = "WHERE")]
    events: Vec<Receiver>,
    /// The file with the secret that signs events to web servers: `x-meshwarden-signature: t=SECONDS,v1=HEX`, the
    /// HMAC-SHA256 of `SECONDS.BODY`. Only its owner may have permission to read it.
    #[arg(long, value_name = "FILE", value_parser = secret)]
    event_secret: Option<EventSecret>,
}

/// A secret that `Debug` does not print.
#[derive(Clone)]
struct EventSecret(Zeroizing<Vec<u8>>);

impl fmt::Debug for EventSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSecret")
    }
}

fn secret(path: &str) -> Result<EventSecret, String> {
    let failed = |error: io::Error| format!("failed to read {path}: {error}");
    if fs::metadata(path).map_err(failed)?.mode() & 0o077 != 0 {
        return Err(format!("{path} is readable by users other than its owner; run chmod 600 on it"));
    }
    let mut secret = Zeroizing::new(fs::read(path).map_err(failed)?);
    let length = secret.trim_ascii_end().len();
    secret.truncate(length);
    if secret.len() < 16 {
        Err(format!("invalid secret in {path}: expected at least 16 bytes"))
    } else {
        Ok(EventSecret(secret))
    }
}

/// A receiver of change events.
#[derive(Debug, Clone)]
enum Receiver {
    Bus(String),
    Webhook(Box<Webhook>),
}

/// A receiver of change events cannot be used.
#[derive(Debug, thiserror::Error)]
enum ReceiverError {
    #[error("invalid event bus {0:?}: expected its name or its ARN after `bus:`")]
    Bus(String),
    #[error("{0}; or bus:NAME")]
    Webhook(#[from] WebhookError),
}

impl FromStr for Receiver {
    type Err = ReceiverError;

    fn from_str(text: &str) -> Result<Self, ReceiverError> {
        let Some(name) = text.strip_prefix("bus:") else { return Ok(Self::Webhook(Box::new(text.parse()?))) };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/:".contains(&byte);
        let shaped = name.starts_with("arn:") == name.contains(':');
        if name.is_empty() || name.len() > 1600 || !shaped || !name.bytes().all(allowed) {
            return Err(ReceiverError::Bus(name.to_owned()));
        }
        Ok(Self::Bus(name.to_owned()))
    }
}

impl EventArgs {
    /// The receivers; loads the AWS configuration if one of them is an event bus.
    pub(crate) async fn receivers(self) -> Vec<EventReceiver> {
        let mut aws = None;
        let mut receivers = Vec::new();
        for receiver in self.events {
            receivers.push(match receiver {
                Receiver::Bus(name) => {
                    if aws.is_none() {
                        aws = Some(Aws::open().await);
                    }
                    let bus = aws.as_ref().map(|aws| aws.bus_of_mesh_writes(&name));
                    let Some(bus) = bus else { continue };
                    EventReceiver { kind: ReceiverKind::Bus, name: format!("bus:{name}"), bus }
                }
                Receiver::Webhook(webhook) => {
                    let secret = self.event_secret.as_ref().map(|EventSecret(secret)| secret.clone());
                    let webhook = secret.into_iter().fold(*webhook, Webhook::with_secret);
                    EventReceiver { kind: ReceiverKind::Webhook, name: webhook.name(), bus: Arc::new(webhook) }
                }
            });
        }
        receivers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_parsed_by_kind() {
        for text in ["bus:default", "bus:arn:aws:events:eu-west-1:123456789012:event-bus/mesh"] {
            assert!(matches!(text.parse(), Ok(Receiver::Bus(name)) if text == format!("bus:{name}")), "{text}");
        }
        assert!(matches!("http://127.0.0.1:9000/".parse(), Ok(Receiver::Webhook(_))));
        for text in ["bus:", "bus:my bus", "bus:a:b", "default", "ftp://x/"] {
            let error = text.parse::<Receiver>().unwrap_err().to_string();
            assert!(error.contains("bus:"), "{error}");
        }
    }
}
