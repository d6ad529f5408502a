//! Deleted meshes and their findings.

use compliance_sweep::{FanOut, NAME};
use jiff::SignedDuration;
use policy::BUILT_IN;
use ports::{Deadline, StateKey};
use ports_memory::{Effect, Failure, Fault, MemoryPorts};
use runner::{Handler as _, events};
use serde_json::{Value, json};

use super::shop::{function, function_by, put, reasons, remembered, shop, sweep};

fn delete(ports: &MemoryPorts) {
    for path in ["mesh/shop/virtualService/web.local", "mesh/shop/virtualNode/web", "mesh/shop"] {
        ports.mesh.remove(&path.parse().unwrap());
    }
    ports.clock.advance(SignedDuration::from_hours(6));
}

fn known(ports: &MemoryPorts) -> Value {
    ports.state.stored(&StateKey::meshes(NAME)).unwrap().document["meshes"].clone()
}

fn active(ports: &MemoryPorts) -> usize {
    ports.security_hub.findings().values().filter(|finding| finding["RecordState"] == "ACTIVE").count()
}

#[tokio::test(start_paused = true)]
async fn findings_of_a_deleted_mesh_are_archived_and_reported_once() {
    let ports = shop();
    put(&ports, "mesh/depot", &json!({}));
    let function = function(&ports).await;
    sweep(&function).await.unwrap();
    let (before, notices) = (remembered(&ports)["findings"].as_object().unwrap().len(), ports.notifier.sent().len());
    let of_depot = active(&ports) - before;
    delete(&ports);
    let report = sweep(&function).await.unwrap();
    let line = report.decisions.iter().find(|line| line.resource == "mesh/shop").unwrap();
    assert_eq!((line.decision.as_str(), line.reason.as_str()), ("sweep", "Gone"));
    assert_eq!((&line.facts["resolvedCount"], &line.facts["newCount"]), (&json!(before), &json!(0)));
    assert_eq!(active(&ports), of_depot, "nothing of the mesh that is gone stays open");
    let mut archived = ports.security_hub.findings();
    archived.retain(|_, one| one["RecordState"] == "ARCHIVED");
    assert!(archived.values().all(|one| one["Compliance"]["Status"] == "PASSED"));
    assert_eq!(archived.len(), before);
    let notice = ports.notifier.sent().pop().unwrap();
    assert!(notice.body.starts_with("Mesh shop was deleted"), "{}", notice.body);
    assert_eq!(remembered(&ports)["findings"], json!({}));
    assert_eq!(known(&ports), json!(["depot"]));
    let page = ports.reports.stored()["compliance/mesh/shop/findings.json"].clone();
    let page: Value = serde_json::from_slice(&page).unwrap();
    assert_eq!(page["findings"], json!([]), "the report says so, too");

    ports.clock.advance(SignedDuration::from_hours(6));
    let report = sweep(&function).await.unwrap();
    assert_eq!(reasons(&report), ["Unchanged"], "it is forgotten");
    assert_eq!(ports.notifier.sent().len(), notices + 1);

    // A new mesh of the same name has new findings.
    put(&ports, "mesh/shop", &json!({"egressFilter": {"type": "ALLOW_ALL"}}));
    ports.clock.advance(SignedDuration::from_hours(6));
    assert_eq!(reasons(&sweep(&function).await.unwrap()), ["Unchanged", "Changed"]);
    assert_eq!(active(&ports), of_depot + remembered(&ports)["findings"].as_object().unwrap().len());
}

#[tokio::test(start_paused = true)]
async fn by_queue_a_deleted_mesh_is_requested_like_the_others() {
    let ports = shop();
    let function = function_by(&ports, BUILT_IN, FanOut::ByQueue).await;
    let serve = async |detail: Value, id: &str| {
        let event =
            json!({"id": id, "detail-type": "Meshwarden Sweep Requested", "source": "meshwarden", "detail": detail});
        let deadline = Deadline::after(std::time::Duration::from_mins(1));
        let report = function.handle(events::parse(&event), deadline).await.unwrap();
        report.decisions[0].reason.clone()
    };
    // A message requests it by its name, before any scheduled run: from then on it is in the roster.
    assert_eq!(serve(json!({"mesh": "shop"}), "e1").await, "Changed");
    assert_eq!(known(&ports), json!(["shop"]));
    delete(&ports);
    assert_eq!(reasons(&sweep(&function).await.unwrap()), ["AskedFor"]);
    let detail = ports.bus.events().pop().unwrap().detail;
    assert_eq!(serve(detail, "e2").await, "Gone");
    assert_eq!((active(&ports), known(&ports)), (0, json!([])));
    assert_eq!(serve(json!({"mesh": "shop"}), "e3").await, "Gone", "and nothing more is to be done");
    assert_eq!(serve(json!({"mesh": "never"}), "e4").await, "Gone");
    assert_eq!(known(&ports), json!([]));
}

/// Despite failures, the findings are resolved in the end, and an unreadable mesh does not count as deleted.
#[tokio::test(start_paused = true)]
async fn kills_and_faults_while_findings_are_archived() {
    let calls = {
        let ports = shop();
        let function = function(&ports).await;
        sweep(&function).await.unwrap();
        delete(&ports);
        let before = ports.faults.calls().len();
        sweep(&function).await.unwrap();
        before..ports.faults.calls().len()
    };
    assert!(calls.len() > 8, "{calls:?}");
    for call in calls {
        for fault in Fault::crashes().into_iter().chain(Fault::every()) {
            let ports = shop();
            let first = function(&ports).await;
            sweep(&first).await.unwrap();
            delete(&ports);
            ports.faults.at(call, fault.clone());
            drop(ports.faults.run(sweep(&function(&ports).await)).await);
            ports.clock.advance(SignedDuration::from_hours(6));
            sweep(&function(&ports).await).await.unwrap();
            ports.clock.advance(SignedDuration::from_hours(6));
            sweep(&function(&ports).await).await.unwrap();
            assert_eq!(active(&ports), 0, "{fault:?} at {call}");
            assert_eq!(known(&ports), json!([]), "{fault:?} at {call}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_mesh_is_not_deleted() {
    for failure in [Failure::Denied, Failure::Unavailable] {
        let ports = shop();
        let function = function(&ports).await;
        sweep(&function).await.unwrap();
        let before = active(&ports);
        ports.faults.whenever(|call| call.subject.contains("shop"), Fault::Fails(failure, Effect::NotDone));
        ports.clock.advance(SignedDuration::from_hours(6));
        drop(sweep(&function).await);
        ports.faults.reset();
        assert_eq!((active(&ports), known(&ports)), (before, json!(["shop"])), "{failure:?}");
    }
}
