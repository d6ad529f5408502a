//! Identifies the event of a delivery. A repeated delivery has the same id; another request for the same work has a
//! different one.

use records::EventId;
use serde_json::Value;

/// The id of an event within its envelopes: its own id, or that of the innermost envelope. A message that was put into
/// a queue twice reports one event. `None` without an id that a repeated delivery repeats and other events do not have.
pub(super) fn identify(event: &Value, envelope: Option<&str>) -> Option<EventId> {
    event_id(event).or_else(|| envelope.map(str::to_owned)).map(EventId::new)
}

fn event_id(event: &Value) -> Option<String> {
    let by_kind = match event.get("detail-type")?.as_str()? {
        // A schedule that fires twice for one time creates two events with different ids.
        "Scheduled Event" => text(event, "/resources/0")
            .zip(text(event, "/time"))
            .map(|(schedule, time)| format!("{schedule} at {time}")),
        // The function that requests a sweep passes on the id of its trigger.
        "Meshwarden Sweep Requested" => text(event, "/detail/wake"),
        _ => None,
    };
    by_kind.or_else(|| text(event, "/id"))
}

fn text(event: &Value, pointer: &str) -> Option<String> {
    event.pointer(pointer)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, id: &str, detail: &Value) -> Value {
        json!({"id": id, "detail-type": kind, "source": "meshwarden", "time": "2026-11-21T06:00:00Z",
            "resources": ["arn:aws:events:eu-west-1:123456789012:rule/r"], "detail": detail})
    }

    #[test]
    fn same_event_has_the_same_id_in_every_envelope() {
        let requested = event("Meshwarden Sweep Requested", "e1", &json!({"mesh": "shop"}));
        let passed_on = event("Meshwarden Sweep Requested", "e2", &json!({"mesh": "shop", "wake": "w"}));
        let scheduled = event("Scheduled Event", "e3", &json!({}));
        let sqs = |body: &Value, id: &str| json!({"eventSource": "aws:sqs", "messageId": id, "body": body.to_string()});
        let notified = json!({"Type": "Notification", "MessageId": "n", "Message": requested.to_string()});
        let topic = |message: &str| json!({"Sns": {"MessageId": "s", "Message": message}});
        for (event, expected) in [
            (requested.clone(), Some("e1")),
            (sqs(&requested, "m1"), Some("e1")),
            (sqs(&notified, "m2"), Some("e1")),
            (topic(&requested.to_string()), Some("e1")),
            (topic("{\"AlarmName\": \"a\"}"), Some("s")),
            (sqs(&json!({"alarmData": {}}), "m3"), Some("m3")),
            (passed_on, Some("w")),
            (scheduled, Some("arn:aws:events:eu-west-1:123456789012:rule/r at 2026-11-21T06:00:00Z")),
            (json!({"detail-type": "Scheduled Event", "id": "e4"}), Some("e4")),
            (json!({"detail-type": "Scheduled Event", "id": ""}), None),
            (json!({"alarmData": {}}), None),
        ] {
            let [delivery] = <[_; 1]>::try_from(crate::events::parse(&event)).unwrap();
            assert_eq!(delivery.event_id.map(|id| id.to_string()).as_deref(), expected, "{event}");
        }
    }

    #[test]
    fn events_of_one_message_have_different_ids() {
        let unnamed = json!({"AlarmName": "a", "NewStateValue": "ALARM"});
        let body = json!([unnamed, event("Meshwarden Sweep Requested", "e1", &json!({"mesh": "shop"})), unnamed]);
        let message = json!({"eventSource": "aws:sqs", "messageId": "m", "body": body.to_string()});
        let identities: Vec<_> =
            crate::events::parse(&message).into_iter().map(|delivery| delivery.event_id.unwrap().to_string()).collect();
        assert_eq!(identities, ["m#0", "e1", "m#2"]);
    }

    #[test]
    fn ids_are_joined_in_any_order() {
        let [a, b] = ["a", "b"].map(EventId::new);
        assert_eq!(EventId::joined([&b, &a, &b]), EventId::joined([&a, &b]));
        assert_eq!(EventId::joined([&a]), Some(a));
        assert_eq!(EventId::joined([]), None);
    }
}
