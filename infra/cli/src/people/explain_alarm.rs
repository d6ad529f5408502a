//! `explain alarm/NAME`: the target of the alarm and its rule, or the missing configuration of an unmapped alarm.

use std::fmt::Write as _;

use decisions::failover::{
    AlarmTags, Muted, ReportedTarget, TargetRule, Unmapped, alarm_targets, muted_by, reported_targets,
};
use mesh::alarm::{Alarm, AlarmName, AlarmState, MuteRule};
use policy::FailoverPolicy;

use super::desk::Desk;
use super::error::{Refusal, Trouble};
use super::restore::read_alarms;

pub(super) async fn explain(desk: &Desk<'_>, name: &AlarmName) -> Result<String, Trouble> {
    let (mut alarms, mut tags) = read_alarms(desk).await?;
    let port = &desk.ports.alarms;
    if !alarms.iter().any(|alarm| alarm.name == *name) {
        alarms.extend(port.by_name(std::slice::from_ref(name)).await?);
    }
    let Some(index) = alarms.iter().position(|alarm| alarm.name == *name) else {
        return Err(Refusal::NoAlarm { alarm: name.clone() }.into());
    };
    let mut notes = String::new();
    if let Some(alarm) = alarms.get_mut(index) {
        if alarm.has_contributors() {
            alarm.contributors = Some(port.contributors(name).await?);
        }
        if !tags.contains_key(name) {
            tags.insert(name.clone(), port.tags(&alarm.arn).await?);
        }
    }
    match port.active_mute_rules().await {
        Ok(rules) => apply(&rules, &mut alarms),
        Err(error) => {
            let _ = writeln!(notes, "Failed to read the mute rules, so none is considered: {error}");
        }
    }
    let Some(alarm) = alarms.get(index) else { return Err(Refusal::NoAlarm { alarm: name.clone() }.into()) };
    Ok(describe(alarm, &alarms, &tags, &desk.policy.failover, desk.now()) + &notes)
}

fn apply(rules: &[MuteRule], alarms: &mut [Alarm]) {
    for alarm in alarms {
        alarm.mute_rule = rules.iter().find(|rule| rule.alarms.contains(&alarm.name)).map(|rule| rule.name.clone());
    }
}

/// Explains one alarm. `alarms` includes the children of composite alarms.
fn describe(
    alarm: &Alarm,
    alarms: &[Alarm],
    tags: &AlarmTags,
    policy: &FailoverPolicy,
    now: jiff::Timestamp,
) -> String {
    let since = alarm.since.map_or_else(String::new, |since| format!(" since {}", super::route_state::short(since)));
    let mut text = format!("alarm/{}\n{}{since}\n", alarm.name, state(&alarm.state));
    if let Some(reason) = &alarm.state_reason {
        let _ = writeln!(text, "CloudWatch: {reason}");
    }
    if let Some(evaluation) = &alarm.evaluation {
        let _ = writeln!(text, "The evaluation of the alarm fails ({evaluation:?}), so its state may be out of date.");
    }
    text.push('\n');
    match reported_targets(alarm, alarms, tags, policy, now) {
        Ok(targets) if targets.is_empty() => {
            text.push_str("Target: the virtual node of each series that is in ALARM. No series is in ALARM.\n");
        }
        Ok(targets) => {
            for target in &targets {
                let _ = writeln!(text, "Target: mesh/{}/virtualNode/{}", target.mesh, target.node);
                let _ = writeln!(text, "  by {}", by(target));
            }
            disagreement(&mut text, &targets, alarms, tags, policy, now);
        }
        Err(Unmapped::NotAFailureMetric { metrics, breach }) => {
            let reason = Unmapped::NotAFailureMetric { metrics, breach };
            let _ =
                writeln!(text, "[NotAFailureMetric] Never acted on: {reason}.\nTo add: {}", reason.remedy(&alarm.name));
        }
        Err(reason) => {
            let _ = writeln!(text, "[{}] No target: {reason}.\nTo add: {}", reason.code(), reason.remedy(&alarm.name));
        }
    }
    match (muted_by(alarm, alarms, tags, policy, now), &alarm.state) {
        (Some(muted), _) => {
            let _ = writeln!(text, "[Muted] {muted}, so the alarm moves no traffic.");
        }
        (None, AlarmState::Alarm) => text.push_str("Not muted.\n"),
        (None, AlarmState::Ok | AlarmState::InsufficientData | AlarmState::Unrecognised(_)) => {
            // Muting applies only in the state ALARM, so the check assumes that state.
            let would_be = Alarm { state: AlarmState::Alarm, ..alarm.clone() };
            if let Some(muted @ (Muted::ActionsDisabled { .. } | Muted::MuteRule { .. })) =
                muted_by(&would_be, alarms, tags, policy, now)
            {
                let _ = writeln!(text, "[Muted] {muted}, so the alarm would move no traffic.");
            }
        }
    }
    wired(&mut text, alarm, policy);
    text
}

