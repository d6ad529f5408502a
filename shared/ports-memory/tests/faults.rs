//! Faults of the in-memory ports occur once, and on the correct side of the effect.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures::future::join;
use jiff::SignedDuration;
use mesh::name::{ResourcePath, RouteId};
use ports::{Clock, MeshReader, Notice, Notifier, PortErrorKind, RouteWrite, RouteWriter, Urgency, Written};
use ports_memory::{Effect, Failure, Fault, Gate, MemoryMesh, MemoryPorts};
use serde_json::json;

fn id() -> RouteId {
    "shop/recs/all".parse().unwrap()
}

fn route_path() -> ResourcePath {
    ResourcePath::Route(id())
}

fn ports() -> MemoryPorts {
    let ports = MemoryPorts::at("2026-11-20T10:00:00Z".parse().unwrap());
    let spec = json!({ "tcpRoute": { "action": { "weightedTargets": [
        { "virtualNode": "v1", "weight": 1 }, { "virtualNode": "v2", "weight": 1 },
    ] } } });
    ports.mesh.put_spec(&"mesh/shop".parse().unwrap(), &json!({})).unwrap();
    for node in ["mesh/shop/virtualNode/v1", "mesh/shop/virtualNode/v2"] {
        ports.mesh.put_spec(&node.parse().unwrap(), &json!({})).unwrap();
    }
    ports.mesh.put_spec(&route_path(), &spec).unwrap();
    ports
}

fn write(ports: &MemoryPorts, if_version: u64) -> RouteWrite {
    let spec = ports.mesh.route(&id()).unwrap().spec;
    RouteWrite { route: id(), mesh_owner: None, spec, if_version, client_token: format!("t-{if_version}") }
}

fn version(mesh: &MemoryMesh) -> i64 {
    mesh.route(&id()).unwrap().metadata.version.get()
}

fn notice() -> Notice {
    Notice { urgency: Urgency::Note, subject: "s".into(), body: "b".into() }
}

#[tokio::test]
async fn every_call_of_every_port_is_counted_and_named() {
    let ports = ports();
    ports.mesh.describe(&route_path()).await.unwrap();
    ports.mesh.update_route(&write(&ports, 1)).await.unwrap();
    ports.notifier.notify(&notice()).await.unwrap();
    let calls = ports.faults.calls();
    let texts: Vec<_> = calls.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["describe mesh/shop/virtualRouter/recs/route/all", "update route shop/recs/all", "notify s"]);
    assert_eq!(calls.iter().map(|call| call.number).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(calls.iter().map(|call| call.writes).collect::<Vec<_>>(), [false, true, true]);
}

#[tokio::test]
async fn failure_occurs_once_before_or_after_the_effect() {
    for (failure, kind) in [
        (Failure::Throttled, PortErrorKind::Throttled),
        (Failure::TimedOut, PortErrorKind::TimedOut),
        (Failure::Unavailable, PortErrorKind::Unavailable),
        (Failure::ConnectionReset, PortErrorKind::Unavailable),
    ] {
        for (effect, expected) in [(Effect::NotDone, 1), (Effect::Done, 2)] {
            let ports = ports();
            ports.faults.at(0, Fault::Fails(failure, effect));
            let write = write(&ports, 1);
            let error = ports.mesh.update_route(&write).await.unwrap_err();
            assert_eq!((error.kind, version(&ports.mesh)), (kind, expected), "{failure:?} {effect:?}");
            // The repeated write is made, but only once.
            assert_eq!(ports.mesh.update_route(&write).await.unwrap(), Written::Applied { version: 2 });
            assert_eq!(ports.mesh.updates().len(), 1);
        }
    }
}

#[tokio::test]
async fn stale_read_misses_only_the_last_write() {
    let ports = ports();
    ports.mesh.update_route(&write(&ports, 1)).await.unwrap();
    ports.mesh.update_route(&write(&ports, 2)).await.unwrap();
    // A write without a change cannot be missed.
    assert_eq!(ports.mesh.update_route(&write(&ports, 1)).await.unwrap(), Written::Applied { version: 2 });
    ports.faults.once(|call| call.name == "describe", Fault::StaleRead);
    let seen = |resource: mesh::resource::Resource| resource.metadata().version.get();
    assert_eq!(seen(ports.mesh.describe(&route_path()).await.unwrap()), 2);
    assert_eq!(seen(ports.mesh.describe(&route_path()).await.unwrap()), 3);
}

#[tokio::test]
async fn crash_kills_the_process_and_not_the_next_one() {
    for (fault, expected) in Fault::crashes().into_iter().zip([1, 2]) {
        let ports = ports();
        ports.faults.at(1, fault);
        let process = async {
            ports.mesh.describe(&route_path()).await.unwrap();
            let write = write(&ports, 1);
            // Calls in progress at the same time make no further changes.
            let (written, published) = join(ports.mesh.update_route(&write), async {
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
                ports.notifier.notify(&notice()).await
            })
            .await;
            (written.is_ok(), published.is_ok())
        };
        assert_eq!(ports.faults.run(process).await, None);
        assert_eq!((version(&ports.mesh), ports.notifier.sent()), (expected, vec![]));
        let again = ports.faults.run(ports.mesh.describe(&route_path())).await.unwrap();
        assert_eq!(again.unwrap().metadata().version.get(), expected);
    }
}

#[tokio::test]
async fn gate_lets_other_calls_happen_in_between() {
    let ports = ports();
    let gate = Gate::default();
    ports.faults.once(|call| call.writes, Fault::Waits(gate.clone()));
    let write = write(&ports, 1);
    let (written, ()) = join(ports.mesh.update_route(&write), async {
        gate.reached().await;
        ports.mesh.edit(&id(), write.spec.clone());
        gate.open();
    })
    .await;
    assert_eq!(written.unwrap(), Written::Superseded);
}

#[tokio::test]
async fn whenever_applies_until_reset() {
    let ports = ports();
    ports.faults.whenever(|call| call.name == "notify", Fault::Fails(Failure::Throttled, Effect::NotDone));
    for _ in 0..2 {
        assert!(ports.notifier.notify(&notice()).await.is_err());
        assert!(ports.mesh.describe(&route_path()).await.is_ok());
    }
    ports.faults.reset();
    assert!(ports.notifier.notify(&notice()).await.is_ok());
    assert_eq!(ports.faults.calls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn latency_takes_virtual_time_once_for_concurrent_calls() {
    let ports = ports();
    ports.faults.set_latency(Duration::from_millis(20));
    let began = tokio::time::Instant::now();
    let path = route_path();
    let (one, other) = join(ports.mesh.describe(&path), ports.mesh.meshes()).await;
    assert!(one.is_ok() && other.is_ok());
    ports.notifier.notify(&notice()).await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(40));
}

#[tokio::test]
async fn server_without_version_check_overwrites() {
    let ports = ports();
    ports.mesh.ignore_versions();
    ports.mesh.edit(&id(), ports.mesh.route(&id()).unwrap().spec);
    assert_eq!(ports.mesh.update_route(&write(&ports, 1)).await.unwrap(), Written::Overwrote { version: 3 });
    assert_eq!(ports.mesh.update_route(&write(&ports, 3)).await.unwrap(), Written::Applied { version: 4 });
}

#[test]
fn clock_moves_only_when_set() {
    let ports = ports();
    ports.clock.advance(SignedDuration::from_secs(90));
    assert_eq!(ports.clock.now(), "2026-11-20T10:01:30Z".parse().unwrap());
    assert_eq!(ports.mesh.updates()[..], []);
}
