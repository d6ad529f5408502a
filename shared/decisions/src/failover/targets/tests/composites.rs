//! Composite alarms, suppression and mutes.

use super::*;
use mesh::alarm::EvaluationState;

#[test]
fn composite_alarm_reports_the_targets_of_its_children_in_alarm() {
    let alarms = [
        composite("both", AlarmState::Alarm, "ALARM(one) OR ALARM(two) OR ALARM(nested)"),
        on_node("one", AlarmState::Alarm, "v1"),
        on_node("two", AlarmState::Ok, "v2"),
        composite("nested", AlarmState::Alarm, "ALARM(three)"),
        on_node("three", AlarmState::Alarm, "v3"),
    ];
    assert_eq!(reporting(&alarms, &[], "", "v1"), ["both", "one"]);
    assert_eq!(reporting(&alarms, &[], "", "v2"), ["two"]);
    assert_eq!(reporting(&alarms, &[], "", "v3"), ["both", "nested", "three"]);
}

#[test]
fn composite_alarm_reports_the_children_that_make_it_true() {
    use Comparison::{GreaterThanThreshold, LessThanThreshold};
    let inbound: Dimensions<'_> = &[("Mesh", "shop"), ("VirtualNode", "v1")];
    let watched = |name: &str, state, metric: &str, comparison| Alarm {
        name: AlarmName::parse(name).unwrap(),
        state,
        ..on(vec![MetricQuery::new("m1", stat(metric, inbound))], comparison)
    };
    let children = [
        watched("errors", AlarmState::Alarm, "Errors", GreaterThanThreshold),
        watched("no-errors", AlarmState::Ok, "Errors", GreaterThanThreshold),
        watched("load", AlarmState::Alarm, "RequestCount", GreaterThanThreshold),
        watched("heartbeat", AlarmState::InsufficientData, "Heartbeat", LessThanThreshold),
        watched("errors-missing", AlarmState::InsufficientData, "Errors", GreaterThanThreshold),
        watched("has-requests", AlarmState::Ok, "RequestCount", GreaterThanThreshold),
        on_node("other", AlarmState::Ok, "v2"),
        alarm("window", AlarmState::Ok),
    ];
    for (rule, expected) in [
        ("ALARM(errors)", "shop/v1 Children"),
        ("INSUFFICIENT_DATA(heartbeat)", "shop/v1 Children"),
        ("NOT OK(heartbeat)", "shop/v1 Children"),
        ("NOT OK(errors)", "shop/v1 Children"),
        ("NOT (OK(errors) OR OK(heartbeat))", "shop/v1 Children"),
        ("OK(has-requests)", "shop/v1 Children"),
        ("NOT ALARM(has-requests)", "shop/v1 Children"),
        ("ALARM(errors) AND OK(other) AND NOT ALARM(window)", "shop/v1 Children"),
        ("AT_LEAST(1, NOT OK, (errors, no-errors, other))", "shop/v1 Children"),
        ("AT_LEAST(50%, ALARM, (errors, no-errors))", "shop/v1 Children"),
        ("ALARM(load)", "NotAFailureMetric"),
        ("INSUFFICIENT_DATA(errors-missing)", "ChildrenNameNoTarget"),
        ("OK(no-errors)", "ChildrenNameNoTarget"),
        ("OK(window)", "ChildrenNameNoTarget"),
        ("ALARM(no-errors)", "ChildrenChanged"),
        ("ALARM(not-read)", "ChildrenUnread"),
        ("ALARM(errors) AND ALARM(not-read)", "shop/v1 Children"),
        ("ALARM(", "Unreadable"),
    ] {
        let parent = composite("parent", AlarmState::Alarm, rule);
        let mut alarms = children.to_vec();
        alarms.push(parent.clone());
        let found = reported_targets(&parent, &alarms, &AlarmTags::new(), &policy("").failover, at(0));
        let found = match found {
            Ok(targets) => {
                let shown = targets.iter().map(|found| format!("{}/{} {:?}", found.mesh, found.node, found.rule));
                shown.collect::<Vec<_>>().join(", ")
            }
            Err(unmapped) => unmapped.code().to_owned(),
        };
        assert_eq!(found, expected, "{rule}");
    }
}

