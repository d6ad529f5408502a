//! A dead letter: its event, its function, and the reason of the failure.
//!
//! | sender | body | source of the details |
//! |---|---|---|
//! | a queue, after too many receives | the message as it was | the system attribute `DeadLetterQueueSourceArn` |
//! | Lambda, to the destination of failures | a record with `requestContext` and `requestPayload` | the record |
//! | Lambda, to a function's dead-letter queue | the event | the attributes `ErrorCode`, `ErrorMessage` |
//! | EventBridge, for a rule's target | the event | the attributes `RULE_ARN`, `TARGET_ARN`, `ERROR_CODE`, ... |
//! | SNS, for a subscription | the notification | its `TopicArn`, the attributes `ErrorCode`, ... |

use ports::{QueueMessage, QueueValue};
use runner::events::{self, Payload};
use serde::Serialize;
use serde_json::Value;

/// The functions, each with the fragments that identify the names of its queue and of its deployed function.
const FUNCTIONS: [(&str, &[&str]); 8] = [
    ("route-failover", &["routefailover", "alarmqueue"]),
    ("certificate-rotation", &["certificaterotation", "certificatequeue"]),
    ("tag-compliance", &["tagcompliance"]),
    ("egress-compliance", &["egresscompliance"]),
    ("compliance-sweep", &["compliancesweep", "sweepqueue"]),
    ("change-audit", &["changeaudit"]),
    ("failover-drill", &["failoverdrill"]),
    ("traffic-shift", &["trafficshift"]),
];

/// The service that gave up on the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sender {
    /// SQS, after too many receives of a message.
    Queue,
    /// Lambda, to the failure destination of a function.
    FunctionDestination,
    /// Lambda, to the dead-letter queue of a function.
    Function,
    /// EventBridge, for the target of a rule.
    Rule,
    /// SNS, for a subscription.
    Topic,
    /// An unrecognised sender.
    Unknown,
}

/// The content of a dead letter.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Letter {
    /// The id of the message.
    pub(crate) id: String,
    /// The service that gave up on the event.
    pub(crate) sender: Sender,
    /// The ARN of the source queue, function, rule or topic.
    pub(crate) source: Option<String>,
    /// The function that handles the event.
    pub(crate) function: Option<&'static str>,
    /// The failure reason, as the sender gives it.
    pub(crate) reason: String,
    /// A description of each event.
    pub(crate) events: Vec<String>,
    /// Why the event is unreadable; a redrive of it would fail again.
    pub(crate) unreadable: Option<String>,
    /// The ARN of the queue for a redrive, where the letter names one.
    pub(crate) queue: Option<String>,
    /// The message body for a redrive.
    #[serde(skip)]
    pub(crate) event: String,
}

impl Letter {
    /// Parses a message of a dead-letter queue.
    pub(crate) fn read(message: &QueueMessage) -> Self {
        let body: Value = serde_json::from_str(&message.body).unwrap_or(Value::Null);
        let at = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let attribute = |name: &str| match &message.attributes.get(name)?.value {
            QueueValue::Text(text) => Some(text.clone()),
            QueueValue::Binary(_) => None,
        };
        let received = || format!("received {} times and not deleted", message.received);
        let failure = || {
            let parts = [attribute("ErrorCode"), attribute("ErrorMessage")].into_iter().flatten().collect::<Vec<_>>();
            if parts.is_empty() { "no reason is given".to_owned() } else { parts.join(": ") }
        };
        let mut event = message.body.clone();
        let (sender, source, reason) = if let Some(queue) = &message.source {
            (Sender::Queue, Some(queue.clone()), received())
        } else if let (Some(_), Some(payload)) = (body.get("requestContext"), body.get("requestPayload")) {
            event = payload.to_string();
            let parts = [at("/requestContext/condition"), at("/responsePayload/errorMessage")];
            let reason = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
            (Sender::FunctionDestination, at("/requestContext/functionArn"), reason)
        } else if let Some(rule) = attribute("RULE_ARN") {
            let parts = ["ERROR_CODE", "ERROR_MESSAGE", "EXHAUSTED_RETRY_CONDITION"].map(attribute);
            (Sender::Rule, Some(rule), parts.into_iter().flatten().collect::<Vec<_>>().join(": "))
        } else if let Some(topic) = at("/TopicArn") {
            (Sender::Topic, Some(topic), failure())
        } else if attribute("ErrorCode").is_some() || attribute("RequestID").is_some() {
            (Sender::Function, None, failure())
        } else {
            (Sender::Unknown, None, received())
        };
        let target = attribute("TARGET_ARN");
        let queues = [message.source.clone(), target.clone()].into_iter().flatten();
        let payloads = payloads(&event);
        let by_name = [source.as_deref(), target.as_deref()].into_iter().flatten().find_map(function_of_name);
        Self {
            id: message.id.clone(),
            sender,
            function: by_name.or_else(|| function_of_kind(&payloads)),
            source,
            reason: if reason.is_empty() { "no reason is given".to_owned() } else { reason },
            unreadable: payloads.iter().find_map(unreadable),
            events: payloads.iter().map(described).collect(),
            queue: queues.into_iter().find(|arn| arn.split(':').nth(2) == Some("sqs")),
            event,
        }
    }
}

