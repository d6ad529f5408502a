//! The commands with failing calls: a clear message, the exit code, and no partial change.

use ports::{PortErrorKind, StateKey};
use ports_memory::{Effect, Failure, Fault};

use super::super::error::Trouble;
use super::{Shop, cart};

const FAILURES: [(Failure, PortErrorKind); 5] = [
    (Failure::Throttled, PortErrorKind::Throttled),
    (Failure::TimedOut, PortErrorKind::TimedOut),
    (Failure::Unavailable, PortErrorKind::Unavailable),
    (Failure::ConnectionReset, PortErrorKind::Unavailable),
    (Failure::Denied, PortErrorKind::Denied),
];

/// A route that is shifted away from a recovered node.
async fn shop() -> Shop {
    let shop = Shop::open();
    shop.fails("cart-v1");
    shop.minutes(1).await;
    shop.quiets("cart-v1");
    shop
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_named_and_ends_with_two() {
    for line in [
        "meshwarden status",
        "meshwarden explain shop/cart/all",
        "meshwarden explain mesh/shop",
        "meshwarden replay shop/cart/all",
        "meshwarden kill status",
        "meshwarden hold shop/cart/all --for 1h --reason x",
        "meshwarden restore shop/cart/all",
        "meshwarden kill on --reason x",
    ] {
        let undisturbed = shop().await;
        let before = undisturbed.ports.faults.calls().len();
        let expected = undisturbed.run(line).await.unwrap();
        let calls = undisturbed.ports.faults.calls()[before..].to_vec();
        assert!(!calls.is_empty(), "{line}");
        for call in &calls {
            for (failure, kind) in FAILURES {
                let shop = shop().await;
                shop.ports.faults.at(call.number, Fault::Fails(failure, Effect::NotDone));
                match shop.run(line).await {
                    // A survey retries throttled calls, and a restore succeeds even if its tag cannot be removed. Any
                    // other output names the failure.
                    Ok(output) => {
                        assert!(output == expected || output.contains(&kind.to_string()), "{line} at {call}: {output}");
                    }
                    Err(trouble) => {
                        let output = output(&trouble);
                        // Alarms, harm checks and their failed reads are reasons to refuse the restore.
                        let refused = output.contains("is not restored: ");
                        assert_eq!(trouble.exit_code(), if refused { 1 } else { 2 }, "{line} at {call}: {output}");
                        assert!(output.contains(&kind.to_string()), "{line} at {call}: {output}");
                        assert!(output.contains("failed to ") || output.contains("restored, but"), "{line}: {output}");
                    }
                }
            }
        }
    }
}

fn output(trouble: &Trouble) -> String {
    let sources = std::iter::successors(std::error::Error::source(trouble), |&source| source.source());
    sources.fold(trouble.to_string(), |output, source| format!("{output}: {source}"))
}

/// The state table is unavailable or denies access: no write happens anywhere, and the messages differ.
#[tokio::test(start_paused = true)]
async fn without_the_state_table_nothing_is_written() {
    for (failure, kind) in [(Failure::Unavailable, "unavailable"), (Failure::Denied, "denied")] {
        for line in [
            "meshwarden hold shop/cart/all --for 1h --reason x",
            "meshwarden release shop/cart/all",
            "meshwarden restore shop/cart/all",
            "meshwarden kill on --reason x",
            "meshwarden status",
        ] {
            let shop = shop().await;
            let (weights, journal) = (shop.weights(), shop.ports.state.journal_of(&StateKey::route(&cart())).len());
            let of_state = |call: &ports_memory::Call| {
                ["load", "begin", "finish", "note", "journal", "switch"].iter().any(|name| call.name.contains(name))
            };
            shop.ports.faults.whenever(of_state, Fault::Fails(failure, Effect::NotDone));
            let trouble = shop.run(line).await.unwrap_err();
            assert_eq!(trouble.exit_code(), 2, "{line}");
            assert!(output(&trouble).contains(kind), "{line}: {}", output(&trouble));
            assert_eq!(shop.weights(), weights, "{line}");
            assert_eq!(shop.ports.state.journal_of(&StateKey::route(&cart())).len(), journal, "{line}");
        }
    }
}

/// A retry after a lost answer changes the state only once.
#[tokio::test(start_paused = true)]
async fn hold_with_a_lost_response_can_be_repeated() {
    let undisturbed = Shop::open();
    let line = "meshwarden hold shop/cart/all --until 2026-11-20T18:00:00Z --reason x";
    undisturbed.run(line).await.unwrap();
    let calls = undisturbed.ports.faults.calls();
    let document = |shop: &Shop| shop.ports.state.stored(&StateKey::route(&cart())).unwrap().document;
    for call in calls.iter().filter(|call| call.writes) {
        for effect in [Effect::Done, Effect::NotDone] {
            let shop = Shop::open();
            shop.ports.faults.at(call.number, Fault::Fails(Failure::Unavailable, effect));
            assert_eq!(shop.run(line).await.unwrap_err().exit_code(), 2, "{call} {effect:?}");
            shop.run(line).await.unwrap();
            assert_eq!(document(&shop)["edit"], document(&undisturbed)["edit"], "{call} {effect:?}");
        }
    }
}

/// The function may have the permission that the operator lacks.
#[tokio::test(start_paused = true)]
async fn restore_tag_that_an_operator_may_not_remove_is_removed_by_the_function() {
    for failure in [Failure::Throttled, Failure::Denied] {
        let shop = shop().await;
        shop.ports.faults.whenever(|call| call.name == "untag", Fault::Fails(failure, Effect::NotDone));
        shop.run("meshwarden restore shop/cart/all").await.unwrap();
        assert!(shop.has_restore_tag(), "{failure:?}");
        shop.ports.faults.reset();
        shop.minutes(1).await;
        assert!(!shop.has_restore_tag(), "{failure:?}");
    }
}