#[test]
fn quiet_composite_alarm_reports_no_target_and_no_reason() {
    let alarms = [composite("parent", AlarmState::Ok, "ALARM(a)"), on_node("a", AlarmState::Ok, "v1")];
    let targets = alarm_targets(&alarms, &AlarmTags::new(), &policy("").failover, at(0));
    assert!(targets.unmapped.is_empty());
    assert_eq!(reporting(&alarms, &[], "", "v1"), ["a"]);
}

#[test]
fn deliberate_composite_reports_its_node_in_every_state_and_the_evaluation_of_its_children() {
    let alarms = [
        composite("parent", AlarmState::Ok, "ALARM(middle)"),
        composite("middle", AlarmState::Ok, "ALARM(a)"),
        Alarm { evaluation: Some(EvaluationState::EvaluationFailure), ..alarm("a", AlarmState::Ok) },
    ];
    let tags = BTreeMap::from([("meshwarden:mesh", "shop"), ("meshwarden:virtual-node", "v1")]);
    let tags = tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let tagged = AlarmTags::from([(AlarmName::parse("parent").unwrap(), tags)]);
    let bound = "bindings: [{alarm: parent, mesh: shop, virtualNode: v1}]";
    for (tags, policy_text) in [(tagged, ""), (AlarmTags::new(), bound)] {
        let targets = alarm_targets(&alarms, &tags, &policy(policy_text).failover, at(0));
        let [reported] = targets.alarms_of(&MeshName::parse("shop").unwrap(), &node("v1")) else {
            panic!("{targets:?}")
        };
        assert_eq!(reported.evaluation, Some(EvaluationState::EvaluationFailure));
        assert!(!reported.is_ok());
    }
}

#[test]
fn tags_of_a_quiet_composite_are_needed_only_if_no_child_names_a_node() {
    let alarms = [
        composite("named", AlarmState::Ok, "ALARM(errors)"),
        on_node("errors", AlarmState::Ok, "v1"),
        composite("unnamed", AlarmState::Ok, "ALARM(other)"),
        alarm("other", AlarmState::Ok),
        composite("on", AlarmState::Alarm, "ALARM(errors)"),
    ];
    let needed: Vec<&str> =
        needing_tags(&alarms, &policy("").failover).into_iter().map(|alarm| alarm.name.as_str()).collect();
    assert_eq!(needed, ["unnamed", "other", "on"]);
}

#[test]
fn cycle_of_composite_alarms_terminates() {
    let alarms = [composite("a", AlarmState::Alarm, "ALARM(b)"), composite("b", AlarmState::Alarm, "ALARM(a)")];
    let targets = alarm_targets(&alarms, &AlarmTags::new(), &policy("").failover, at(0));
    assert_eq!(targets.unmapped.len(), 2);
}

fn muted(alarms: &[Alarm], name: &str, now: i64, policy_text: &str) -> Option<String> {
    let alarm = alarms.iter().find(|alarm| alarm.name.as_str() == name).unwrap();
    let muted = muted_by(alarm, alarms, &AlarmTags::new(), &policy(policy_text).failover, at(now));
    muted.map(|muted| muted.to_string())
}

#[test]
fn suppressed_composite_mutes_the_children_that_act_through_it() {
    let child = |actions: &[&str]| Alarm {
        alarm_actions: Some(actions.iter().map(|action| (*action).to_owned()).collect()),
        ..on_node("child", AlarmState::Alarm, "v1")
    };
    let parent = |name: &str, suppressed: bool| Alarm {
        suppressed: suppressed.then(|| "its suppressor is in ALARM".to_owned()),
        ..composite(name, AlarmState::Alarm, "ALARM(child)")
    };
    let suppressed = Some("the actions of alarm p are suppressed (its suppressor is in ALARM)".to_owned());
    assert_eq!(muted(&[child(&[]), parent("p", true)], "child", 0, ""), suppressed);
    assert_eq!(muted(&[child(&["arn:t"]), parent("p", true)], "child", 0, ""), None, "has own actions");
    assert_eq!(muted(&[child(&[]), parent("p", false)], "child", 0, ""), None);
    assert_eq!(muted(&[child(&[]), parent("p", true), parent("q", false)], "child", 0, ""), None, "acts through q");
    let bound = "bindings: [{alarm: child, mesh: shop, virtualNode: v1}]";
    assert_eq!(muted(&[child(&[]), parent("p", true)], "child", 0, bound), None, "is bound");
    let old = Alarm { alarm_actions: None, ..child(&[]) };
    assert_eq!(muted(&[old, parent("p", true)], "child", 0, ""), None, "recorded by an older version");
    let middle = Alarm { alarm_actions: Some(Vec::new()), ..composite("m", AlarmState::Alarm, "ALARM(child)") };
    let top = Alarm { suppressed: Some("maintenance".to_owned()), ..composite("t", AlarmState::Alarm, "ALARM(m)") };
    let nested = [child(&[]), middle, top];
    assert_eq!(muted(&nested, "child", 0, "").unwrap(), "the actions of alarm t are suppressed (maintenance)");
}

