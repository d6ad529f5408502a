//! Composite alarms: the targets of the children that make them true.

use std::collections::BTreeSet;

use super::context::Context;
use super::{ReportedTarget, TargetRule, Unmapped};
use mesh::alarm::{AlarmName, AlarmState, Cause, CompositeRule, RuleValue, StateTest};

/// The maximum nesting of composite alarms that is followed. CloudWatch has no limit, and permits cycles.
pub(super) const MAX_DEPTH: usize = 5;

impl Context<'_> {
    pub(super) fn state_of(&self, alarm: &AlarmName) -> Option<AlarmState> {
        self.by_name.get(alarm).map(|alarm| alarm.state.clone())
    }

    /// The targets of a composite alarm that is in `ALARM`.
    ///
    /// Children in `ALARM` take precedence. Children that are `OK` or have no data count only if no child in `ALARM`
    /// reports a node: in `ALARM(errors) AND OK(maintenance)`, the second child is a condition, not the failure.
    pub(super) fn through_children(&self, rule: &str, depth: usize) -> Result<Vec<ReportedTarget>, Unmapped> {
        let rule = CompositeRule::parse(rule).map_err(|error| Unmapped::Unreadable { why: error.to_string() })?;
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Unmapped::Unreadable {
                why: format!("composite alarms are nested more than {MAX_DEPTH} deep"),
            });
        };
        let state = |alarm: &AlarmName| self.state_of(alarm);
        let causes = match rule.evaluate(&state) {
            RuleValue::True => rule.causes(&state),
            RuleValue::Unknown => rule.known_causes(&state),
            RuleValue::False => return Err(Unmapped::ChildrenChanged),
        };
        let (in_alarm, others): (Vec<Cause>, Vec<Cause>) =
            causes.into_iter().partition(|cause| cause.state == StateTest::Alarm);
        let mut reasons = Vec::new();
        let found = self.targets_of_causes(&in_alarm, depth, &mut reasons);
        if !found.is_empty() {
            return Ok(found);
        }
        let found = self.targets_of_causes(&others, depth, &mut Vec::new());
        if found.is_empty() { Err(self.why_no_target(&rule, reasons)) } else { Ok(found) }
    }

    fn targets_of_causes(&self, causes: &[Cause], depth: usize, reasons: &mut Vec<Unmapped>) -> Vec<ReportedTarget> {
        let mut found: Vec<ReportedTarget> = Vec::new();
        for cause in causes {
            let Some(child) = self.by_name.get(&cause.alarm) else { continue };
            match self.resolve(child, cause.state, depth) {
                Ok(targets) => {
                    for target in targets {
                        let is_known = |known: &ReportedTarget| {
                            (&known.mesh, &known.node, known.role) == (&target.mesh, &target.node, target.role)
                        };
                        if !found.iter().any(is_known) {
                            // A composite alarm combines its children, so it does not measure a single caller.
                            found.push(ReportedTarget { rule: TargetRule::Children, caller: None, ..target });
                        }
                    }
                }
                Err(reason) => reasons.push(reason),
            }
        }
        found
    }

    /// The reason why a composite alarm reports no target. `reasons` are those of its children in `ALARM`.
    fn why_no_target(&self, rule: &CompositeRule, mut reasons: Vec<Unmapped>) -> Unmapped {
        let unread: BTreeSet<&AlarmName> =
            rule.alarms().into_iter().filter(|alarm| !self.by_name.contains_key(alarm)).collect();
        if !unread.is_empty() {
            return Unmapped::ChildrenUnread { alarms: unread.into_iter().cloned().collect() };
        }
        // A composite alarm is an alarm on load if all its children are.
        if !reasons.is_empty() && reasons.iter().all(Unmapped::is_not_a_failure) {
            return reasons.swap_remove(0);
        }
        Unmapped::ChildrenNameNoTarget
    }
}
