//! `kill on` during a drill: it is listed, and ended and restored with `--restore-first`.

use decisions::failover::{LayerChange, OwedNote, RouteRecord, layer_write};
use decisions::weights::{DrillLayer, Receiver, Receivers};
use drills::{Drill, DrillPhase, DrillPlan, DrilledRoute, MeshDrills, RequestAction};
use jiff::SignedDuration;
use policy::{ComeBack, Period};
use ports::{StateKey, Stored};
use ports_memory::{Effect, Failure, Fault};
use records::{DrillsRecord, read_record, write_record};
use serde_json::Value;

use super::super::error::Trouble;
use super::{Shop, cart, spec};

const ON: &str = "meshwarden kill on --reason an_incident";
const ON_WITH_RESTORE: &str = "meshwarden kill on --reason an_incident --restore-first";

fn drills_key() -> StateKey {
    StateKey::mesh("failover-drill", &"shop".parse().unwrap())
}

/// A shop in which a drill has drained `cart-v1`.
async fn drilled() -> Shop {
    let shop = Shop::open();
    shop.minutes(1).await;
    let (now, restore_by) = (shop.now(), shop.now() + SignedDuration::from_mins(35));
    let key = StateKey::route(&cart());
    let stored = shop.ports.state.stored(&key).unwrap();
    let record: RouteRecord = read_record(&key, &stored.document).unwrap();
    let data = shop.ports.mesh.route(&cart()).unwrap();
    let before = data.spec.split().unwrap();
    let node: mesh::name::VirtualNodeName = "cart-v1".parse().unwrap();
    let layer = DrillLayer { id: "d1".to_owned(), node: node.clone(), since: now, restore_by };
    let ready = vec![Receiver { node: "cart-v2".parse().unwrap(), limit: None, first: false }];
    let receivers = Receivers { ready, present: before.clone() };
    let facts = decisions::failover::RouteFacts {
        id: cart(),
        uid: data.metadata.uid.clone(),
        version: 1,
        split: before.clone(),
        memory: decisions::failover::Memory::None,
        restore_tag: None,
        data_points: [].into(),
        alarm_data: [].into(),
        released: None,
        written_by: None,
    };
    let owed = OwedNote { code: "x".to_owned(), text: "x".to_owned() };
    let policy = policy::Policy::read("version: 1\n").unwrap().failover.failback;
    let change = LayerChange::DrillStart(layer);
    let write = layer_write(&facts, &record, change, &receivers, owed, &policy, None, now).unwrap();
    shop.ports.mesh.edit(&cart(), serde_json::from_value(spec(&write.to.weights())).unwrap());
    let done = RouteRecord { version: 2, ..write.done };
    shop.ports.state.put(&key, Stored { document: write_record(&done), ..stored });
    let plan = DrillPlan {
        name: "nightly".parse().unwrap(),
        mesh: "shop".parse().unwrap(),
        node,
        duration: Period::try_from("30m".to_owned()).unwrap(),
        outcome_alarms: Vec::new(),
        blocking_alarms: Vec::new(),
        come_back: ComeBack::AtOnce,
    };
    let drill = Drill {
        id: "d1".to_owned(),
        plan,
        request: "r1".to_owned(),
        by: "dana".to_owned(),
        accepted: now,
        begin_by: restore_by,
        phase: DrillPhase::Running,
        since: now,
        started: Some(now),
        restore_by: Some(restore_by),
        routes: vec![DrilledRoute { route: cart(), before, drained: write.to }],
        acknowledged: Some(now),
        no_data_since: None,
        obstacle: None,
        stop: None,
        verdict: None,
        peaks: [].into(),
        traffic: None,
        restored: None,
        restore_acknowledged: None,
    };
    let state = MeshDrills { active: Some(drill), ..MeshDrills::default() };
    let document = write_record(&DrillsRecord { state, ..DrillsRecord::default() });
    super::views::store(&shop, drills_key(), document, None).await;
    assert_eq!(shop.weights(), [0, 100]);
    shop
}

