//! Endpoints that misbehave while a drill starts, two copies of the function at once, and the kill switch.

use meshwarden_tests::attack::{two_copies, withstand};
use meshwarden_tests::kill_switch;
use meshwarden_tests::stack::MiniStack;

use crate::stage::{POLICY, Stage};

const NAME: &str = "failover-drill";

#[tokio::test]
async fn misbehaving_endpoints_move_no_weight_wrongly() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.store_policy(POLICY).await;
    withstand(NAME, async |case: String| Stage::set(&stack, &case).await).await;
}

#[tokio::test]
async fn two_copies_at_once_make_one_change() {
    let Some(stack) = MiniStack::start().await else { return };
    Box::pin(two_copies(NAME, async |case: String| Stage::set(&stack, &case).await)).await;
}

#[tokio::test]
async fn kill_switch_stops_a_drill_and_turns_its_alarm_on() {
    let Some(stack) = MiniStack::start().await else { return };
    kill_switch::check(NAME, &Stage::set(&stack, "kill-switch").await).await;
}
