//! Endpoints that misbehave during a failover, two copies of the function at once, and the kill switch.

use meshwarden_tests::attack::{two_copies, withstand};
use meshwarden_tests::kill_switch;

use crate::faults::Triggered;
use crate::stage::Theatre;

#[tokio::test]
async fn misbehaving_endpoints_move_no_weight_wrongly() {
    let Some(theatre) = Theatre::open().await else { return };
    theatre.stack().store_policy("version: 1\nmodes: { default: enforce }\n").await;
    withstand("route-failover", async |case: String| Triggered::by_alarm(&theatre, &case).await).await;
}

#[tokio::test]
async fn two_copies_at_once_make_one_change() {
    let Some(theatre) = Theatre::open().await else { return };
    two_copies("route-failover", async |case: String| Triggered::by_alarm(&theatre, &case).await).await;
}

#[tokio::test]
async fn kill_switch_stops_a_failover_and_turns_its_alarm_on() {
    let Some(theatre) = Theatre::open().await else { return };
    kill_switch::check("route-failover", &Triggered::by_alarm(&theatre, "kill-switch").await).await;
}
