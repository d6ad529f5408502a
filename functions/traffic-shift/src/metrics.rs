//! The metrics of the function, without dimensions.

use std::collections::BTreeMap;

use rollouts::RolloutState;
use runner::Metric;

/// The number of rollouts that were rolled back in this run, that are stalled, and that are active.
pub(crate) fn rollouts(states: &BTreeMap<String, (RolloutState, RolloutState, String)>) -> Vec<Metric> {
    let count =
        |is: fn(&(RolloutState, RolloutState, String)) -> bool| states.values().filter(|state| is(state)).count();
    let rolled_back = count(|(before, after, _)| !before.is_final() && *after == RolloutState::RolledBack);
    let stalled = count(|(_, after, code)| {
        *after == RolloutState::Paused || matches!(code.as_str(), "RollbackFailed" | "RolloutStalled")
    });
    let active = count(|(_, after, _)| !after.is_final());
    // Each published metric costs, so zeros are left out.
    [("RolloutsRolledBack", rolled_back), ("RolloutsStalled", stalled), ("RolloutsActive", active)]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| Metric::count(name, count, Vec::new()))
        .collect()
}
