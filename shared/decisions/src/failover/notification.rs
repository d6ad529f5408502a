//! Decides when and how often a decision notifies the on-call operator.
//!
//! | decision | first page | again after |
//! |-|-|-|
//! | a failing node keeps its traffic | at once | `repeatAfter` |
//! | a failing node keeps its traffic because a node that it calls fails | after `repeatAfter` | `repeatAfter` |
//! | `FlapBudget`, `NoVerdict` | at once | `remindAfter` |
//! | `NoVerdict` because CloudWatch failed to evaluate the alarm | after `unreadableAfter` | `remindAfter` |
//! | `AlreadyShifted`, and the alarm cannot clear without requests | after `stuckAfter` | `remindAfter` |
//! | `AlreadyShifted`, `FailingWithoutTraffic`, `Unproven`, `Muted` | after `remindAfter` | `remindAfter` |
//! | `Unattended`, `RestoreOverdue`, `RollbackWaits` | at once | `repeatAfter` |
//! | a change that an operator has to follow up, such as `StateLost` | at once | at each change |
//! | a wait that passes its end without effect, a plan made repeatedly | `NoProgress` | `remindAfter` |
//!
//! Pages repeated after `remindAfter` are remembered across other decisions: a node that alternates between failing and
//! recovering is reported once, not at each change.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::decision::{Decision, Verdict};
use super::health::{Health, Unknown};
use super::reason::{HoldReason, KeepReason};
use crate::decision::LastNotification;
use mesh::watch::{Expects, SAME_PLAN_RUNS};
use policy::{PagingPolicy, Period};

/// The notification of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteNotification {
    /// Whether the decision differs from the last reported one.
    pub news: bool,
    /// Whether it pages the on-call operator.
    pub page: bool,
    /// The notification to store; `None` if there is nothing to report.
    pub last_notification: Option<LastNotification>,
    /// When each condition that is remembered across other decisions was last paged.
    pub paged: BTreeMap<String, Timestamp>,
    /// The condition of this decision, if it is remembered across other decisions.
    pub condition: Option<String>,
}

/// How soon and how often a decision pages.
#[derive(Clone, Copy)]
struct PagingUrgency {
    /// The delay of the first page; `None`: at once.
    after: Option<Period>,
    /// The interval of repeated pages.
    again_after: Period,
    /// Whether the page is remembered across other decisions.
    outlasts: bool,
}

fn urgency(decision: &Decision, policy: &PagingPolicy) -> Option<PagingUrgency> {
    let reminder = |after| Some(PagingUrgency { after, again_after: policy.remind_after, outlasts: true });
    let reason = match &decision.verdict {
        Verdict::Act(plan) if plan.why.pages() => {
            return Some(PagingUrgency { after: None, again_after: policy.repeat_after, outlasts: false });
        }
        Verdict::Keep(KeepReason::Steady) | Verdict::Act(_) => return None,
        Verdict::Keep(KeepReason::AlreadyShifted { stuck, .. }) if stuck.is_empty() => {
            return reminder(Some(policy.remind_after));
        }
        Verdict::Keep(KeepReason::AlreadyShifted { .. }) => return reminder(Some(policy.stuck_after)),
        Verdict::Keep(KeepReason::FailingWithoutTraffic { .. }) => return reminder(Some(policy.remind_after)),
        Verdict::Hold(reason) => reason,
    };
    match reason {
        HoldReason::NoVerdict { health: Health::Unknown { unknown: Unknown::NotEvaluated }, .. } => {
            reminder(Some(policy.unreadable_after))
        }
        HoldReason::FlapBudget { .. } | HoldReason::NoVerdict { .. } => reminder(None),
        // A service without traffic at night is unproven for hours, which is normal; only a longer time is reported.
        HoldReason::Unproven { .. } | HoldReason::Muted { .. } => reminder(Some(policy.remind_after)),
        HoldReason::DependencyFailing { .. } => {
            let after = Some(policy.repeat_after);
            decision.failing.then_some(PagingUrgency { after, again_after: policy.repeat_after, outlasts: false })
        }
        HoldReason::InsideDwell { .. }
        | HoldReason::InsideStep { .. }
        | HoldReason::Settling { .. }
        | HoldReason::StaleRead { .. } => None,
        // Traffic stays where it must not be, although no node may fail.
        HoldReason::Unattended { .. } | HoldReason::RestoreOverdue { .. } | HoldReason::RollbackWaits { .. } => {
            Some(PagingUrgency { after: None, again_after: policy.repeat_after, outlasts: false })
        }
        HoldReason::PersonEdited { .. }
        | HoldReason::Unplaced { .. }
        | HoldReason::NothingEligible { .. }
        | HoldReason::CommonCause { .. }
        | HoldReason::CallersDisagree { .. }
        | HoldReason::NoRoute { .. }
        | HoldReason::NodeMissing { .. }
        | HoldReason::Harmful { .. }
        | HoldReason::BudgetSpent { .. }
        | HoldReason::KillSwitchOn { .. }
        | HoldReason::RecordUnreadable { .. }
        | HoldReason::DeclaredDrained => {
            let again_after = policy.repeat_after;
            decision.failing.then_some(PagingUrgency { after: None, again_after, outlasts: false })
        }
    }
}

