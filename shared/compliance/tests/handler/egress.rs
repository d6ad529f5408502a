//! Egress: closed filters, removed backends, and findings that are only explained.

use ports_memory::{Fault, Gate};
use rules::compliance::Topic;
use serde_json::json;

use crate::shop::{MESH, POLICY, Shop, V1, V2, decision};

fn shop() -> Shop {
    Shop::new(Topic::Egress)
}

const REMOVE: &str = "egress: {removeDangling: true}\n";

#[tokio::test(start_paused = true)]
async fn unneeded_open_filter_is_closed() {
    let shop = shop();
    shop.edit(MESH, |spec| spec["serviceDiscovery"] = json!({ "ipPreference": "IPv4_ONLY" }));
    shop.open_filter();
    let answer = shop.start().await.sample("config-change-mesh").await.unwrap();
    let closed = json!({ "egressFilter": { "type": "DROP_ALL" }, "serviceDiscovery": { "ipPreference": "IPv4_ONLY" } });
    assert_eq!(shop.spec(MESH), closed);
    let (compliance, annotation) = &shop.evaluated()[MESH];
    assert_eq!(compliance, "NON_COMPLIANT", "the state at the time of the request");
    assert!(annotation.starts_with("mesh-egress-open: "), "{annotation}");
    assert_eq!(decision(&answer, MESH)["outcome"]["outcome"], "Applied");
    assert_eq!((shop.spent(), shop.ports.mesh.writes().len()), (1, 1));
    let again = shop.start().await.sample("config-change-mesh").await.unwrap();
    assert_eq!(decision(&again, MESH)["reason"], "Compliant");
    assert_eq!(shop.evaluated()[MESH].0, "COMPLIANT");
}

#[tokio::test(start_paused = true)]
async fn filter_with_calls_through_it_is_not_closed() {
    let shop = Shop::with(Topic::Egress, &format!("{POLICY}{REMOVE}"));
    shop.open_filter();
    shop.calls(V2, "api.partner.example");
    let function = shop.start().await;
    let answer = function.sample("cloudtrail-update-mesh").await.unwrap();
    let held = decision(&answer, MESH);
    assert_eq!((&held["decision"], &held["reason"]), (&json!("hold"), &json!("WouldCut")));
    assert_eq!(held["facts"]["cuts"], json!([{ "from": V2, "to": "api.partner.example" }]));
    // The backend is the only evidence of those calls, so it stays while the filter is open.
    assert_eq!(decision(&answer, V2)["reason"], "FilterOpen");
    for _ in 0..3 {
        function.later(5).await;
    }
    assert_eq!((shop.filter(), shop.ports.mesh.writes().len()), (json!("ALLOW_ALL"), 0));
}

#[tokio::test(start_paused = true)]
async fn dangling_backends_are_removed_if_the_policy_permits_it() {
    let shop = Shop::with(Topic::Egress, &format!("{POLICY}{REMOVE}"));
    let before = shop.spec(V2);
    shop.calls(V2, "old.shop.local");
    shop.calls(V2, "older.shop.local");
    let answer = shop.start().await.scheduled_run().await.unwrap();
    assert_eq!(shop.spec(V2), before);
    assert_eq!(shop.ports.mesh.writes().len(), 1, "one write removes both");
    assert_eq!(decision(&answer, V2)["plan"]["apply"].as_array().unwrap().len(), 2);

    let shop = Shop::new(Topic::Egress);
    shop.calls(V2, "old.shop.local");
    let answer = shop.start().await.scheduled_run().await.unwrap();
    let held = decision(&answer, V2);
    assert_eq!((&held["reason"], &held["facts"]["backend"]), (&json!("RemovalNotAllowed"), &json!("old.shop.local")));
    assert_eq!(shop.ports.mesh.writes().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn hosts_outside_the_allow_list_are_reported_and_never_cut() {
    let allow = "egress: {allow: [\"*.amazonaws.com\"]}\n";
    let shop = Shop::with(Topic::Egress, &format!("{POLICY}{allow}"));
    shop.put(
        "mesh/shop/virtualNode/partner",
        &json!({ "listeners": [{ "portMapping": { "port": 443, "protocol": "tcp" } }],
        "serviceDiscovery": { "dns": { "hostname": "api.partner.example" } } }),
    );
    shop.put(
        "mesh/shop/virtualService/partner.shop.local",
        &json!({ "provider": { "virtualNode": { "virtualNodeName": "partner" } } }),
    );
    shop.calls(V2, "partner.shop.local");
    let answer = shop.start().await.sample("config-change-node").await.unwrap();
    let held = decision(&answer, V2);
    assert_eq!(held["reason"], "WouldCut", "{held:#}");
    assert_eq!(held["facts"]["cuts"], json!([{ "from": V2, "to": "partner.shop.local" }]));
    let (compliance, annotation) = &shop.evaluated()[V2];
    assert_eq!(compliance, "NON_COMPLIANT");
    assert!(annotation.contains("api.partner.example"), "{annotation}");
    assert_eq!(shop.ports.mesh.writes().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn node_edited_in_between_is_read_again_and_keeps_the_edit() {
    let shop = Shop::with(Topic::Egress, &format!("{POLICY}{REMOVE}"));
    shop.calls(V2, "old.shop.local");
    let function = shop.start().await;
    let gate = Gate::default();
    shop.ports.faults.once(|call| call.name == "update virtual node", Fault::Waits(gate.clone()));
    let edit = async {
        gate.reached().await;
        shop.edit(V2, |spec| spec["logging"]["accessLog"]["file"]["path"] = json!("/var/log/envoy"));
        gate.open();
    };
    let event = shop.event("tick-rule");
    let (answer, ()) = tokio::join!(function.answer(&event), edit);
    assert_eq!(decision(&answer.unwrap(), V2)["outcome"]["outcome"], "Applied");
    let spec = shop.spec(V2);
    assert_eq!(spec["logging"]["accessLog"]["file"]["path"], "/var/log/envoy");
    assert_eq!(spec["backends"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn server_without_version_check_pages() {
    let shop = shop();
    shop.open_filter();
    shop.ports.mesh.ignore_versions();
    let gate = Gate::default();
    shop.ports.faults.once(|call| call.name == "update mesh", Fault::Waits(gate.clone()));
    let edit = async {
        gate.reached().await;
        shop.edit(MESH, |spec| spec["serviceDiscovery"] = json!({ "ipPreference": "IPv4_ONLY" }));
        gate.open();
    };
    let function = shop.start().await;
    let event = shop.event("tick-rule");
    let (answer, ()) = tokio::join!(function.answer(&event), edit);
    assert_eq!(decision(&answer.unwrap(), MESH)["outcome"]["outcome"], "Overwrote");
    assert_eq!((shop.pages().len(), shop.metric("Overwrote")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn kinds_without_egress_are_not_applicable() {
    let shop = shop();
    shop.start().await.sample("config-scheduled").await.unwrap();
    let evaluated = shop.evaluated();
    assert_eq!(evaluated.len(), 10);
    let of = |compliance: &str| evaluated.values().filter(|(evaluated, _)| evaluated == compliance).count();
    assert_eq!((of("COMPLIANT"), of("NOT_APPLICABLE")), (5, 5));
    assert_eq!(evaluated[V1].0, "COMPLIANT");
}
