//! Endpoints that misbehave during a rotation, two copies of the function at once, and the kill switch.

use meshwarden_tests::attack::{two_copies, withstand};
use meshwarden_tests::kill_switch;

use crate::stage::{Kept, Stage, Theatre};

async fn withstand_with(name: &str, kept: Kept) {
    let Some(theatre) = Theatre::open().await else { return };
    theatre.stack().store_policy("version: 1\nmodes: { default: enforce }\n").await;
    let set = async |case: String| Stage::set(&theatre, &format!("{name}-{case}"), kept).await;
    withstand(&format!("certificate-rotation, {name}"), set).await;
}

#[tokio::test]
async fn misbehaving_endpoints_replace_no_certificate_wrongly() {
    withstand_with("imported", Kept::Imported).await;
}

#[tokio::test]
async fn misbehaving_endpoints_replace_no_bundle_wrongly() {
    withstand_with("bundle", Kept::Secret).await;
}

#[tokio::test]
async fn two_copies_at_once_rotate_once() {
    let Some(theatre) = Theatre::open().await else { return };
    for (name, kept) in [("imported", Kept::Imported), ("bundle", Kept::Secret)] {
        let set = async |case: String| Stage::set(&theatre, &format!("{name}-{case}"), kept).await;
        two_copies("certificate-rotation", set).await;
    }
}

#[tokio::test]
async fn kill_switch_stops_a_rotation_and_turns_its_alarm_on() {
    let Some(theatre) = Theatre::open().await else { return };
    kill_switch::check("certificate-rotation", &Stage::set(&theatre, "kill-switch", Kept::Secret).await).await;
}
