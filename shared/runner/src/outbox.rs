//! Messages to operators and other programs: stored with the decisions that they report, sent, and removed.
//!
//! | killed, or failed | then |
//! |-|-|
//! | before the document is stored | the next run decides the same again |
//! | between the document and the message | the next run sends the message |
//! | between the message and its removal | the next run sends it a second time |
//!
//! A message that does not fit into the document is sent before the document is stored.

use ports::{BusEvent, EventBus, Notice, Notifier, PortError, Urgency};

/// A message to operators or to other programs.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A notice to operators.
    Notice(Notice),
    /// An event for other programs.
    Event(BusEvent),
}

/// The messages that were not sent, with the first error of each kind.
#[derive(Debug, Default)]
pub(crate) struct SendOutcome {
    /// The messages that were not sent, in their order.
    pub(crate) unsent: Vec<Message>,
    /// The error of the notifier.
    pub(crate) notice_error: Option<PortError>,
    /// The error of the event bus.
    pub(crate) event_error: Option<PortError>,
    /// Whether events were published.
    pub(crate) published: bool,
}

impl Message {
    /// Whether the message pages an operator.
    #[must_use]
    pub const fn is_page(&self) -> bool {
        match self {
            Self::Notice(notice) => matches!(notice.urgency, Urgency::Page),
            Self::Event(_) => false,
        }
    }
}

impl SendOutcome {
    /// The number of unsent notices, and of unsent events.
    pub(crate) fn unsent_counts(&self) -> (usize, usize) {
        let notices = self.unsent.iter().filter(|message| matches!(message, Message::Notice(_))).count();
        (notices, self.unsent.len() - notices)
    }
}

/// Sends messages: notices in their order, then all events in one call. After the first failure the other notices wait,
/// so that they arrive in order.
pub(crate) async fn send(notifier: &dyn Notifier, bus: &dyn EventBus, messages: Vec<Message>) -> SendOutcome {
    let mut sent = SendOutcome::default();
    let mut events = Vec::new();
    for message in messages {
        match message {
            Message::Event(event) => events.push(event),
            Message::Notice(notice) => {
                if sent.notice_error.is_none() {
                    match notifier.notify(&notice).await {
                        Ok(()) => continue,
                        Err(error) => {
                            tracing::error!(%error, subject = notice.subject, "failed to send notification");
                            sent.notice_error = Some(error);
                        }
                    }
                }
                sent.unsent.push(Message::Notice(notice));
            }
        }
    }
    if events.is_empty() {
        return sent;
    }
    match bus.put(&events).await {
        Ok(()) => sent.published = true,
        Err(error) => {
            tracing::warn!(%error, count = events.len(), "failed to publish decisions");
            sent.event_error = Some(error);
            sent.unsent.extend(events.into_iter().map(Message::Event));
        }
    }
    sent
}

/// Logs messages that could be neither stored nor sent; the journal has their content. Returns how many of them page.
pub(crate) fn withhold(messages: &[Message]) -> u32 {
    let mut pages = 0;
    for message in messages {
        match message {
            Message::Notice(Notice { urgency: Urgency::Page, subject, body }) => {
                pages += 1;
                tracing::error!(subject, body, "withheld a page that cannot be stored; PagesWithheld counts it");
            }
            Message::Notice(Notice { urgency: Urgency::Note, subject, .. }) => {
                tracing::warn!(subject, "withheld a notification that cannot be stored; the next run decides it again");
            }
            Message::Event(event) => {
                tracing::warn!(detail_type = event.detail_type, "withheld an event that cannot be stored");
            }
        }
    }
    pages
}

#[cfg(test)]
mod tests {
    use ports_memory::{Effect, Failure, Fault, MemoryPorts};
    use serde_json::json;

    use super::*;

    fn notice(subject: &str) -> Message {
        let urgency = if subject.starts_with("page") { Urgency::Page } else { Urgency::Note };
        Message::Notice(Notice { urgency, subject: subject.to_owned(), body: String::new() })
    }

    fn event(name: &str) -> Message {
        Message::Event(BusEvent { detail_type: name.to_owned(), detail: json!({}), resources: Vec::new() })
    }

    #[tokio::test]
    async fn unsent_messages_stay_in_their_order() {
        // The call that fails, the unsent messages, the sent notices, and the published events.
        for (failing, unsent, sent, published) in [
            ("", vec![], vec!["page a", "b"], 2),
            ("notify a", vec![notice("page a"), notice("b")], vec![], 2),
            ("notify b", vec![notice("b")], vec!["page a"], 2),
            ("put events", vec![event("x"), event("y")], vec!["page a", "b"], 0),
        ] {
            let ports = MemoryPorts::at("2026-11-20T10:00:00Z".parse().unwrap());
            let at = match failing {
                "notify a" => Some(0),
                "notify b" => Some(1),
                "put events" => Some(2),
                _ => None,
            };
            if let Some(at) = at {
                ports.faults.at(at, Fault::Fails(Failure::Unavailable, Effect::NotDone));
            }
            let messages = vec![event("x"), notice("page a"), event("y"), notice("b")];
            let result = send(&ports.notifier, &ports.bus, messages).await;
            assert_eq!(result.unsent, unsent, "{failing}");
            let subjects: Vec<_> = ports.notifier.sent().into_iter().map(|notice| notice.subject).collect();
            assert_eq!(
                (subjects, ports.bus.events().len()),
                (sent.iter().map(|s| (*s).to_owned()).collect(), published)
            );
            assert_eq!(result.notice_error.is_some(), failing.starts_with("notify"), "{failing}");
            assert_eq!(result.event_error.is_some(), failing == "put events");
        }
    }

    #[test]
    fn only_pages_count_as_withheld() {
        assert_eq!(withhold(&[notice("page a"), notice("b"), event("x")]), 1);
    }
}
