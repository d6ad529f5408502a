//! The extent of each read of a mesh, and meshes that were deleted or cannot be read.

use change_audit::NAME;
use jiff::SignedDuration;
use mesh::name::{ResourceKind, ResourcePath};
use ports::StateKey;
use ports_memory::{Call, Effect, Failure, Fault};
use serde_json::{Value, json};

use super::shop::{RECS, ROUTE, Shop, node, sample};

#[tokio::test(start_paused = true)]
async fn deleted_mesh_and_new_mesh_are_reported() {
    let shop = Shop::open().await;
    let paths: Vec<ResourcePath> = [
        "mesh/shop",
        "mesh/shop/virtualNode/web",
        RECS,
        ROUTE,
        "mesh/shop/virtualRouter/recs",
        "mesh/shop/virtualService/recs.local",
    ]
    .iter()
    .map(|path| path.parse().unwrap())
    .collect();
    for path in &paths {
        shop.ports.mesh.remove(path);
    }
    let mut event = sample("cloudtrail-delete-virtual-node");
    event["detail"]["eventName"] = json!("DeleteMesh");
    event["detail"]["requestParameters"] = json!({ "meshName": "shop" });
    let found = shop.invoke_with(&event).await;
    assert_eq!(found.iter().filter(|reason| *reason == "Written").count(), 1, "{found:?}");
    assert_eq!(found.len(), paths.len(), "the children were deleted without an event: {found:?}");
    shop.ports.mesh.put_spec(&"mesh/shop".parse().unwrap(), &json!({})).unwrap();
    shop.ports.clock.advance(SignedDuration::from_mins(1));
    event["detail"]["eventTime"] = json!("2026-11-20T10:04:30Z");
    event["detail"]["eventName"] = json!("CreateMesh");
    event["detail"]["responseElements"] = json!({ "mesh": { "metadata": { "version": 1 } } });
    assert_eq!(shop.invoke_with(&event).await, ["Written"]);
}

/// An unreadable mesh is unknown: no resource counts as deleted, and the writers are stored until the mesh can be read.
#[tokio::test(start_paused = true)]
async fn writers_to_an_unreadable_mesh_are_stored() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    let before = shop.document();
    for healing in [true, false] {
        let failure = if healing { Failure::Unavailable } else { Failure::Denied };
        let describes = |call: &Call| call.name.starts_with("describe") && call.subject.contains("recs-v1");
        shop.ports.faults.whenever(describes, Fault::Fails(failure, Effect::NotDone));
        let answer = shop.invoke("cloudtrail-update-virtual-node").await;
        assert_eq!(answer.is_err(), healing, "a transient failure is retried: {answer:?}");
        shop.ports.faults.reset();
        assert_eq!(shop.document()["state"], before["state"], "the last state stays");
    }
    assert_eq!(shop.subjects(), ["change-audit: cannot access mesh/shop (PartlyRead): PartlyRead"], "it cannot pass");
    assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["Written"]);
    assert!(shop.ports.notifier.sent()[1].body.contains("deployer in role Deployer"));
    assert_eq!(shop.document()["waiting"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn large_mesh_is_stored_in_the_reports_store_or_reported_as_lost() {
    for reports in [true, false] {
        let shop = Shop { reports, ..Shop::new() };
        for n in 0..400 {
            let path = format!("mesh/shop/virtualNode/n{n}").parse().unwrap();
            shop.ports.mesh.put_spec(&path, &node(Some("STRICT"))).unwrap();
        }
        let first = shop.invoke("tick-rule").await.unwrap();
        let document = shop.document().to_string();
        assert!(document.len() < 2000, "{}", document.len());
        shop.ports.clock.advance(SignedDuration::from_mins(4));
        shop.edit(RECS, &node(None));
        let second = shop.invoke("cloudtrail-update-virtual-node").await.unwrap();
        if reports {
            assert_eq!((first, second), (vec!["FirstSight".to_owned()], vec!["Written".to_owned()]));
            assert_eq!(shop.ports.reports.stored().len(), 2, "each state under its own name");
            let name = shop.document()["state"]["name"].as_str().unwrap().to_owned();
            shop.ports.reports.remove(&name);
            assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["FirstSight", "LastStateLost"]);
            assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["Unchanged"]);
        } else {
            assert_eq!(first, ["FirstSight", "NowhereToKeep"]);
            assert_eq!(second, ["FirstSight", "LastStateLost", "NowhereToKeep"]);
        }
    }
}

