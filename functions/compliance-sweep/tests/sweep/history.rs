//! The findings of a large mesh, over several sweeps.

use std::collections::BTreeSet;

use compliance_sweep::NAME;
use jiff::SignedDuration;
use ports::StateKey;
use ports_memory::{Fault, MemoryPorts};
use serde_json::{Value, json};

use super::shop::{found, function, morning, put, reasons, remembered, shop, sweep, sweep_at};

/// A mesh with this number of nodes. The listeners of each node have about fifty findings.
fn crowd(nodes: usize) -> MemoryPorts {
    let ports = shop();
    let listener = |port: u16| json!({"portMapping": {"port": 8000 + port, "protocol": "http"}});
    let spec = json!({"listeners": (0..15).map(listener).collect::<Vec<_>>()});
    for n in 0..nodes {
        put(&ports, &format!("mesh/shop/virtualNode/a-node-with-a-name-of-usual-length-{n}"), &spec);
    }
    ports
}

/// The documents of the mesh, the head first.
fn documents(ports: &MemoryPorts, split: usize) -> Vec<Value> {
    let mesh = "shop".parse().unwrap();
    let keys = (0..split).map(|part| StateKey::part_of_mesh(NAME, &mesh, part, split));
    let stored = keys.filter_map(|key| ports.state.stored(&key)).map(|stored| stored.document);
    std::iter::once(remembered(ports)).chain(stored).collect()
}

fn ids(ports: &MemoryPorts) -> BTreeSet<String> {
    found(ports).iter().map(|finding| finding["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn many_findings_are_reported_and_stored_within_bounds() {
    let ports = crowd(25);
    let function = function(&ports).await;
    let report = sweep(&function).await.unwrap();
    assert_eq!(reasons(&report), ["Changed"]);
    let count = ids(&ports).len();
    let all = documents(&ports, 16);
    assert_eq!((all.len(), &all[0]["parts"], &all[0]["findings"]), (17, &json!(16), &Value::Null));
    let event = &ports.bus.events()[0].detail;
    assert!(event.to_string().len() < 256_000);
    assert_eq!((&event["newCount"], event["new"].as_array().unwrap().len()), (&json!(count), 200));

    ports.clock.advance(SignedDuration::from_hours(6));
    let calls = ports.faults.calls().len();
    let report = sweep(&function).await.unwrap();
    assert_eq!(reasons(&report), ["Unchanged"]);
    let noted = ports.faults.calls().into_iter().skip(calls).filter(|call| call.name == "note").count();
    assert_eq!(noted, 1, "parts that say the same are not written again");
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_mesh_that_shrinks_are_removed() {
    let ports = crowd(25);
    let function = function(&ports).await;
    sweep(&function).await.unwrap();
    let count = ids(&ports).len();
    assert_eq!(documents(&ports, 16).len(), 17);
    for n in 0..24 {
        let path = format!("mesh/shop/virtualNode/a-node-with-a-name-of-usual-length-{n}");
        ports.mesh.remove(&path.parse().unwrap());
    }
    ports.clock.advance(SignedDuration::from_hours(6));
    let report = sweep(&function).await.unwrap();
    assert_eq!(report.decisions[0].facts["resolvedCount"], count - ids(&ports).len());
    assert_eq!(remembered(&ports)["findings"].as_object().unwrap().len(), ids(&ports).len());
}

/// A run is killed at every call to the state table, with parts from an earlier sweep: no finding is lost, and the next
/// sweep reports no old finding as new.
#[tokio::test(start_paused = true)]
async fn killed_between_two_parts() {
    let calls = {
        let ports = crowd(25);
        let function = function(&ports).await;
        sweep(&function).await.unwrap();
        let all = ports.faults.calls();
        all.iter().filter(|call| call.name == "note").map(|call| call.number).collect::<Vec<_>>()
    };
    assert!(calls.len() > 16, "{calls:?}");
    // Only some of the parts are written at this point.
    for call in [calls[7]] {
        for fault in Fault::crashes() {
            let ports = crowd(25);
            let dying = function(&ports).await;
            ports.faults.at(call, fault.clone());
            assert!(ports.faults.run(sweep_at(&dying, morning())).await.is_none(), "{fault:?} at {call}");
            ports.clock.advance(SignedDuration::from_mins(1));
            sweep_at(&function(&ports).await, morning()).await.unwrap();
            let kept: usize = documents(&ports, 16)
                .iter()
                .filter_map(|document| document["findings"].as_object())
                .map(serde_json::Map::len)
                .sum();
            assert_eq!(kept, ids(&ports).len(), "{fault:?} at {call}");
            ports.clock.advance(SignedDuration::from_hours(6));
            let report = sweep(&function(&ports).await).await.unwrap();
            assert_eq!(reasons(&report), ["Unchanged"], "{fault:?} at {call}");
        }
    }
}
