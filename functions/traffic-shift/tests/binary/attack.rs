//! Endpoints that misbehave during a rollout, two copies of the function at once, and the kill switch.

use meshwarden_tests::attack::{two_copies, withstand};
use meshwarden_tests::kill_switch;
use meshwarden_tests::stack::MiniStack;

use crate::faults::Requested;

const NAME: &str = "traffic-shift";

#[tokio::test]
async fn misbehaving_endpoints_move_no_weight_wrongly() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.store_policy("version: 1\nmodes: { default: enforce }\n").await;
    withstand(NAME, async |case: String| Requested::set(&stack, &case).await).await;
}

#[tokio::test]
async fn two_copies_at_once_make_one_change() {
    let Some(stack) = MiniStack::start().await else { return };
    Box::pin(two_copies(NAME, async |case: String| Requested::set(&stack, &case).await)).await;
}

#[tokio::test]
async fn kill_switch_stops_a_rollout_and_turns_its_alarm_on() {
    let Some(stack) = MiniStack::start().await else { return };
    kill_switch::check(NAME, &Requested::set(&stack, "kill-switch").await).await;
}
