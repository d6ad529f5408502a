//! Findings, notifications and stored reports.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::shop::{function, put, reasons, shop, sweep};

#[tokio::test(start_paused = true)]
async fn findings_are_reported_once_and_stored_by_each_sweep() {
    let ports = shop();
    let function = function(&ports).await;
    let report = sweep(&function).await.unwrap();
    assert_eq!(reasons(&report), ["Changed"]);
    let kept = ports.reports.stored();
    let names: Vec<&str> = kept.keys().map(|name| name.rsplit('/').next().unwrap()).collect();
    assert_eq!(names, ["findings.asff.json", "findings.json", "findings.sarif", "index.html"]);
    let found: Value = serde_json::from_slice(&kept["compliance/mesh/shop/findings.json"]).unwrap();
    let rules: Vec<&str> =
        found["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect();
    assert!(rules.contains(&"mesh-egress-open"), "{rules:?}");
    assert_eq!(ports.notifier.sent().len(), 1);
    assert_eq!(ports.bus.events().len(), 1);
    let counted: f64 = report.metrics.iter().filter(|metric| metric.name == "Findings").map(|m| m.value).sum();
    assert_eq!(format!("{counted}"), rules.len().to_string());

    ports.clock.advance(SignedDuration::from_hours(24));
    let report = sweep(&function).await.unwrap();
    assert_eq!(reasons(&report), ["Unchanged"]);
    assert_eq!((ports.notifier.sent().len(), ports.bus.events().len()), (1, 1), "no new finding");
    let again: Value = serde_json::from_slice(&ports.reports.stored()["compliance/mesh/shop/findings.json"]).unwrap();
    assert_eq!(again["findings"], found["findings"], "ids and dates stay");

    put(&ports, "mesh/shop", &json!({"egressFilter": {"type": "DROP_ALL"}}));
    ports.clock.advance(SignedDuration::from_hours(24));
    let report = sweep(&function).await.unwrap();
    assert_eq!(reasons(&report), ["Changed"]);
    let resolved = report.decisions[0].facts["resolved"].to_string();
    assert!(resolved.contains("mesh-egress-open on mesh/shop"), "{resolved}");
}

#[tokio::test(start_paused = true)]
async fn each_resource_and_each_list_costs_one_call() {
    let ports = shop();
    for n in 0..200 {
        put(&ports, &format!("mesh/shop/virtualNode/n{n}"), &json!({}));
    }
    let report = sweep(&function(&ports).await).await.unwrap();
    // In memory, a description and its tags are two calls; the survey counts the requests to a server.
    assert_eq!(report.decisions[0].facts["calls"], json!(4 + 203));
}