/// The function that an ARN or URL identifies by the function's name or the name of its queue.
pub(crate) fn function_of_name(name: &str) -> Option<&'static str> {
    let squashed: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    let named = |(_, parts): &&(&str, &[&str])| parts.iter().any(|part| squashed.contains(part));
    FUNCTIONS.iter().find(named).map(|(function, _)| *function)
}

/// The only function that handles events of this kind; `None` where several do.
fn function_of_kind(payloads: &[Payload]) -> Option<&'static str> {
    let of_one = |payload: &Payload| match payload {
        Payload::Alarm(_) | Payload::Release(_) => Some("route-failover"),
        Payload::Certificate(_) => Some("certificate-rotation"),
        Payload::Rollout(_) => Some("traffic-shift"),
        Payload::Sweep { .. } => Some("compliance-sweep"),
        Payload::Drill(_) => Some("failover-drill"),
        // Several functions handle these events.
        Payload::Tick
        | Payload::Config(_)
        | Payload::MeshWrite(_)
        | Payload::NotOurs { .. }
        | Payload::Unreadable { .. } => None,
    };
    let mut functions = payloads.iter().map(of_one);
    let first = functions.next()??;
    functions.all(|function| function == Some(first)).then_some(first)
}

/// Parses the events as a function parses a message of its queue.
fn payloads(event: &str) -> Vec<Payload> {
    let message = serde_json::json!({ "messageId": "dead-letter", "eventSource": "aws:sqs", "body": event });
    events::parse(&message).into_iter().map(|delivery| delivery.payload).collect()
}

fn unreadable(payload: &Payload) -> Option<String> {
    match payload {
        Payload::Unreadable { why, at } => Some(format!("{at}: {why}")),
        Payload::Alarm(_)
        | Payload::Tick
        | Payload::Release(_)
        | Payload::Config(_)
        | Payload::MeshWrite(_)
        | Payload::Certificate(_)
        | Payload::Rollout(_)
        | Payload::Sweep { .. }
        | Payload::Drill(_)
        | Payload::NotOurs { .. } => None,
    }
}