fn state(state: &AlarmState) -> &str {
    match state {
        AlarmState::Ok => "OK",
        AlarmState::Alarm => "ALARM",
        AlarmState::InsufficientData => "INSUFFICIENT_DATA",
        AlarmState::Unrecognised(other) => other,
    }
}

/// The rule that identifies the target, and the failure metric.
fn by(target: &ReportedTarget) -> String {
    let rule = match target.rule {
        TargetRule::Binding => "a binding of the policy; any metric counts",
        TargetRule::TargetDimensions => "the target's dimensions of an outbound metric",
        TargetRule::NodeDimensions => "the mesh and the virtual node of an inbound metric",
        TargetRule::Tags => "the alarm's tags; any metric counts",
        TargetRule::Children => "the children that make the composite alarm true",
    };
    let caller = target.caller.as_ref().map_or_else(String::new, |caller| format!(", measured by {caller}"));
    let failure = target.failure.as_ref().map_or_else(String::new, |failure| {
        let list = if failure.from_policy { "the policy's list" } else { "the built-in list" };
        format!("; {} is a failure metric by `{}` of {list}", failure.metric, failure.entry)
    });
    format!("{rule}{caller}{failure}")
}

/// Lists alarms of other callers of the same target that report no failure.
fn disagreement(
    text: &mut String,
    targets: &[ReportedTarget],
    alarms: &[Alarm],
    tags: &AlarmTags,
    policy: &FailoverPolicy,
    now: jiff::Timestamp,
) {
    let all = alarm_targets(alarms, tags, policy, now);
    for target in targets {
        if let Some((_, healthy)) = all.disputed(&target.mesh, &target.node) {
            let names: Vec<&str> = healthy.iter().map(|alarm| alarm.name.as_str()).collect();
            let _ = writeln!(text, "  other callers report no failure: {}", names.join(", "));
        }
    }
}

/// The triggers of route-failover for this alarm.
fn wired(text: &mut String, alarm: &Alarm, policy: &FailoverPolicy) {
    let is_bound = policy.bindings.iter().any(|binding| binding.alarm == alarm.name);
    let discovered = policy.discovery.enabled && alarm.name.as_str().starts_with(&policy.discovery.prefix);
    text.push_str(match (is_bound, discovered) {
        (true, _) => "Read by every run: a binding names it.\n",
        (false, true) => "Read by every scheduled run: discovery finds it.\n",
        (false, false) => {
            "Not read by scheduled runs: no binding names it, and discovery is disabled or has another prefix.\n"
        }
    });
    match alarm.alarm_actions.as_deref() {
        Some([]) | None => text.push_str("Actions for ALARM: none; only EventBridge and scheduled runs trigger.\n"),
        Some(actions) => {
            let _ = writeln!(text, "Actions for ALARM: {}", actions.join(", "));
        }
    }
}
