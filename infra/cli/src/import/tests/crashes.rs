//! An import with a fault at any call is completed by the same import.

use std::sync::atomic::Ordering;

use imports::InputOptions;
use readers::Surroundings;

use super::faulty_api::{Fault, FaultyApi};
use super::*;

/// The first state.
const BEFORE: &str = r#"{"resources": [
  {"meshName": "shop", "spec": {}},
  {"meshName": "shop", "virtualNodeName": "old", "spec": {}},
  {"meshName": "shop", "virtualNodeName": "a", "tags": [{"key": "team", "value": "web"}, {"key": "tier", "value": "1"}],
   "spec": {"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
            "serviceDiscovery": {"dns": {"hostname": "a.internal"}}}},
  {"meshName": "shop", "virtualRouterName": "r", "spec": {"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]}},
  {"meshName": "shop", "virtualRouterName": "r", "routeName": "all", "spec": {"httpRoute": {"match": {"prefix": "/"},
   "action": {"weightedTargets": [{"virtualNode": "a", "weight": 1}]}}}}
]}"#;

/// The second state: two creations, two updates that depend on each other, changed tags and a deletion.
const AFTER: &str = r#"{"resources": [
  {"meshName": "shop", "spec": {}},
  {"meshName": "shop", "virtualNodeName": "a", "tags": [{"key": "team", "value": "edge"}],
   "spec": {"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}},
                          {"portMapping": {"port": 9090, "protocol": "http"}}],
            "serviceDiscovery": {"dns": {"hostname": "a.internal"}}}},
  {"meshName": "shop", "virtualRouterName": "r", "spec": {"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]}},
  {"meshName": "shop", "virtualRouterName": "r", "routeName": "all", "spec": {"httpRoute": {"match": {"prefix": "/"},
   "action": {"weightedTargets": [{"virtualNode": "a", "weight": 1, "port": 8080}]}}}},
  {"meshName": "shop", "virtualServiceName": "a.local", "spec": {"provider": {"virtualRouter": {"virtualRouterName": "r"}}}},
  {"meshName": "shop", "virtualGatewayName": "edge", "tags": [{"key": "team", "value": "edge"}],
   "spec": {"listeners": [{"portMapping": {"port": 8088, "protocol": "http"}}]}}
]}"#;

const FLAGS: [&str; 3] = ["--prune", "--yes", "--allow-cuts"];

/// The resources of a text, in another mesh.
fn in_mesh(text: &str, mesh: &str) -> Desired {
    let text = text.replace("\"shop\"", &format!("\"{mesh}\""));
    let reading = readers::read(&text, "mesh.json", &Surroundings::default()).unwrap();
    Desired::from_reading(&reading, &InputOptions::default()).unwrap()
}

/// The specs and tags of a mesh that an API holds.
async fn state_of(api: &dyn MeshApi, mesh: &str) -> BTreeMap<ResourcePath, (Spec, Tags)> {
    let held = held(api, &[mesh.parse().unwrap()].into()).await.unwrap();
    held.into_iter().map(|(path, one)| (path, (comparable(&one.spec), one.tags))).collect()
}

#[tokio::test]
async fn import_with_a_fault_at_a_write_is_completed_by_a_second_run() {
    for fault in [Fault::Throttled, Fault::LostAnswer, Fault::KilledBefore, Fault::KilledAfter] {
        second_run_completes(fault, false).await;
    }
}

#[tokio::test]
#[ignore = "long: two imports for each of 30 calls and two faults"]
async fn import_with_a_failed_call_is_completed_by_a_second_run() {
    for fault in [Fault::Throttled, Fault::LostAnswer] {
        second_run_completes(fault, true).await;
    }
}

#[tokio::test]
#[ignore = "long: two imports for each of 30 calls and two faults"]
async fn import_killed_at_any_call_is_completed_by_a_second_run() {
    for fault in [Fault::KilledBefore, Fault::KilledAfter] {
        second_run_completes(fault, true).await;
    }
}

/// Imports with the fault at each write, and at each other call if requested. All cases share a control plane, each in its own mesh.
async fn second_run_completes(fault: Fault, at_reads: bool) {
    let plane = ControlPlane::start().await;
    let api = api_of(&plane).await;
    import(&api, &in_mesh(BEFORE, "clean"), &[]).await.unwrap();
    let counter = FaultyApi::new(&api, 0, fault);
    let after = in_mesh(AFTER, "clean");
    let report = import(&counter, &after, &FLAGS).await.unwrap();
    assert_eq!(report.plan.steps.len(), 6, "{:#?}", report.plan);
    assert_eq!(state_of(&api, "clean").await, declared(&after));
    let calls = counter.calls.load(Ordering::SeqCst);
    let writes = counter.writes.lock().unwrap().clone();
    // A change of tags adds some and removes others.
    assert_eq!(writes.len(), report.plan.steps.len() + 1, "{writes:?}");
    let at_calls = if at_reads { (1..=calls).collect() } else { writes };
    for at in at_calls {
        let name = format!("mesh-{at}");
        let after = in_mesh(AFTER, &name);
        import(&api, &in_mesh(BEFORE, &name), &[]).await.unwrap();
        let faulty = FaultyApi::new(&api, at, fault);
        let first = tokio::select! {
            first = import(&faulty, &after, &FLAGS) => Some(first),
            () = faulty.killed.notified() => None,
        };
        if let Some(Ok(ImportReport { execution: Some(execution), continue_with, .. })) = &first {
            assert_eq!(execution.failure.is_some(), continue_with.is_some(), "{fault:?} at {at}");
        }
        let second = import(&api, &after, &FLAGS).await.unwrap_or_else(|error| panic!("{fault:?} at {at}: {error}"));
        let failure = second.execution.and_then(|execution| execution.failure);
        assert_eq!(failure, None, "{fault:?} at {at}");
        assert_eq!(state_of(&api, &name).await, declared(&after), "{fault:?} at {at}");
    }
}