/// The key of a remembered page: the code, and the node if the decision is about one.
fn condition(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Act(_) => None,
        Verdict::Keep(reason) => Some(reason.code()),
        Verdict::Hold(reason) => Some(match reason.node() {
            Some(node) => format!("{} {node}", reason.code()),
            None => reason.code(),
        }),
    }
}

/// Compares a decision with the last reported one, and with the pages remembered across other decisions.
#[must_use]
pub fn route_notification(
    decision: &Decision,
    last: Option<&LastNotification>,
    paged: &BTreeMap<String, Timestamp>,
    policy: &PagingPolicy,
    now: Timestamp,
) -> RouteNotification {
    let mut paged = paged.clone();
    paged.retain(|_, at| now < *at + policy.remind_after.get());
    let code = match &decision.verdict {
        Verdict::Keep(KeepReason::Steady) => {
            return RouteNotification {
                news: last.is_some(),
                page: false,
                last_notification: None,
                paged,
                condition: None,
            };
        }
        Verdict::Keep(reason) => reason.code(),
        Verdict::Hold(reason) => reason.code(),
        Verdict::Act(plan) => plan.why.code(),
    };
    let urgency = urgency(decision, policy);
    let condition = urgency.filter(|urgency| urgency.outlasts).and_then(|_| condition(&decision.verdict));
    let last = last.filter(|last| last.code == code);
    let since = last.map_or(now, |last| last.since);
    let page = urgency.is_some_and(|urgency| {
        let is_due = urgency.after.is_none_or(|after| since + after.get() <= now);
        let was_paged = match &condition {
            Some(condition) => paged.get(condition).copied().max(last.and_then(|last| last.paged)),
            None => last.and_then(|last| last.paged),
        };
        is_due && was_paged.is_none_or(|at| at + urgency.again_after.get() <= now)
    });
    if page && let Some(condition) = &condition {
        paged.insert(condition.clone(), now);
    }
    let last_notification = match (last, &decision.verdict) {
        (None, _) => LastNotification { code, since: now, repeats: 0, paged: page.then_some(now) },
        // Each change is reported on its own; repetitions are not counted.
        (Some(_), Verdict::Act(_)) => LastNotification { code, since: now, repeats: 0, paged: None },
        // A repeated no-change is not counted, so that a drained node causes no write every minute.
        (Some(last), Verdict::Keep(_)) => {
            LastNotification { paged: if page { Some(now) } else { last.paged }, ..last.clone() }
        }
        (Some(last), Verdict::Hold(_)) => LastNotification {
            repeats: last.repeats.saturating_add(1),
            paged: if page { Some(now) } else { last.paged },
            ..last.clone()
        },
    };
    let news = last.is_none() || matches!(decision.verdict, Verdict::Act(_));
    RouteNotification { news, page, last_notification: Some(last_notification), paged, condition }
}

