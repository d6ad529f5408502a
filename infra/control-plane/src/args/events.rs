//! Who is told of changes, on the command line.

use std::os::unix::fs::MetadataExt as _;
use std::str::FromStr;
use std::sync::Arc;
use std::{fmt, fs, io};

use aws::Aws;
use clap::Args;
use control_plane::{EventReceiver, ReceiverKind, Webhook, WebhookError};
use zeroize::Zeroizing;

/// Who is told of every accepted write.
#[derive(Debug, Args)]
pub(crate) struct EventArgs {
    /// Tells every accepted write, in the shape of CloudTrail's events: `bus:NAME` to an event bus of EventBridge, by the
    /// AWS SDK's own variables, or `http://...` or `https://...` to a web server. Can be repeated. A write never waits
    /// for it: what can't be told for about a minute is given up and counted.
    #[arg(long, value_name = "WHERE")]
    events: Vec<Receiver>,
    /// A file with the secret that events to web servers are signed with: `x-meshwarden-signature: t=SECONDS,v1=HEX`, the
    /// HMAC-SHA256 of `SECONDS.BODY`. Only its owner may be able to read it.
    #[arg(long, value_name = "FILE", value_parser = secret)]
    event_secret: Option<EventSecret>,
}

/// A secret, which is not shown.
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
        return Err(format!("{path} can be read by others than its owner: chmod 600"));
    }
    let mut secret = Zeroizing::new(fs::read(path).map_err(failed)?);
    let length = secret.trim_ascii_end().len();
    secret.truncate(length);
    if secret.len() < 16 { Err(format!("{path} has a secret of less than 16 bytes")) } else { Ok(EventSecret(secret)) }
}

/// A receiver of events.
#[derive(Debug, Clone)]
enum Receiver {
    Bus(String),
    Webhook(Box<Webhook>),
}

/// Why nobody can be told there.
#[derive(Debug, thiserror::Error)]
enum ReceiverError {
    #[error("{0:?} is no event bus: give its name or its ARN after `bus:`")]
    Bus(String),
    #[error("{0}; or give bus:NAME")]
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
    /// The receivers.
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
                    EventReceiver { kind: ReceiverKind::Bus, bus }
                }
                Receiver::Webhook(webhook) => {
                    let secret = self.event_secret.as_ref().map(|EventSecret(secret)| secret.clone());
                    let webhook = secret.into_iter().fold(*webhook, Webhook::with_secret);
                    EventReceiver { kind: ReceiverKind::Webhook, bus: Arc::new(webhook) }
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
    fn receivers_are_told_apart() {
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
