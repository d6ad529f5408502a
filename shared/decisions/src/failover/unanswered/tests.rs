use super::*;
use crate::failover::fixtures::{alarm, at, composite, on_node, policy};
use crate::failover::targets::alarm_targets;
use mesh::alarm::MetricQuery;

type AlarmTags = BTreeMap<AlarmName, BTreeMap<String, String>>;

const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:alarms";

fn name(text: &str) -> AlarmName {
    AlarmName::parse(text).unwrap()
}

fn on_metric(text: &str, namespace: &str, dimension: &str) -> Alarm {
    let term = MetricTerm::Stat {
        namespace: namespace.to_owned(),
        metric: "HTTPCode_5XX_Count".to_owned(),
        dimensions: [(dimension.to_owned(), "checkout".to_owned())].into(),
        period: 60,
        stat: "Sum".to_owned(),
        unit: None,
    };
    Alarm { source: AlarmSource::Metric(vec![MetricQuery::new("m1", term)]), ..alarm(text, AlarmState::Alarm) }
}

fn with_action(alarm: Alarm, arn: &str) -> Alarm {
    Alarm { alarm_actions: Some(vec![arn.to_owned()]), ..alarm }
}

/// The code and the wiring of each alarm, for a function `guard` behind a topic. `a@bus` is an alarm that the event
/// bus named.
fn found(alarms: &[Alarm], policy_text: &str, named: &[&str], foreign: &[ForeignAlarm]) -> Vec<String> {
    let policy = policy(policy_text).failover;
    // The tags of every alarm except `unread` were read, and one alarm has tags.
    let is_read = |alarm: &&Alarm| alarm.name.as_str() != "unread";
    let mut tags: AlarmTags =
        alarms.iter().filter(is_read).map(|alarm| (alarm.name.clone(), BTreeMap::new())).collect();
    tags.insert(name("tagged"), BTreeMap::from([("meshwarden:mesh".to_owned(), "shop".to_owned())]));
    let targets = alarm_targets(alarms, &tags, &policy, at(0));
    let recipient = Recipient {
        function: Some("guard".to_owned()),
        topics: [TOPIC.to_owned()].into(),
        region: Some("us-east-1".to_owned()),
    };
    let (by_bus, by_action): (Vec<&str>, Vec<&str>) = named.iter().partition(|name| name.ends_with("@bus"));
    let by_bus: BTreeSet<AlarmName> = by_bus.iter().map(|text| name(text.trim_end_matches("@bus"))).collect();
    let named: BTreeSet<AlarmName> = by_action.into_iter().map(name).chain(by_bus.iter().cloned()).collect();
    let input = AlarmInput {
        alarms,
        targets: &targets,
        tags: &tags,
        policy: &policy,
        named: &named,
        only_by_bus: &by_bus,
        foreign,
        named_before: &BTreeSet::from([name("before")]),
        recipient: &recipient,
    };
    let unanswered = unanswered_alarms(&input);
    for found in &unanswered {
        assert!(!found.remedy().is_empty() && found.to_string().contains(found.alarm.as_str()));
    }
    unanswered
        .iter()
        .map(|found| {
            let wiring = serde_json::to_value(&found.wiring).unwrap();
            let on = if found.in_alarm { "" } else { " quiet" };
            format!("{} {} {}{on}", found.alarm, found.reason.code(), wiring["wiring"].as_str().unwrap())
        })
        .collect()
}

