//! The words of news: notices to operators, and events for other programs.

use drills::{DrillEnd, DrillNews, Urgency};
use jiff::Timestamp;
use mesh::name::{MeshName, ResourcePath};
use ports::{BusEvent, Notice};
use runner::Message;
use serde_json::{Value, json};

/// The detail type of the events.
const EVENT: &str = "Meshwarden Drill Changed";

/// The messages of a piece of news: an event, and a notice unless it is for programs only.
pub(crate) fn messages(mesh: &MeshName, news: &DrillNews, now: Timestamp) -> Vec<Message> {
    let mut messages = Vec::new();
    let urgency = match news.urgency {
        Urgency::Page => Some(ports::Urgency::Page),
        Urgency::Note => Some(ports::Urgency::Note),
        Urgency::Event => None,
    };
    if let Some(urgency) = urgency {
        messages.push(Message::Notice(Notice { urgency, subject: subject(mesh, news), body: body(mesh, news, now) }));
    }
    let state = news.phase.map_or("ended", drills::DrillPhase::as_str);
    let mut detail = json!({
        "mesh": mesh,
        "drill": news.drill,
        "drillId": news.id,
        "virtualNode": news.node,
        "state": state,
        "result": news.outcome.map_or("PENDING", drills::DrillOutcome::as_str),
        "reason": news.reason.code(),
        "text": news.reason.to_string(),
        "facts": news.reason.facts(),
        "restoreBy": news.restore_by,
        "at": now,
    });
    if let (Some(end), Some(detail)) = (news.result.as_deref(), detail.as_object_mut()) {
        detail.insert("measured".to_owned(), measured(end));
    }
    let resources = vec![ResourcePath::VirtualNode(mesh.clone(), news.node.clone()).to_string()];
    messages.push(Message::Event(BusEvent { detail_type: EVENT.to_owned(), detail, resources }));
    messages
}

/// The measurements of a drill. Data that is missing has its reason, and is never 0.
pub(crate) fn measured(end: &DrillEnd) -> Value {
    let DrillEnd { acknowledged_after, restored_after, restore_acknowledged_after, traffic, .. } = end;
    json!({
        "requests": traffic.as_ref().map(drills::DrillTraffic::requests),
        "failures": traffic.as_ref().map(drills::DrillTraffic::failures),
        "traffic": traffic,
        "acknowledgedAfterSeconds": acknowledged_after,
        "restoredAfterSeconds": restored_after,
        "restoreAcknowledgedAfterSeconds": restore_acknowledged_after,
    })
}

/// One line of at most 100 printable ASCII characters.
fn subject(mesh: &MeshName, news: &DrillNews) -> String {
    let outcome = news.outcome.map_or_else(|| news.reason.code().to_owned(), |outcome| outcome.to_string());
    let text = format!("Meshwarden: drill {} of {mesh}: {outcome}", news.drill);
    text.chars().map(|character| if (' '..='~').contains(&character) { character } else { '?' }).take(100).collect()
}

fn body(mesh: &MeshName, news: &DrillNews, now: Timestamp) -> String {
    let DrillNews { drill, id, node, phase, outcome, reason, restore_by, result, .. } = news;
    let state = phase.map_or("ended", drills::DrillPhase::as_str);
    let outcome = outcome.map_or_else(String::new, |outcome| format!(", {outcome}"));
    let deadline = restore_by.map_or_else(String::new, |by| format!("\nThe weights return by {by:.0}."));
    let measured = result.as_deref().and_then(DrillEnd::measured).map_or_else(String::new, |text| format!("\n{text}."));
    format!(
        "Drill {drill} ({id}) of virtual node {node} in mesh {mesh} is {state}{outcome}: {reason}.{deadline}{measured}\n\
         Reason: {}. Time: {now:.0}.\n`meshwarden drill status --mesh {mesh}` shows it; `meshwarden drill stop {drill} \
         --mesh {mesh}` ends it.",
        reason.code()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_a_notice_and_an_event() {
        let news = DrillNews {
            urgency: Urgency::Page,
            drill: "recs".parse().unwrap(),
            id: "1".to_owned(),
            node: "v1".parse().unwrap(),
            phase: Some(drills::DrillPhase::Restoring),
            outcome: Some(drills::DrillOutcome::Failed),
            reason: drills::Reason::OutcomeAlarm { alarms: vec!["checkout".to_owned().try_into().unwrap()] },
            restore_by: None,
            result: None,
        };
        let mesh: MeshName = "shop".parse().unwrap();
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        let sent = messages(&mesh, &news, now);
        let [Message::Notice(notice), Message::Event(event)] = sent.as_slice() else { panic!("{sent:?}") };
        assert_eq!(notice.subject, "Meshwarden: drill recs of shop: FAILED");
        assert!(notice.body.contains("outcome alarm checkout is in ALARM"), "{}", notice.body);
        assert_eq!((&event.detail["result"], &event.detail["state"]), (&json!("FAILED"), &json!("restoring")));
        assert_eq!(messages(&mesh, &DrillNews { urgency: Urgency::Event, ..news }, now).len(), 1);
    }
}