fn described(payload: &Payload) -> String {
    let member = |name: &str| serde_json::to_value(payload).ok()?.get(name)?.as_str().map(str::to_owned);
    match payload {
        Payload::Alarm(alarm) => {
            format!("alarm {} {}", alarm.name, member("state").unwrap_or_default())
        }
        Payload::Tick => "scheduled run".to_owned(),
        Payload::Release(release) => format!("release of {}", release.route),
        Payload::Config(config) => match &config.answers {
            Some(answers) => format!("AWS Config rule {}", answers.rule),
            None => "AWS Config notification".to_owned(),
        },
        Payload::MeshWrite(write) => {
            let resource =
                write.resource.as_ref().map_or_else(|| "an unnamed resource".to_owned(), ToString::to_string);
            format!("{} of {resource}", write.operation)
        }
        Payload::Certificate(certificate) => format!(
            "certificate event {} of {}",
            member("event").unwrap_or_default(),
            certificate.resources.first().map_or("nothing", String::as_str)
        ),
        Payload::Rollout(wake) => format!("rollout {} in mesh {}", wake.request.id_or_digest(), wake.request.mesh),
        Payload::Sweep { mesh } => format!("sweep of mesh {mesh}"),
        Payload::Drill(command) => format!("drill {}: {}", command.drill, member("action").unwrap_or_default()),
        Payload::NotOurs { what } => format!("for others: {what}"),
        Payload::Unreadable { .. } => "unreadable".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ports::QueueAttribute;
    use serde_json::json;

    use super::*;

    fn message(body: &str, source: Option<&str>, attributes: &[(&str, &str)]) -> QueueMessage {
        let attribute = |(name, text): &(&str, &str)| {
            let value = QueueValue::Text((*text).to_owned());
            ((*name).to_owned(), QueueAttribute { data_type: "String".to_owned(), value })
        };
        QueueMessage {
            id: "m1".to_owned(),
            receipt: "r".to_owned(),
            body: body.to_owned(),
            sent: None,
            received: 4,
            source: source.map(str::to_owned),
            group: None,
            attributes: attributes.iter().map(attribute).collect(),
        }
    }

    #[test]
    fn sender_is_identified_by_its_message_format() {
        let alarm = json!({ "AlarmName": "a", "NewStateValue": "ALARM" }).to_string();
        let write = json!({ "detail-type": "AWS API Call via CloudTrail", "source": "aws.appmesh",
            "detail": { "eventName": "UpdateMesh", "requestParameters": { "meshName": "shop" } } });
        let notification =
            json!({ "Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:1:alarms", "Message": alarm });
        let failed = json!({ "version": "1.0", "requestPayload": write, "responsePayload": { "errorMessage": "throttled" },
            "requestContext": { "condition": "RetriesExhausted",
                "functionArn": "arn:aws:lambda:eu-west-1:1:function:mw-ChangeAudit-9X:$LATEST" } });
        let queue = "arn:aws:sqs:eu-west-1:1:mw-TagComplianceQueue-7";
        let rule = [
            ("RULE_ARN", "arn:aws:events:eu-west-1:1:rule/mw-AlarmStateChange"),
            ("TARGET_ARN", "arn:aws:lambda:eu-west-1:1:function:mw-RouteFailover-1A"),
            ("ERROR_CODE", "NO_PERMISSIONS"),
            ("ERROR_MESSAGE", "denied"),
        ];
        let to_queue = [("RULE_ARN", "arn:aws:events:eu-west-1:1:rule/writes"), ("TARGET_ARN", queue)];
        let error = [("RequestID", "1"), ("ErrorCode", "200"), ("ErrorMessage", "Task timed out")];
        for (message, sender, function, reason, event, queue_of) in [
            (
                message(&write.to_string(), Some(queue), &[]),
                Sender::Queue,
                Some("tag-compliance"),
                "received 4 times",
                "UpdateMesh of mesh/shop",
                Some(queue),
            ),
            (
                message(&failed.to_string(), None, &[]),
                Sender::FunctionDestination,
                Some("change-audit"),
                "RetriesExhausted: throttled",
                "UpdateMesh of mesh/shop",
                None,
            ),
            (
                message(&alarm, None, &rule),
                Sender::Rule,
                Some("route-failover"),
                "NO_PERMISSIONS: denied",
                "alarm a ALARM",
                None,
            ),
            (
                message(&write.to_string(), None, &to_queue),
                Sender::Rule,
                Some("tag-compliance"),
                "no reason is given",
                "UpdateMesh of mesh/shop",
                Some(queue),
            ),
            (
                message(&notification.to_string(), None, &error),
                Sender::Topic,
                Some("route-failover"),
                "200: Task timed out",
                "alarm a ALARM",
                None,
            ),
            (
                message(&write.to_string(), None, &error),
                Sender::Function,
                None,
                "200: Task",
                "UpdateMesh of mesh/shop",
                None,
            ),
            (message(&alarm, None, &[]), Sender::Unknown, Some("route-failover"), "received 4", "alarm a ALARM", None),
            (message("{\"hello\": 1}", None, &[]), Sender::Unknown, None, "received 4", "for others: an object", None),
        ] {
            let letter = Letter::read(&message);
            assert_eq!((&letter.sender, letter.function), (&sender, function), "{letter:?}");
            assert!(letter.reason.contains(reason), "{letter:?}");
            assert!(letter.events.len() == 1 && letter.events[0].contains(event), "{letter:?}");
            assert_eq!(letter.queue.as_deref(), queue_of, "{letter:?}");
            assert_eq!(letter.unreadable, None, "{letter:?}");
        }
        assert_eq!(Letter::read(&message(&failed.to_string(), None, &[])).event, write.to_string(), "the event alone");
    }

    #[test]
    fn unreadable_letter_has_a_reason() {
        let letter = Letter::read(&message("hello world", Some("arn:aws:sqs:eu-west-1:1:mw-AlarmQueue-7"), &[]));
        assert_eq!(letter.function, Some("route-failover"));
        assert_eq!(letter.events, ["unreadable"]);
        assert!(letter.unreadable.unwrap().contains("not JSON"));
    }
}
