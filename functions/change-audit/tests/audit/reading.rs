//! What is read of a mesh, when, and what becomes of one that is gone or can't be read.

use change_audit::NAME;
use jiff::SignedDuration;
use mesh::name::{ResourceKind, ResourcePath};
use ports::StateKey;
use ports::memory::{Call, Effect, Failure, Fault};
use serde_json::{Value, json};

use super::world::{RECS, ROUTE, Shop, node, sample};

#[tokio::test(start_paused = true)]
async fn a_mesh_that_is_deleted_and_one_that_is_new() {
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
    let told = shop.wake_with(&event).await;
    assert_eq!(told.iter().filter(|reason| *reason == "Written").count(), 1, "{told:?}");
    assert_eq!(told.len(), paths.len(), "everything in it went without an event: {told:?}");
    shop.ports.mesh.put_spec(&"mesh/shop".parse().unwrap(), &json!({})).unwrap();
    shop.ports.clock.advance(SignedDuration::from_mins(1));
    event["detail"]["eventTime"] = json!("2026-11-20T10:04:30Z");
    event["detail"]["eventName"] = json!("CreateMesh");
    event["detail"]["responseElements"] = json!({ "mesh": { "metadata": { "version": 1 } } });
    assert_eq!(shop.wake_with(&event).await, ["Written"]);
}