#[tokio::test]
async fn active_drill_is_listed_and_stays() {
    let shop = drilled().await;
    let output = shop.run(ON).await.unwrap();
    assert!(
        output.contains("unchanged while the switch is on:\n  drill shop/nightly running, to be restored by"),
        "{output}"
    );
    assert_eq!(shop.weights(), [0, 100]);
}

#[tokio::test]
async fn active_drill_is_restored_before_the_switch_is_on() {
    let shop = drilled().await;
    let output = shop.run(ON_WITH_RESTORE).await.unwrap();
    assert!(
        output.contains("restored first:\n  shop/cart/all: from cart-v1:0 cart-v2:100 to cart-v1:8 cart-v2:2"),
        "{output}"
    );
    assert_eq!((shop.weights(), shop.has_restore_tag()), (vec![8, 2], false));
    assert!(shop.run("meshwarden kill status").await.unwrap().contains("is on since"));
    let record: DrillsRecord =
        read_record(&drills_key(), &shop.ports.state.stored(&drills_key()).unwrap().document).unwrap();
    let [request] = record.state.requests.as_slice() else { panic!("{record:?}") };
    assert_eq!(request.action, RequestAction::Stop, "failover-drill records the end");
    let story = shop.run("meshwarden explain shop/cart/all").await.unwrap();
    assert!(story.contains("dana ends drill d1"), "{story}");
    // With the switch off again, nothing is drained or restored once more.
    shop.run("meshwarden kill off").await.unwrap();
    shop.minutes(3).await;
    assert_eq!(shop.weights(), [8, 2]);
}

#[tokio::test]
async fn drilled_node_that_fails_by_now_stays_drained() {
    let shop = drilled().await;
    shop.fails("cart-v1");
    let output = shop.run(ON_WITH_RESTORE).await.unwrap();
    assert!(output.contains("because the drilled node fails"), "{output}");
    assert_eq!(shop.weights(), [0, 100]);
}

#[tokio::test]
async fn declined_confirmation_restores_nothing() {
    let mut shop = drilled().await;
    shop.answer = false;
    shop.refuses(ON_WITH_RESTORE).await;
    assert_eq!(shop.weights(), [0, 100]);
    assert!(shop.run("meshwarden kill status").await.unwrap().contains("is off"));
}

/// A stop never waits for a restore.
#[tokio::test(start_paused = true)]
async fn switch_is_on_and_the_rest_is_named_if_a_restore_fails() {
    let undisturbed = drilled().await;
    let before = undisturbed.ports.faults.calls().len();
    undisturbed.run(ON_WITH_RESTORE).await.unwrap();
    let calls = undisturbed.ports.faults.calls()[before..].to_vec();
    let switch = calls.iter().position(|call| call.name.contains("switch")).unwrap();
    for call in &calls[1..switch] {
        let shop = drilled().await;
        shop.ports.faults.at(call.number, Fault::Fails(Failure::Denied, Effect::NotDone));
        let result = shop.run(ON_WITH_RESTORE).await;
        assert!(shop.run("meshwarden kill status").await.unwrap().contains("is on since"), "{call}");
        let is_restored = shop.weights() == [8, 2];
        match result {
            Ok(output) => assert!(is_restored, "{call}: {output}"),
            Err(error @ Trouble::NotAllRestored { .. }) => {
                assert!(error.exit_code() == 2 && error.to_string().contains("denied"), "{call}: {error}");
            }
            Err(error) => panic!("{call}: {error}"),
        }
    }
}

#[tokio::test]
async fn held_route_is_not_restored_and_says_so() {
    let shop = drilled().await;
    let key = StateKey::route(&cart());
    let stored = shop.ports.state.stored(&key).unwrap();
    let mut document: Value = stored.document.clone();
    document["edit"] = serde_json::json!({ "seen": shop.now(), "until": shop.now() + SignedDuration::from_hours(1) });
    shop.ports.state.put(&key, Stored { document, ..stored });
    let error = shop.run(ON_WITH_RESTORE).await.unwrap_err();
    assert!(error.to_string().contains("run `meshwarden release shop/cart/all` first"), "{error}");
    assert_eq!(shop.weights(), [0, 100]);
}
