//! An import with a fault at any call is completed by the same import.

use std::sync::atomic::Ordering;

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

#[tokio::test]
async fn import_with_a_fault_at_any_call_is_completed_by_a_second_run() {
    let folder = Folder::new();
    let before = read(&[&folder.file("before.json", BEFORE)], &[]).unwrap();
    let after = read(&[&folder.file("after.json", AFTER)], &[]).unwrap();
    let expected = declared(&after);
    let clean = ControlPlane::start().await;
    let clean = api_of(&clean).await;
    import(&clean, &before, &[]).await.unwrap();
    let counter = FaultyApi::new(&clean, 0, Fault::Throttled);
    let report = import(&counter, &after, &FLAGS).await.unwrap();
    assert_eq!(report.plan.steps.len(), 6, "{:#?}", report.plan);
    assert_eq!(state(&clean).await, expected);
    let calls = counter.calls.load(Ordering::SeqCst);
    // Each step is at least one write.
    assert!(calls > report.plan.steps.len(), "{calls}");
    for fault in Fault::ALL {
        for at in 1..=calls {
            let plane = ControlPlane::start().await;
            let api = api_of(&plane).await;
            import(&api, &before, &[]).await.unwrap();
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
            assert_eq!(state(&api).await, expected, "{fault:?} at {at}");
        }
    }
}