/// The case, the alarms, the alarms that the event names, and the expected result.
type Case = (&'static str, Vec<Alarm>, Vec<&'static str>, Vec<&'static str>);

#[test]
fn alarm_in_alarm_without_a_node_is_a_hold_if_something_ties_it_to_the_function() {
    let other = || on_metric("a", "Shop", "Service");
    let function = "arn:aws:lambda:us-east-1:123456789012:function:guard";
    let cases: Vec<Case> = vec![
        ("no wiring", vec![other()], vec![], vec![]),
        ("an event named it", vec![other()], vec!["a"], vec!["a NamesNoTarget event"]),
        (
            "an event named it before",
            vec![on_metric("before", "Shop", "S")],
            vec![],
            vec!["before NamesNoTarget event"],
        ),
        ("another alarm was named", vec![other()], vec!["b"], vec!["b AlarmMissing event quiet"]),
        (
            "an action invokes the function through a topic",
            vec![with_action(other(), TOPIC)],
            vec![],
            vec!["a NamesNoTarget action"],
        ),
        (
            "an action invokes another target",
            vec![with_action(other(), "arn:aws:sns:us-east-1:123456789012:pager")],
            vec![],
            vec![],
        ),
        ("it invokes the function", vec![with_action(other(), function)], vec![], vec!["a NamesNoTarget action"]),
        (
            "it invokes an alias",
            vec![with_action(other(), &format!("{function}:live"))],
            vec![],
            vec!["a NamesNoTarget action"],
        ),
        ("it invokes another function", vec![with_action(other(), &format!("{function}2"))], vec![], vec![]),
        ("a tag", vec![on_metric("tagged", "Shop", "Service")], vec![], vec!["tagged NamesNoTarget tag"]),
        ("a mesh's namespace", vec![on_metric("a", "AppMesh", "Service")], vec![], vec!["a NamesNoTarget metric"]),
        (
            "a mesh's dimension",
            vec![on_metric("a", "Shop", "TargetVirtualService")],
            vec![],
            vec!["a ServiceOnly metric"],
        ),
        ("it is quiet", vec![Alarm { state: AlarmState::Ok, ..on_metric("a", "AppMesh", "S") }], vec!["a"], vec![]),
        ("it is muted", vec![Alarm { actions_enabled: false, ..on_metric("a", "AppMesh", "S") }], vec!["a"], vec![]),
        ("it reports a node", vec![on_node("a", AlarmState::Alarm, "v1")], vec!["a"], vec![]),
        (
            "a composite alarm over a node that is quiet",
            vec![composite("a", AlarmState::Alarm, "NOT ALARM(b)"), on_node("b", AlarmState::Ok, "v1")],
            vec![],
            vec!["a ChildrenNameNoTarget metric"],
        ),
        (
            "a query over a mesh's metrics",
            vec![Alarm {
                source: AlarmSource::Metric(vec![MetricQuery::new(
                    "q1",
                    MetricTerm::Expression {
                        expression: "SELECT SUM(Errors) FROM SCHEMA(AppMesh, Mesh, VirtualNode)".to_owned(),
                        period: Some(60),
                    },
                )]),
                ..alarm("a", AlarmState::Alarm)
            }],
            vec![],
            vec!["a ContributorsUnread metric"],
        ),
    ];
    for (case, alarms, named, expected) in cases {
        assert_eq!(found(&alarms, "", &named, &[]), expected, "{case}");
    }
}

#[test]
fn alarm_of_the_bus_is_no_hold_where_nothing_ties_it_to_the_function() {
    const PAGER: &str = "arn:aws:sns:us-east-1:123456789012:pager";
    let other = || on_metric("a", "Shop", "Service");
    let cases: Vec<Case> = vec![
        (
            "the bus named it, and its actions invoke another target",
            vec![with_action(other(), PAGER)],
            vec!["a@bus"],
            vec!["a NamesNoTarget bus"],
        ),
        (
            "the bus named it, and its actions are not known",
            vec![other()],
            vec!["a@bus"],
            vec!["a NamesNoTarget event"],
        ),
        (
            "the bus named it, and its tags are not known",
            vec![with_action(on_metric("unread", "Shop", "Service"), PAGER)],
            vec!["unread@bus"],
            vec!["unread NamesNoTarget event"],
        ),
        (
            "the bus named it, and an action invokes the function",
            vec![with_action(other(), TOPIC)],
            vec!["a@bus"],
            vec!["a NamesNoTarget action"],
        ),
        (
            "the bus named it, and its metric is a mesh metric",
            vec![with_action(on_metric("a", "AppMesh", "Service"), PAGER)],
            vec!["a@bus"],
            vec!["a NamesNoTarget metric"],
        ),
        (
            "the bus named it, and it cannot be read",
            vec![Alarm { source: AlarmSource::Unreadable("a log query".to_owned()), ..with_action(other(), PAGER) }],
            vec!["a@bus"],
            vec!["a Unreadable event"],
        ),
    ];
    for (case, alarms, named, expected) in cases {
        assert_eq!(found(&alarms, "", &named, &[]), expected, "{case}");
    }
}

#[test]
fn alarm_of_another_account_or_region_is_a_hold_while_it_is_on() {
    let own = [on_node("a", AlarmState::Ok, "v1")];
    let elsewhere = |state| ForeignAlarm {
        name: name("a"),
        state,
        account: Some("999900001111".to_owned()),
        region: Some("us-east-1".to_owned()),
    };
    assert_eq!(found(&own, "", &[], &[elsewhere(AlarmState::Alarm)]), ["a OtherAccount event"]);
    assert_eq!(found(&own, "", &[], &[elsewhere(AlarmState::Ok)]), ["a OtherAccount event quiet"]);
}

#[test]
fn binding_of_an_alarm_that_does_not_exist_is_reported() {
    let bound = "bindings: [{alarm: gone, mesh: shop, virtualNode: v1}]";
    assert_eq!(found(&[], bound, &["gone"], &[]), ["gone AlarmMissing binding quiet"]);
}