/// In `ALARM(child) AND ALARM(other)`, the child alone triggers nothing, and acts by its own state.
#[test]
fn maintenance_of_a_composite_that_is_not_triggered_mutes_its_children() {
    let child = Alarm { alarm_actions: Some(Vec::new()), ..on_node("child", AlarmState::Alarm, "v1") };
    let suppressor = Some(Suppressor { alarm: AlarmName::parse("s").unwrap(), wait_period: 60, extension_period: 60 });
    let both = Alarm { suppressor, ..composite("p", AlarmState::Ok, "ALARM(child) AND ALARM(other)") };
    let other = on_node("other", AlarmState::Ok, "v1");
    let maintenance = |state, since| Alarm { since: Some(at(since)), ..alarm("s", state) };
    let direct = composite("q", AlarmState::Alarm, "ALARM(child)");
    let ruled = Alarm { mute_rule: Some("deploy".to_owned()), suppressor: None, ..both.clone() };
    for (name, more, is_muted) in [
        ("maintenance", vec![both.clone(), maintenance(AlarmState::Alarm, -600)], true),
        ("maintenance just ended", vec![both.clone(), maintenance(AlarmState::Ok, -30)], true),
        ("no maintenance", vec![both.clone(), maintenance(AlarmState::Ok, -600)], false),
        ("another composite acts", vec![both, direct, maintenance(AlarmState::Alarm, -600)], false),
        ("a mute rule", vec![ruled], true),
    ] {
        let alarms: Vec<Alarm> = [child.clone(), other.clone()].into_iter().chain(more).collect();
        assert_eq!(muted(&alarms, "child", 1, "").is_some(), is_muted, "{name}");
    }
}

#[test]
fn child_waits_for_the_suppressor_of_a_composite_about_to_enter_alarm() {
    let child = Alarm { alarm_actions: Some(Vec::new()), ..on_node("child", AlarmState::Alarm, "v1") };
    let parent = |wait_period, extension_period| Alarm {
        suppressor: Some(Suppressor { alarm: AlarmName::parse("s").unwrap(), wait_period, extension_period }),
        ..composite("p", AlarmState::Ok, "ALARM(child)")
    };
    let suppressor = |state, since| Alarm { since: Some(at(since)), ..alarm("s", state) };
    // The child entered ALARM at second 0.
    for (suppressor, wait, extension, now, is_muted) in [
        (suppressor(AlarmState::Alarm, -600), 60, 60, 1, true),
        (suppressor(AlarmState::Ok, -600), 60, 60, 1, true),
        (suppressor(AlarmState::Ok, -600), 60, 60, 61, false),
        (suppressor(AlarmState::Ok, -30), 0, 60, 1, true),
        (suppressor(AlarmState::Ok, -30), 0, 60, 31, false),
    ] {
        let alarms = [child.clone(), parent(wait, extension), suppressor];
        assert_eq!(muted(&alarms, "child", now, "").is_some(), is_muted, "{alarms:?} at {now}");
    }
}

#[test]
fn mute_rule_is_named() {
    let alarm = Alarm { mute_rule: Some("deploy".to_owned()), ..on_node("a", AlarmState::Alarm, "v1") };
    assert_eq!(muted(std::slice::from_ref(&alarm), "a", 0, "").unwrap(), "mute rule deploy mutes alarm a");
    assert!(!alarm.calls_for_action());
    let quiet = Alarm { state: AlarmState::Ok, ..alarm };
    assert_eq!(muted(&[quiet], "a", 0, ""), None);
}
