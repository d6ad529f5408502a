//! A policy that cannot be loaded since the process started: nothing is evaluated, and each invocation reports it.

use ports_memory::{Failure, MemoryPolicy};
use rules::compliance::Topic;

use crate::shop::{POLICY, Shop, V2};

#[tokio::test(start_paused = true)]
async fn run_without_any_policy_fails_and_pages_until_the_policy_is_loaded() {
    let mut shop = Shop::new(Topic::Tags);
    shop.policy = MemoryPolicy::new(POLICY, shop.ports.faults.clone());
    shop.breaks("read policy", Failure::Unavailable);
    let function = shop.start().await;
    shop.untag(&[V2]);
    for run in 1..=3 {
        let error = function.sample("config-change").await.unwrap_err();
        assert!(error.contains("failed to load the policy"), "{error}");
        assert_eq!((shop.metric_sum("PolicyUnavailable"), shop.metric_sum("Invocations")), (run, 0));
        shop.wait(15);
    }
    assert!(shop.evaluated().is_empty() && shop.owner(V2).is_none());
    let pages = shop.pages();
    assert_eq!(pages.len(), 1, "{pages:?}");
    assert!(pages[0].body.contains("the policy"), "{pages:?}");
    shop.ports.faults.reset();
    function.sample("config-change").await.unwrap();
    assert_eq!(shop.metric_sum("PolicyUnavailable"), 3);
    assert!(!shop.evaluated().is_empty());
}

/// The newest version was never valid in this process: an operator has to correct it.
#[tokio::test(start_paused = true)]
async fn invalid_policy_in_the_first_invocation_pages_at_once() {
    let mut shop = Shop::new(Topic::Egress);
    shop.policy = MemoryPolicy::new("version: 1\nfailover:\n  dwell: soon\n", shop.ports.faults.clone());
    shop.ports.faults.once(
        |call| call.name == "read policy",
        ports_memory::Fault::Fails(Failure::Unavailable, ports_memory::Effect::NotDone),
    );
    let function = shop.start().await;
    let error = function.scheduled_run().await.unwrap_err();
    assert!(error.contains("line 3"), "{error}");
    assert_eq!((shop.pages().len(), shop.metric_sum("PolicyUnavailable")), (1, 1));
}
