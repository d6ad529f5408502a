//! What is kept of a decision is enough to make it again.

use jiff::Timestamp;
use mesh::failover::{Facts, HarmFact, Subject, Verdict, decide};
use mesh::name::{ResourcePath, RouteId, RouteName};
use mesh::policy::Policy;
use mesh::weights::WeightSplit;
use ports::{JournalEntry, StateKey};
use serde::Deserialize;
use serde_json::Value;

use crate::scenarios::{ALL, Moment, Scenario};
use crate::shop::{ROUTERS, Shop, errors_event, mesh, route, spec};

#[derive(Deserialize)]
struct Asked {
    route: RouteId,
    split: WeightSplit,
    harms: Vec<HarmFact>,
}

#[derive(Deserialize)]
struct Observed {
    now: Timestamp,
    facts: Facts,
    policy: Policy,
    harms: Vec<Asked>,
}

fn entries(shop: &Shop) -> Vec<JournalEntry> {
    ROUTERS.iter().flat_map(|router| shop.ports.state.journal_of(&StateKey::route(&route(router)))).collect()
}

/// Makes a recorded decision again: its code and, where there is a plan, its weights.
fn replayed(resource: &str, observed: &Value) -> (String, Value) {
    let observed: Observed = serde_json::from_value(observed.clone()).unwrap();
    let harms = |route: &RouteId, split: &WeightSplit| {
        let answer = observed.harms.iter().find(|asked| asked.route == *route && asked.split == *split);
        answer.unwrap_or_else(|| panic!("{route} to {split} was not asked")).harms.clone()
    };
    let decisions = decide(&observed.facts, &harms, &observed.policy, observed.now);
    let of_resource = |subject: &Subject| match subject {
        Subject::Route(id) => ResourcePath::Route(id.clone()).to_string() == resource,
        Subject::Node(_) => false,
    };
    match decisions.into_iter().find(|decision| of_resource(&decision.subject)).unwrap().verdict {
        Verdict::Keep(reason) => (reason.code(), Value::Null),
        Verdict::Hold(reason) => (reason.code(), Value::Null),
        Verdict::Act(plan) => (plan.why.code(), serde_json::to_value(&plan.to).unwrap()),
    }
}

#[tokio::test(start_paused = true)]
async fn every_recorded_decision_is_made_again_from_its_record() {
    let mut codes = std::collections::BTreeSet::new();
    for scenario in ALL {
        let Moment { shop, function, event } = scenario.begin().await;
        function.answer(&event).await.unwrap();
        function.minutes(scenario.minutes()).await;
        let decisions: Vec<Value> =
            entries(&shop).into_iter().map(|entry| entry.body).filter(|body| body.get("observed").is_some()).collect();
        assert!(!decisions.is_empty(), "{scenario:?}");
        for body in decisions {
            let (code, to) = replayed(body["resource"].as_str().unwrap(), &body["observed"]);
            assert_eq!((&Value::from(code.clone()), &to), (&body["reason"], &body["plan"]["to"]), "{scenario:?}");
            codes.insert(code);
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

#[tokio::test(start_paused = true)]
async fn every_write_is_journalled_before_and_after() {
    let Moment { shop, function, event } = Scenario::FailOver.begin().await;
    function.answer(&event).await.unwrap();
    let ids: Vec<String> = entries(&shop).iter().map(|entry| entry.id.clone()).collect();
    assert!(ids[0].ends_with("-begun") && ids[1].ends_with("-ended"), "{ids:?}");
    assert_eq!(entries(&shop)[1].body["outcome"]["outcome"], "Applied");
}

#[tokio::test(start_paused = true)]
async fn what_repeats_is_counted_and_not_written_down_again() {
    let Moment { shop, function, event } = Scenario::Hold.begin().await;
    function.answer(&event).await.unwrap();
    let (journal, events) = (entries(&shop).len(), shop.ports.bus.events().len());
    function.minutes(10).await;
    assert_eq!((entries(&shop).len(), shop.ports.bus.events().len()), (journal, events));
    let told = shop.ports.state.stored(&StateKey::route(&route("cart"))).unwrap().document["told"].clone();
    assert_eq!(told["repeats"], 10);
}

#[tokio::test(start_paused = true)]
async fn a_large_observation_goes_to_the_reports_store() {
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
    let (code, _) = replayed(&ResourcePath::Route(route("payments")).to_string(), &observed);
    assert_eq!(code, "Failover");
    assert_eq!(mesh().as_str(), observed["facts"]["mesh"]);
}
