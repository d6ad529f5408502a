//! The findings that Security Hub receives.

use jiff::SignedDuration;
use ports_memory::{Call, Effect, Failure, Fault};
use serde_json::json;

use super::shop::{found, function, put, reasons, rules, shop, sweep};

#[tokio::test(start_paused = true)]
async fn findings_are_imported_updated_and_archived_under_one_id() {
    let ports = shop();
    let function = function(&ports).await;
    let report = sweep(&function).await.unwrap();
    let hub = ports.security_hub.findings();
    assert_eq!(hub.len(), rules(&ports).len());
    assert!(hub.values().all(|finding| finding["RecordState"] == "ACTIVE"));
    assert_eq!(report.decisions[0].facts["securityHub"]["taken"], json!(hub.len()));
    let open = found(&ports).iter().find(|one| one["rule"] == "mesh-egress-open").unwrap()["id"].clone();
    let id = format!("meshwarden/eu-west-1/123456789012/{}", open.as_str().unwrap());
    let first = hub.get(&id).unwrap_or_else(|| panic!("{id} in {:?}", hub.keys())).clone();

    ports.clock.advance(SignedDuration::from_hours(6));
    sweep(&function).await.unwrap();
    let again = &ports.security_hub.findings()[&id];
    assert_eq!(again["CreatedAt"], first["CreatedAt"]);
    assert_ne!(again["UpdatedAt"], first["UpdatedAt"]);

    put(&ports, "mesh/shop", &json!({"egressFilter": {"type": "DROP_ALL"}}));
    ports.clock.advance(SignedDuration::from_hours(6));
    sweep(&function).await.unwrap();
    let hub = ports.security_hub.findings();
    assert_eq!((&hub[&id]["RecordState"], &hub[&id]["Compliance"]["Status"]), (&json!("ARCHIVED"), &json!("PASSED")));
    assert_eq!(hub.values().filter(|finding| finding["RecordState"] == "ACTIVE").count(), rules(&ports).len());
}

#[tokio::test(start_paused = true)]
async fn refused_findings_are_reported_and_the_others_are_imported() {
    let ports = shop();
    let function = function(&ports).await;
    sweep(&function).await.unwrap();
    let (id, _) = ports.security_hub.findings().pop_first().unwrap();
    ports.security_hub.refuse(&id);
    ports.clock.advance(SignedDuration::from_hours(6));
    let report = sweep(&function).await.unwrap();
    let import = &report.decisions[0].facts["securityHub"];
    assert_eq!(import["refusedCount"], 1);
    assert!(import["refused"][0].as_str().unwrap().starts_with(&id), "{import}");
}

#[tokio::test(start_paused = true)]
async fn denied_import_is_reported_and_failed_import_is_repeated() {
    let importing = |call: &Call| call.name == "import findings";
    let ports = shop();
    let function = function(&ports).await;
    ports.faults.whenever(importing, Fault::Fails(Failure::Denied, Effect::NotDone));
    let report = sweep(&function).await.unwrap();
    assert_eq!(reasons(&report), ["NotImported", "Changed"]);
    ports.faults.reset();

    put(&ports, "mesh/shop", &json!({"egressFilter": {"type": "DROP_ALL"}}));
    ports.clock.advance(SignedDuration::from_hours(6));
    ports.faults.once(importing, Fault::Fails(Failure::Unavailable, Effect::NotDone));
    let retry = sweep(&function).await.unwrap_err();
    assert_eq!(reasons(&retry.report.unwrap()), ["NotImported"]);
    let report = sweep(&function).await.unwrap();
    assert_eq!(reasons(&report), ["Changed"], "the retry reports the changes");
    let active = ports.security_hub.findings().into_values().filter(|finding| finding["RecordState"] == "ACTIVE");
    assert_eq!(active.count(), rules(&ports).len());
}