/// A mesh that can't be read is not known: nothing is said to be deleted, and who wrote is known when it can be.
#[tokio::test(start_paused = true)]
async fn a_mesh_that_may_not_be_read_keeps_who_wrote() {
    let shop = Shop::open().await;
    shop.edit(RECS, &node(None));
    let before = shop.document();
    for healing in [true, false] {
        let failure = if healing { Failure::Unavailable } else { Failure::Denied };
        let describes = |call: &Call| call.name.starts_with("describe") && call.subject.contains("recs-v1");
        shop.ports.faults.whenever(describes, Fault::Fails(failure, Effect::NotDone));
        let answer = shop.wake("cloudtrail-update-virtual-node").await;
        assert_eq!(answer.is_err(), healing, "what may heal comes again: {answer:?}");
        shop.ports.faults.reset();
        assert_eq!(shop.document()["state"], before["state"], "the last state stays");
    }
    assert_eq!(shop.subjects(), ["change-audit: cannot access mesh/shop (PartlyRead): PartlyRead"], "it cannot pass");
    assert_eq!(shop.wake("tick-rule").await.unwrap(), ["Written"]);
    assert!(shop.ports.notifier.sent()[1].body.contains("deployer in role Deployer"));
    assert_eq!(shop.document()["waiting"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_large_mesh_is_kept_among_the_reports_or_said_to_be_nowhere() {
    for reports in [true, false] {
        let shop = Shop { reports, ..Shop::new() };
        for n in 0..400 {
            let path = format!("mesh/shop/virtualNode/n{n}").parse().unwrap();
            shop.ports.mesh.put_spec(&path, &node(Some("STRICT"))).unwrap();
        }
        let first = shop.wake("tick-rule").await.unwrap();
        let document = shop.document().to_string();
        assert!(document.len() < 2000, "{}", document.len());
        shop.ports.clock.advance(SignedDuration::from_mins(4));
        shop.edit(RECS, &node(None));
        let second = shop.wake("cloudtrail-update-virtual-node").await.unwrap();
        if reports {
            assert_eq!((first, second), (vec!["FirstSight".to_owned()], vec!["Written".to_owned()]));
            assert_eq!(shop.ports.reports.stored().len(), 2, "each state under its own name");
            let name = shop.document()["state"]["name"].as_str().unwrap().to_owned();
            shop.ports.reports.remove(&name);
            assert_eq!(shop.wake("tick-rule").await.unwrap(), ["FirstSight", "LastStateLost"]);
            assert_eq!(shop.wake("tick-rule").await.unwrap(), ["Unchanged"]);
        } else {
            assert_eq!(first, ["FirstSight", "NowhereToKeep"]);
            assert_eq!(second, ["FirstSight", "LastStateLost", "NowhereToKeep"]);
        }
    }
}

/// Every kind is compared, and none is taken for another.
#[tokio::test(start_paused = true)]
async fn all_kinds_are_known() {
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
    assert_eq!(shop.wake("tick-rule").await.unwrap(), ["NoEvent", "NoEvent"]);
    let kinds: Vec<ResourceKind> = ResourceKind::ALL.into_iter().collect();
    let state = shop.document()["state"]["snapshot"]["resources"].clone();
    let seen = |kind: &ResourceKind| {
        state.as_object().unwrap().keys().any(|path| path.parse::<ResourcePath>().unwrap().kind() == *kind)
    };
    assert!(kinds.iter().all(seen), "{state}");
}

/// Only what events name is read; what nobody told of waits for the schedule.
#[tokio::test(start_paused = true)]
async fn an_event_costs_the_reading_of_what_it_names() {
    let shop = Shop::open().await;
    let read = |from: usize| {
        let calls = shop.ports.faults.calls().into_iter().skip(from);
        let read = |call: &Call| call.name.starts_with("describe") || call.name.starts_with("list");
        calls.filter(read).map(|call| format!("{} {}", call.name, call.subject)).collect::<Vec<_>>()
    };
    shop.edit(RECS, &node(None));
    shop.tag("mesh/shop/virtualNode/web", &[("owner", "web")]);
    let from = shop.ports.faults.calls().len();
    assert_eq!(shop.wake("cloudtrail-update-virtual-node").await.unwrap(), ["Written"]);
    let calls = read(from);
    assert_eq!(calls.len(), 2, "the node and its tags: {calls:?}");
    assert!(calls.iter().all(|call| call.contains("recs-v1")), "{calls:?}");
    assert!(shop.ports.notifier.sent()[0].body.contains("Calls from web to recs-v1"), "judged with the rest");
    let from = shop.ports.faults.calls().len();
    assert_eq!(shop.wake("tick-rule").await.unwrap(), ["NoEvent"], "the tag that nobody told of");
    assert!(read(from).len() > 8, "{:?}", read(from));
    assert_eq!(shop.document()["readAgain"], Value::Null, "all is of one time again");
}

/// What was read by itself is known to be newer: an event of before is not taken for what happened after.
#[tokio::test(start_paused = true)]
async fn what_was_read_by_itself_has_its_own_time() {
    let shop = Shop::open().await;
    let tagged = |at: &str, id: &str| {
        let mut event = sample("control-plane-tag-resource");
        event["detail"]["eventTime"] = json!(at);
        event["detail"]["eventID"] = json!(id);
        event
    };
    shop.tag(RECS, &[("owner", "recs")]);
    let first = tagged("2026-11-20T10:03:50Z", "t1");
    assert_eq!(shop.wake_with(&first).await, ["Written"]);
    shop.ports.clock.advance(SignedDuration::from_mins(1));
    shop.tag(RECS, &[("owner", "others")]);
    // The first event once more, and of the second tag none yet.
    assert_eq!(shop.wake_with(&first).await, ["NoEvent", "Unchanged"], "it was told before");
    shop.ports.clock.advance(SignedDuration::from_mins(1));
    assert_eq!(shop.wake_with(&tagged("2026-11-20T10:05:00Z", "t2")).await, ["Attributed"]);
}

/// Many at once, a mesh that is made or deleted, and one that the schedule did not come to, are read whole.
#[tokio::test(start_paused = true)]
async fn when_a_mesh_is_read_whole() {
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

/// A mesh that nobody tells of any more is missed by the schedule, told once, and then forgotten.
#[tokio::test(start_paused = true)]
async fn a_mesh_that_went_without_an_event_is_missed() {
    let shop = Shop::open().await;
    let known = || shop.ports.state.stored(&StateKey::meshes(NAME)).unwrap().document["meshes"].clone();
    assert_eq!(known(), json!(["shop"]));
    let resources = shop.delete();
    let told = shop.wake("tick-rule").await.unwrap();
    assert_eq!(told, vec!["NoEvent"; resources]);
    assert_eq!((known(), shop.ports.bus.events().len()), (json!([]), 1));
    assert!(shop.journal().await[0].to_string().contains("\"deleted\""), "{:?}", shop.journal().await[0]);
    shop.ports.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(shop.wake("tick-rule").await.unwrap(), Vec::<String>::new(), "there is nothing left to look at");
    // Whoever deleted it is named when the event comes.
    let mut event = sample("cloudtrail-delete-virtual-node");
    event["detail"]["eventName"] = json!("DeleteMesh");
    event["detail"]["requestParameters"] = json!({ "meshName": "shop" });
    assert_eq!(shop.wake_with(&event).await, ["Attributed"]);
    // One of the same name that an event tells of is missed again when it goes.
    shop.ports.mesh.put_spec(&"mesh/shop".parse().unwrap(), &json!({})).unwrap();
    shop.ports.clock.advance(SignedDuration::from_mins(1));
    event["detail"]["eventName"] = json!("CreateMesh");
    event["detail"]["eventTime"] = json!("2026-11-20T11:04:30Z");
    event["detail"]["responseElements"] = json!({ "mesh": { "metadata": { "version": 1 } } });
    assert_eq!(shop.wake_with(&event).await, ["Written"]);
    assert_eq!(known(), json!(["shop"]));
    shop.ports.mesh.remove(&"mesh/shop".parse().unwrap());
    assert_eq!(shop.wake("tick-rule").await.unwrap(), ["NoEvent"]);
    assert_eq!(known(), json!([]));
}
