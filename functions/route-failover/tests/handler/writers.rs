//! Two concurrent processes, an operator's edit in between, and a server that does not compare versions.

use jiff::SignedDuration;
use ports::StateKey;
use ports_memory::{Call, Effect, Fault, Gate};
use serde_json::Value;

use crate::crashes::assert_same;
use crate::scenarios::{ALL, Moment, Scenario};
use crate::shop::{Answer, Function, Shop, errors_event, event, route};

/// Lets `function` handle the event. Before the call that `applies` selects, another action takes place.
async fn in_the_gap(
    shop: &Shop,
    function: &Function,
    event: &Value,
    applies: impl Fn(&Call) -> bool + Send + 'static,
    meanwhile: impl Future<Output = ()>,
) -> Answer {
    let gate = Gate::default();
    shop.ports.faults.once(applies, Fault::Waits(gate.clone()));
    let other = async {
        gate.reached().await;
        meanwhile.await;
        gate.open();
    };
    tokio::join!(function.answer(event), other).0
}

/// The number of calls of a scenario's invocation.
async fn calls(scenario: Scenario) -> usize {
    let Moment { shop, function, event } = scenario.begin().await;
    function.answer(&event).await.unwrap();
    shop.ports.faults.calls().len()
}

#[tokio::test(start_paused = true)]
async fn two_processes_in_every_interleaving_of_one_gap_make_one_change() {
    for scenario in ALL {
        let Moment { shop, function, event } = scenario.begin().await;
        function.answer(&event).await.unwrap();
        function.minutes(scenario.minutes()).await;
        let undisturbed = shop.world();
        let quiet = shop.pages().is_empty();
        for gap in 0..calls(scenario).await {
            let Moment { shop, function, event } = scenario.begin().await;
            let meanwhile = async {
                let other = shop.start().await;
                // A run that meets the other one's lease or write may fail; the scheduled runs below make up for it.
                let _ = other.answer(&event).await;
            };
            let _ = in_the_gap(&shop, &function, &event, move |call| call.number == gap, meanwhile).await;
            function.minutes(scenario.minutes()).await;
            assert_same(&shop.world(), &undisturbed, &format!("{scenario:?}, gap before call {gap}"));
            assert!(!quiet || shop.pages().is_empty(), "{scenario:?}, gap before call {gap}: {:?}", shop.pages());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn operators_edit_in_any_gap_is_never_overwritten() {
    for scenario in
        [Scenario::FailOver, Scenario::FailOverByWake, Scenario::BackDown, Scenario::Step, Scenario::Restore]
    {
        for gap in 0..calls(scenario).await {
            let Moment { shop, function, event } = scenario.begin().await;
            let edit = async { shop.edits("cart", &[61, 39]) };
            in_the_gap(&shop, &function, &event, move |call| call.number == gap, edit).await.unwrap();
            assert_eq!(shop.weights("cart"), [61, 39], "{scenario:?}, edit before call {gap}");
            function.minutes(5).await;
            assert_eq!(shop.weights("cart"), [61, 39], "{scenario:?}, edit before call {gap}, later");
            assert_eq!(shop.restore_tag("cart"), None, "{scenario:?}, edit before call {gap}");
            assert!(shop.spent() <= 1, "{scenario:?}, edit before call {gap}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn edit_of_other_members_in_any_gap_is_kept_and_the_failover_is_made() {
    for gap in 0..calls(Scenario::FailOver).await {
        let Moment { shop, function, event } = Scenario::FailOver.begin().await;
        let touch = async { shop.edits("cart", &[8, 2]) };
        in_the_gap(&shop, &function, &event, move |call| call.number == gap, touch).await.unwrap();
        if shop.weights("cart") != [8, 2] {
            assert_eq!((shop.weights("cart"), shop.spent()), (vec![0, 100], 1), "edit before call {gap}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn server_without_version_check_leads_to_a_page() {
    let Moment { shop, function, event } = Scenario::FailOver.begin().await;
    shop.ports.mesh.ignore_versions();
    let edit = async { shop.edits("cart", &[61, 39]) };
    let answer = in_the_gap(&shop, &function, &event, |call| call.name == "update route", edit).await.unwrap();
    let decision = crate::shop::decision(&answer, "cart");
    assert_eq!(decision["outcome"]["outcome"], "Overwrote");
    assert_eq!((shop.metric("Overwrote"), shop.pages().len()), (1, 1));
    assert!(shop.pages()[0].body.contains("Overwrote"), "{}", shop.pages()[0].body);
    // The overwritten weights are unknown. The shift stays, and is brought back as usual.
    shop.recovers("cart-v1");
    function.minutes(20).await;
    assert_eq!((shop.weights("cart"), shop.pages().len()), (vec![8, 2], 1));
}

#[tokio::test(start_paused = true)]
async fn holder_that_outsleeps_its_lease_changes_nothing() {
    for call in ["update route", "finish"] {
        let Moment { shop, function, event } = Scenario::FailOver.begin().await;
        let meanwhile = async {
            // The lease ends, another process makes the change, and the alarm clears.
            shop.ports.clock.advance(SignedDuration::from_secs(70));
            let other = shop.start().await;
            other.scheduled_run().await.unwrap();
            shop.recovers("cart-v1");
            other.minutes(7).await;
            assert_ne!(shop.weights("cart"), [0, 100]);
        };
        let _ = in_the_gap(&shop, &function, &event, move |given| given.name == call, meanwhile).await;
        assert_ne!(shop.weights("cart"), [0, 100], "{call}");
        function.minutes(15).await;
        assert_eq!((shop.weights("cart"), shop.spent()), (vec![8, 2], 1), "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn run_without_the_lease_writes_nothing() {
    let Moment { shop, function, event } = Scenario::FailOver.begin().await;
    let meanwhile = async {
        let other = shop.start().await;
        let held = other.decision(&errors_event("cart-v1"), "cart").await;
        assert_eq!(held["outcome"]["outcome"], "Refused");
        assert_eq!(held["outcome"]["refusal"], "lease-held");
        assert_eq!(shop.writes(), 0);
    };
    in_the_gap(&shop, &function, &event, |call| call.name == "update route", meanwhile).await.unwrap();
    assert_eq!((shop.writes(), shop.spent()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn release_that_meets_a_lease_is_retried() {
    for fails in [true, false] {
        let Moment { shop, function, event: failed } = Scenario::FailOver.begin().await;
        // A process dies while it holds the lease.
        shop.ports.faults.once(|call| call.name == "update route", Fault::Crash(Effect::NotDone));
        assert_eq!(shop.ports.faults.run(function.answer(&failed)).await, None);
        shop.edits("cart", &[50, 50]);
        if !fails {
            shop.recovers("cart-v1");
        }
        let release = event("release-route").to_string().replace("recommendations", "cart");
        let release: Value = serde_json::from_str(&release).unwrap();
        let function = shop.start().await;
        function.answer(&release).await.unwrap_err();
        assert_eq!(shop.weights("cart"), [50, 50]);
        shop.wait(2);
        function.answer(&release).await.unwrap();
        function.minutes(1).await;
        let expected = if fails { [0, 100] } else { [50, 50] };
        assert_eq!(shop.weights("cart"), expected, "fails: {fails}");
        let record = shop.ports.state.stored(&StateKey::route(&route("cart"))).unwrap().document;
        assert_eq!(record["edit"], Value::Null, "fails: {fails}");
    }
}