/// Every resource kind is compared, each as its own kind.
#[tokio::test(start_paused = true)]
async fn every_resource_kind_is_compared() {
    let shop = Shop::open().await;
    let target = json!({ "target": { "virtualService": { "virtualServiceName": "recs.local" } } });
    for (path, spec) in [
        (
            "mesh/shop/virtualGateway/edge",
            json!({ "listeners": [{ "portMapping": { "port": 80, "protocol": "http" } }] }),
        ),
        (
            "mesh/shop/virtualGateway/edge/gatewayRoute/root",
            json!({ "httpRoute": { "match": { "prefix": "/" }, "action": target } }),
        ),
    ] {
        shop.ports.mesh.put_spec(&path.parse().unwrap(), &spec).unwrap();
    }
    assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["NoEvent", "NoEvent"]);
    let kinds: Vec<ResourceKind> = ResourceKind::ALL.into_iter().collect();
    let state = shop.document()["state"]["snapshot"]["resources"].clone();
    let seen = |kind: &ResourceKind| {
        state.as_object().unwrap().keys().any(|path| path.parse::<ResourcePath>().unwrap().kind() == *kind)
    };
    assert!(kinds.iter().all(seen), "{state}");
}

/// An event leads to a read of the named resources only; the scheduled run finds the other changes.
#[tokio::test(start_paused = true)]
async fn event_costs_the_reads_of_the_named_resource() {
    let shop = Shop::open().await;
    let read = |from: usize| {
        let calls = shop.ports.faults.calls().into_iter().skip(from);
        let read = |call: &Call| call.name.starts_with("describe") || call.name.starts_with("list");
        calls.filter(read).map(|call| format!("{} {}", call.name, call.subject)).collect::<Vec<_>>()
    };
    shop.edit(RECS, &node(None));
    shop.tag("mesh/shop/virtualNode/web", &[("owner", "web")]);
    let from = shop.ports.faults.calls().len();
    assert_eq!(shop.invoke("cloudtrail-update-virtual-node").await.unwrap(), ["Written"]);
    let calls = read(from);
    assert_eq!(calls.len(), 2, "the node and its tags: {calls:?}");
    assert!(calls.iter().all(|call| call.contains("recs-v1")), "{calls:?}");
    assert!(shop.ports.notifier.sent()[0].body.contains("Calls from web to recs-v1"), "judged with the rest");
    let from = shop.ports.faults.calls().len();
    assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["NoEvent"], "the tag without an event");
    assert!(read(from).len() > 8, "{:?}", read(from));
    assert_eq!(shop.document()["readAgain"], Value::Null, "all is of one time again");
}

/// A resource that was read alone has a newer read time: an earlier event does not explain a later change.
#[tokio::test(start_paused = true)]
async fn resource_read_alone_has_its_own_read_time() {
    let shop = Shop::open().await;
    let tagged = |at: &str, id: &str| {
        let mut event = sample("control-plane-tag-resource");
        event["detail"]["eventTime"] = json!(at);
        event["detail"]["eventID"] = json!(id);
        event
    };
    shop.tag(RECS, &[("owner", "recs")]);
    let first = tagged("2026-11-20T10:03:50Z", "t1");
    assert_eq!(shop.invoke_with(&first).await, ["Written"]);
    shop.ports.clock.advance(SignedDuration::from_mins(1));
    shop.tag(RECS, &[("owner", "others")]);
    // The first event again, before the event of the second tag.
    assert_eq!(shop.invoke_with(&first).await, ["NoEvent", "Unchanged"], "the first tag was reported before");
    shop.ports.clock.advance(SignedDuration::from_mins(1));
    assert_eq!(shop.invoke_with(&tagged("2026-11-20T10:05:00Z", "t2")).await, ["Attributed"]);
}

