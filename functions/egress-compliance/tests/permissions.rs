//! The role of the function against the calls that it makes, and each of its permissions denied in turn.

use meshwarden_tests::config_events::Services;
use meshwarden_tests::config_permissions::{Compliance, Repair, check_role};
use serde_json::json;

const POLICY: &str =
    "version: 1\nmodes: { meshes: { shop: { default: enforce } } }\negress: { removeDangling: true }\n";

#[tokio::test]
async fn every_permission_is_needed_and_its_denial_fires_the_alarm() {
    let Some(services) = Services::start().await else { return };
    let function = Compliance {
        name: "egress-compliance",
        binary: env!("CARGO_BIN_EXE_egress-compliance"),
        event: "config-oversized",
        repairs: vec![
            Repair {
                mesh: json!({ "meshName": "shop", "spec": { "egressFilter": { "type": "ALLOW_ALL" } } }),
                dangling: false,
                write: "PUT /v20190125/meshes/shop",
            },
            Repair {
                mesh: json!({ "meshName": "shop" }),
                dangling: true,
                write: "PUT /v20190125/meshes/shop/virtualNodes/recommendations-v2",
            },
        ],
    };
    check_role(&services, &function, POLICY).await;
}