/// How long a decision may stay the same before that counts as a standstill. Decisions that page on their own never do.
#[must_use]
pub fn expected_end(verdict: &Verdict) -> Expects {
    match verdict {
        Verdict::Keep(_) => Expects::Final,
        Verdict::Act(_) => Expects::Runs(SAME_PLAN_RUNS),
        Verdict::Hold(reason) => match reason {
            HoldReason::InsideDwell { until, .. }
            | HoldReason::InsideStep { until, .. }
            | HoldReason::Settling { until, .. } => Expects::Until(*until),
            HoldReason::StaleRead { .. } => Expects::Runs(SAME_PLAN_RUNS),
            HoldReason::Unproven { .. }
            | HoldReason::FlapBudget { .. }
            | HoldReason::NoVerdict { .. }
            | HoldReason::PersonEdited { .. }
            | HoldReason::Unplaced { .. }
            | HoldReason::NothingEligible { .. }
            | HoldReason::CommonCause { .. }
            | HoldReason::CallersDisagree { .. }
            | HoldReason::DependencyFailing { .. }
            | HoldReason::NoRoute { .. }
            | HoldReason::NodeMissing { .. }
            | HoldReason::Muted { .. }
            | HoldReason::Harmful { .. }
            | HoldReason::BudgetSpent { .. }
            | HoldReason::KillSwitchOn { .. }
            | HoldReason::RecordUnreadable { .. }
            | HoldReason::DeclaredDrained
            | HoldReason::Unattended { .. }
            | HoldReason::RestoreOverdue { .. }
            | HoldReason::RollbackWaits { .. } => Expects::Final,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::fixtures::{at, node, route_id};
    use crate::failover::proof::StuckInAlarm;
    use crate::failover::reason::{StuckAlarm, Subject};
    use mesh::alarm::AlarmName;

    fn decision(verdict: Verdict, failing: bool) -> Decision {
        Decision { subject: Subject::Route(route_id("recs")), verdict, record: None, failing }
    }

    fn hold(reason: HoldReason, failing: bool) -> Decision {
        decision(Verdict::Hold(reason), failing)
    }

    fn shifted(stuck: bool) -> Decision {
        let alarm = AlarmName::parse("a").unwrap();
        let stuck = stuck.then(|| StuckAlarm { node: node("v1"), alarm, cause: StuckInAlarm::MissingDataIgnored });
        let reason = KeepReason::AlreadyShifted { drained: vec![node("v1")], stuck: stuck.into_iter().collect() };
        decision(Verdict::Keep(reason), true)
    }

    /// The minutes in which these decisions page, at one decision per minute.
    fn pages(decisions: &[Decision], policy: &PagingPolicy) -> Vec<usize> {
        let (mut last_notification, mut paged, mut minutes) = (None, BTreeMap::new(), Vec::new());
        for (minute, decision) in decisions.iter().enumerate() {
            let now = at(i64::try_from(minute).unwrap() * 60);
            let notification = route_notification(decision, last_notification.as_ref(), &paged, policy, now);
            if notification.page {
                minutes.push(minute);
            }
            (last_notification, paged) = (notification.last_notification, notification.paged);
        }
        minutes
    }

    #[test]
    fn pages_by_decision_and_time() {
        let policy = PagingPolicy::default();
        let flapping = || hold(HoldReason::FlapBudget { node: node("v1"), drains: 3, until: at(9) }, false);
        let unevaluated = Health::Unknown { unknown: Unknown::NotEvaluated };
        let no_verdict = |health| hold(HoldReason::NoVerdict { node: node("v1"), health }, false);
        let dependency = || HoldReason::DependencyFailing { node: node("v1"), calls: vec![node("db")] };
        let steady = || decision(Verdict::Keep(KeepReason::Steady), false);
        let day = 24 * 60;
        let cases: Vec<(&str, Vec<Decision>, Vec<usize>)> = vec![
            ("nothing eligible", vec![hold(HoldReason::DeclaredDrained, true); 32], vec![0, 15, 30]),
            ("nothing fails", vec![hold(HoldReason::DeclaredDrained, false); 32], vec![]),
            (
                "a new failure",
                vec![hold(HoldReason::DeclaredDrained, true), steady(), hold(HoldReason::DeclaredDrained, true)],
                vec![0, 2],
            ),
            ("a dependency fails", vec![hold(dependency(), true); 32], vec![15, 30]),
            ("flapping", vec![flapping(); 40], vec![0]),
            (
                "flapping in turns",
                [flapping(), shifted(false), steady()].into_iter().cycle().take(90).collect(),
                vec![0],
            ),
            ("an evaluation fails", vec![no_verdict(unevaluated); 40], vec![10]),
            (
                "an alarm is deleted",
                vec![no_verdict(Health::Unknown { unknown: Unknown::NoAlarm }); day + 2],
                vec![0, day],
            ),
            ("drained and failing", vec![shifted(false); day + 2], vec![day]),
            ("it cannot clear", vec![shifted(true); day + 62], vec![60, day + 60]),
        ];
        for (name, decisions, expected) in cases {
            assert_eq!(pages(&decisions, &policy), expected, "{name}");
        }
    }

    #[test]
    fn drained_node_causes_no_write_while_its_state_is_unchanged() {
        let policy = PagingPolicy::default();
        let first = route_notification(&shifted(false), None, &BTreeMap::new(), &policy, at(0));
        let next = route_notification(&shifted(false), first.last_notification.as_ref(), &first.paged, &policy, at(60));
        assert!(first.news && !next.news);
        assert_eq!((&first.last_notification, &first.paged), (&next.last_notification, &next.paged));
    }
}
