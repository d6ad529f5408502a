//! A policy that cannot be loaded since the process started: nothing is decided, and each invocation reports it.

use ports_memory::{Failure, MemoryPolicy};

use crate::shop::{POLICY, Shop, errors_event};

#[tokio::test(start_paused = true)]
async fn run_without_any_policy_fails_and_pages_until_the_policy_is_loaded() {
    let mut shop = Shop::open();
    shop.policy = MemoryPolicy::new(POLICY, shop.ports.faults.clone());
    shop.breaks("read policy", Failure::Throttled);
    let function = shop.start().await;
    shop.fails("cart-v1");
    for run in 1..=4 {
        let error = function.answer(&errors_event("cart-v1")).await.unwrap_err();
        assert!(error.contains("failed to load the policy"), "{error}");
        assert_eq!((shop.metric_sum("PolicyUnavailable"), shop.metric_sum("Invocations")), (run, 0));
        shop.wait(1);
    }
    assert_eq!(shop.weights("cart"), [8, 2], "no default policy is applied");
    let pages = shop.pages();
    assert_eq!(pages.len(), 1, "{pages:?}");
    assert!(pages[0].subject.contains("the policy") && pages[0].body.contains("throttled"), "{pages:?}");
    shop.ports.faults.reset();
    function.answer(&errors_event("cart-v1")).await.unwrap();
    assert_eq!((shop.weights("cart"), shop.metric_sum("PolicyUnavailable")), (vec![0, 100], 4));
}

/// An alarm does not wait for a source that hangs while a policy is in force.
#[tokio::test(start_paused = true)]
async fn policy_that_cannot_be_reloaded_stays_in_force() {
    let mut shop = Shop::open();
    shop.policy = MemoryPolicy::new(POLICY, shop.ports.faults.clone());
    let function = shop.start().await;
    function.minutes(1).await;
    shop.breaks("read policy", Failure::Unavailable);
    shop.fails("cart-v1");
    shop.wait(2);
    function.answer(&errors_event("cart-v1")).await.unwrap();
    assert_eq!((shop.weights("cart"), shop.metric_sum("PolicyUnavailable")), (vec![0, 100], 0));
}
