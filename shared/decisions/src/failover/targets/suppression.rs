//! Mutes of alarms: disabled actions, a mute rule, or the suppressor of a composite alarm, which also mutes the
//! children that act through it.

use jiff::SignedDuration;

use super::composite::MAX_DEPTH;
use super::context::Context;
use super::muted::Muted;
use mesh::alarm::{Alarm, AlarmName, AlarmSource, AlarmState, CompositeRule, RuleValue, Suppressor};

impl Context<'_> {
    /// The cause of the mute of an alarm in `ALARM`; `None` if it is not muted.
    pub(super) fn muted(&self, alarm: &Alarm) -> Option<Muted> {
        if alarm.state != AlarmState::Alarm {
            return None;
        }
        own_mute(alarm).or_else(|| self.muted_through_parents(alarm, MAX_DEPTH))
    }

    /// The mute of an alarm without own actions, which acts through the composite alarms that name it. It is muted if
    /// all of these composite alarms that are triggered are muted, or if none is triggered and one of them is muted. A
    /// bound alarm acts directly.
    fn muted_through_parents(&self, alarm: &Alarm, depth: usize) -> Option<Muted> {
        let depth = depth.checked_sub(1)?;
        // Older recordings lack the actions; the alarm then acts directly, as it did at that time.
        let has_no_actions = alarm.alarm_actions.as_ref().is_some_and(Vec::is_empty);
        if !has_no_actions || self.is_bound(alarm) {
            return None;
        }
        let mut first = None;
        for parent in self.by_name.values() {
            let AlarmSource::Composite(text) = &parent.source else { continue };
            let Ok(rule) = CompositeRule::parse(text) else { continue };
            if !rule.alarms().contains(&&alarm.name) {
                continue;
            }
            let is_triggered = parent.state == AlarmState::Alarm
                || rule.evaluate(&|name: &AlarmName| self.state_of(name)) == RuleValue::True;
            if !is_triggered {
                // A declared maintenance also covers a child that is not enough to trigger the composite alarm.
                first = first.or_else(|| mute_rule(parent).or_else(|| self.suppression(parent)));
                continue;
            }
            let muted = own_mute(parent)
                .or_else(|| self.will_be_suppressed(parent, &rule))
                .or_else(|| self.muted_through_parents(parent, depth));
            first.get_or_insert(muted?);
        }
        first
    }

    /// The suppression of a composite alarm that is about to enter `ALARM`. The events of its children arrive first,
    /// and would move traffic before CloudWatch reports the suppression.
    fn will_be_suppressed(&self, composite: &Alarm, rule: &CompositeRule) -> Option<Muted> {
        if composite.state == AlarmState::Alarm {
            return None;
        }
        self.suppression(composite).or_else(|| {
            let Suppressor { alarm, wait_period, .. } = composite.suppressor.as_ref()?;
            let causes = rule.causes(&|name: &AlarmName| self.state_of(name));
            let since = causes.iter().filter_map(|cause| self.by_name.get(&cause.alarm)?.since).max()?;
            let why = self.lasts(since, *wait_period).then(|| format!("it waits for suppressor {alarm}"))?;
            Some(Muted::Suppressed { alarm: composite.name.clone(), why })
        })
    }

    /// The suppression that the state of a composite alarm's suppressor causes now.
    fn suppression(&self, composite: &Alarm) -> Option<Muted> {
        let Suppressor { alarm, extension_period, .. } = composite.suppressor.as_ref()?;
        let suppressor = self.by_name.get(alarm)?;
        let why = if suppressor.state == AlarmState::Alarm {
            format!("suppressor {alarm} is in ALARM")
        } else {
            let left = suppressor.since.filter(|since| self.lasts(*since, *extension_period));
            left.map(|_| format!("suppressor {alarm} left ALARM recently"))?
        };
        Some(Muted::Suppressed { alarm: composite.name.clone(), why })
    }

    /// Whether a period that began at this time has not ended.
    fn lasts(&self, since: jiff::Timestamp, seconds: u32) -> bool {
        self.now < since + SignedDuration::from_secs(seconds.into())
    }
}

fn mute_rule(alarm: &Alarm) -> Option<Muted> {
    alarm.mute_rule.as_ref().map(|rule| Muted::MuteRule { alarm: alarm.name.clone(), rule: rule.clone() })
}

fn own_mute(alarm: &Alarm) -> Option<Muted> {
    let name = || alarm.name.clone();
    if let Some(muted) = mute_rule(alarm) {
        Some(muted)
    } else if !alarm.actions_enabled {
        Some(Muted::ActionsDisabled { alarm: name() })
    } else {
        alarm.suppressed.as_ref().map(|why| Muted::Suppressed { alarm: name(), why: why.clone() })
    }
}