/// The whole mesh is read for many writes, for a created or deleted mesh, and if the last full read is too old.
#[tokio::test(start_paused = true)]
async fn conditions_for_a_full_read() {
    let many: Vec<Value> = ["web", "recs-v1", "a", "b"]
        .iter()
        .map(|name| {
            let mut event = sample("cloudtrail-update-virtual-node");
            event["detail"]["requestParameters"]["virtualNodeName"] = json!(name);
            event
        })
        .collect();
    let mut made = sample("cloudtrail-delete-virtual-node");
    made["detail"]["eventName"] = json!("CreateMesh");
    made["detail"]["requestParameters"] = json!({ "meshName": "shop" });
    let one = sample("cloudtrail-update-virtual-node");
    let table = [
        (vec![one.clone()], SignedDuration::ZERO, false),
        (vec![one], SignedDuration::from_hours(3), true),
        (many, SignedDuration::ZERO, true),
        (vec![made], SignedDuration::ZERO, true),
    ];
    for (events, later, whole) in table {
        let shop = Shop::open().await;
        shop.ports.clock.advance(later);
        let records = events.iter().enumerate().map(
            |(n, event)| json!({ "messageId": format!("m{n}"), "eventSource": "aws:sqs", "body": event.to_string() }),
        );
        let event = json!({ "Records": records.collect::<Vec<_>>() });
        let from = shop.ports.faults.calls().len();
        shop.answer(&event).await.unwrap();
        let calls: Vec<String> =
            shop.ports.faults.calls().into_iter().skip(from).map(|call| call.name.to_string()).collect();
        let is_listed = calls.iter().any(|call| call.starts_with("list") && !call.contains("tags"));
        assert_eq!(is_listed, whole, "{events:?} {later}: {calls:?}");
    }
}

/// A mesh that was deleted without an event is detected by the scheduled run, reported once, and removed from the roster.
#[tokio::test(start_paused = true)]
async fn mesh_deleted_without_an_event_is_detected() {
    let shop = Shop::open().await;
    let known = || shop.ports.state.stored(&StateKey::meshes(NAME)).unwrap().document["meshes"].clone();
    assert_eq!(known(), json!(["shop"]));
    let resources = shop.delete();
    let found = shop.invoke("tick-rule").await.unwrap();
    assert_eq!(found, vec!["NoEvent"; resources]);
    assert_eq!((known(), shop.ports.bus.events().len()), (json!([]), 1));
    assert!(shop.journal().await[0].to_string().contains("\"deleted\""), "{:?}", shop.journal().await[0]);
    shop.ports.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(shop.invoke("tick-rule").await.unwrap(), Vec::<String>::new(), "no mesh is left");
    // The event that arrives later names the operator.
    let mut event = sample("cloudtrail-delete-virtual-node");
    event["detail"]["eventName"] = json!("DeleteMesh");
    event["detail"]["requestParameters"] = json!({ "meshName": "shop" });
    assert_eq!(shop.invoke_with(&event).await, ["Attributed"]);
    // A new mesh of the same name is detected again after its deletion.
    shop.ports.mesh.put_spec(&"mesh/shop".parse().unwrap(), &json!({})).unwrap();
    shop.ports.clock.advance(SignedDuration::from_mins(1));
    event["detail"]["eventName"] = json!("CreateMesh");
    event["detail"]["eventTime"] = json!("2026-11-20T11:04:30Z");
    event["detail"]["responseElements"] = json!({ "mesh": { "metadata": { "version": 1 } } });
    assert_eq!(shop.invoke_with(&event).await, ["Written"]);
    assert_eq!(known(), json!(["shop"]));
    shop.ports.mesh.remove(&"mesh/shop".parse().unwrap());
    assert_eq!(shop.invoke("tick-rule").await.unwrap(), ["NoEvent"]);
    assert_eq!(known(), json!([]));
}
