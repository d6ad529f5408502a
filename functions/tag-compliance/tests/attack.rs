//! Endpoints that misbehave during a scheduled evaluation, two copies of the function that run at once, and the kill
//! switch.

use std::sync::Arc;

use jiff::SignedDuration;
use meshwarden_tests::attack::{two_copies, withstand};
use meshwarden_tests::config_events::{ConfigScene, Services, Stage};
use meshwarden_tests::kill_switch;
use serde_json::json;

const NAME: &str = "tag-compliance";
const POLICY: &str = "version: 1\nmodes: { meshes: { shop: { default: enforce } } }\n\
    tags: { required: [{ key: team }], grace: 1s }\n";

async fn scene(services: &Arc<Services>) -> ConfigScene {
    let stage = Stage::with(Arc::clone(services), NAME, POLICY, &[]).await;
    stage.create("", json!({ "meshName": "shop", "tags": [{ "key": "team", "value": "shop" }] })).await;
    stage.create("virtualNodes", json!({ "virtualNodeName": "recommendations-v2", "spec": {} })).await;
    // In the time of grace, the function would repair nothing.
    stage.outlast_grace("virtualNodes/recommendations-v2", SignedDuration::from_secs(1)).await;
    stage.scene(env!("CARGO_BIN_EXE_tag-compliance"), "config-scheduled")
}

#[tokio::test]
async fn misbehaving_endpoints_lead_to_no_false_answer() {
    let Some(services) = Services::start().await else { return };
    services.store_policy(POLICY).await;
    withstand(NAME, async |_| scene(&services).await).await;
}

#[tokio::test]
async fn two_copies_at_once_make_one_change() {
    let Some(services) = Services::start().await else { return };
    two_copies(NAME, async |_| scene(&services).await).await;
}

#[tokio::test]
async fn kill_switch_stops_repairs_and_turns_its_alarm_on() {
    let Some(services) = Services::start().await else { return };
    kill_switch::check(NAME, &scene(&services).await).await;
}
