//! Decisions are replayed from their journal entries.

use mesh::name::{ResourcePath, RouteId, RouteName};
use ports::{JournalEntry, StateKey};
use records::{JournalBody, RawObservation, ReadError, Replay};
use serde_json::{Value, json};

use crate::scenarios::{ALL, Moment, Scenario};
use crate::shop::{ROUTERS, Shop, errors_event, mesh, route, spec};

/// Replays the decision of an entry.
fn replay(body: &Value, observed: &Value) -> Result<Replay, ReadError> {
    let body = JournalBody::read("", body)?;
    let mut replays = records::replay(&body, &RawObservation::from(observed.clone()))?;
    assert_eq!(replays.len(), 1, "{replays:?}");
    Ok(replays.remove(0))
}

fn entries(shop: &Shop) -> Vec<JournalEntry> {
    ROUTERS.iter().flat_map(|router| shop.ports.state.journal_of(&StateKey::route(&route(router)))).collect()
}

#[tokio::test(start_paused = true)]
async fn every_recorded_decision_is_replayed() {
    let mut codes = std::collections::BTreeSet::new();
    for scenario in ALL {
        let Moment { shop, function, event } = scenario.begin().await;
        function.answer(&event).await.unwrap();
        function.minutes(scenario.minutes()).await;
        let decisions: Vec<Value> =
            entries(&shop).into_iter().map(|entry| entry.body).filter(|body| body.get("observed").is_some()).collect();
        assert!(!decisions.is_empty(), "{scenario:?}");
        for body in decisions {
            let again = replay(&body, &body["observed"]).unwrap();
            assert!(again.is_same(), "{scenario:?}: {again:?}");
            codes.insert(again.recorded.code);
        }
    }
    let expected = [
        "AlreadyShifted",
        "BackDown",
        "CommonCause",
        "Failback",
        "Failover",
        "InsideDwell",
        "InsideStep",
        "PartialSpill",
        "PersonEdited",
        "Restore",
        "Steady",
    ];
    for code in expected {
        assert!(codes.contains(code), "{code} was never recorded, but {codes:?}");
    }
}

/// A changed record, or changed facts, lead to another decision, which the replay reports.
#[tokio::test(start_paused = true)]
async fn entry_that_contradicts_its_facts_is_detected() {
    let Moment { shop, function, event } = Scenario::FailOver.begin().await;
    function.answer(&event).await.unwrap();
    let body = entries(&shop)[0].body.clone();
    assert!(replay(&body, &body["observed"]).unwrap().is_same());
    let mut other = body.clone();
    other["reason"] = json!("Steady");
    assert!(!replay(&other, &other["observed"]).unwrap().is_same());
    let mut quiet = body.clone();
    for alarm in quiet["observed"]["facts"]["alarms"].as_array_mut().unwrap() {
        alarm["state"] = json!("OK");
    }
    let again = replay(&quiet, &quiet["observed"]).unwrap();
    assert!(!again.is_same(), "{again:?}");
    let mut unasked = body.clone();
    unasked["observed"]["harms"] = json!([]);
    let again = replay(&unasked, &unasked["observed"]).unwrap();
    assert!(!again.is_same() && !again.unrecorded.is_empty(), "{again:?}");
    let broken = replay(&body, &json!({ "now": "soon" })).unwrap_err().to_string();
    assert!(broken.starts_with("observed.now: "), "{broken}");
}

#[tokio::test(start_paused = true)]
async fn every_write_is_journalled_before_and_after() {
    let Moment { shop, function, event } = Scenario::FailOver.begin().await;
    function.answer(&event).await.unwrap();
    let ids: Vec<String> = entries(&shop).iter().map(|entry| entry.id.clone()).collect();
    assert!(ids[0].ends_with("-begun") && ids[1].ends_with("-ended"), "{ids:?}");
    assert_eq!(entries(&shop)[1].body["outcome"]["outcome"], "Applied");
}

#[tokio::test(start_paused = true)]
async fn repeated_decision_is_counted_and_not_journalled_again() {
    let Moment { shop, function, event } = Scenario::Hold.begin().await;
    function.answer(&event).await.unwrap();
    let (journal, events) = (entries(&shop).len(), shop.ports.bus.events().len());
    function.minutes(10).await;
    assert_eq!((entries(&shop).len(), shop.ports.bus.events().len()), (journal, events));
    let notification = shop.ports.state.stored(&StateKey::route(&route("cart"))).unwrap().document["told"].clone();
    assert_eq!(notification["repeats"], 10);
}

#[tokio::test(start_paused = true)]
async fn large_observation_is_stored_in_the_reports_store() {
    let shop = Shop::open();
    for number in 0..400 {
        let name = RouteName::parse(&format!("r{number}")).unwrap();
        let id = RouteId { route: name, ..route("cart") };
        shop.put(&ResourcePath::Route(id), &spec("cart", &[8, 2]));
    }
    shop.fails("payments-v1");
    shop.start().await.answer(&errors_event("payments-v1")).await.unwrap();
    assert_eq!(shop.weights("payments"), [0, 100]);

    let body = shop.ports.state.journal_of(&StateKey::route(&route("payments")))[0].body.clone();
    let place = body["observed"]["at"].as_str().unwrap();
    let stored = shop.ports.reports.stored();
    let kept = &stored[place.strip_prefix("memory:").unwrap()];
    assert!(kept.len() > 100 * 1024 && body.to_string().len() < 10 * 1024);
    let observed: Value = serde_json::from_slice(kept).unwrap();
    let again = replay(&body, &observed).unwrap();
    assert!(again.is_same() && again.recorded.code == "Failover", "{again:?}");
    assert_eq!(mesh().as_str(), observed["facts"]["mesh"]);
}
