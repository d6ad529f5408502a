//! Every class of fault at every call of a drill: the weights return, and no drill is reported as successful that was not
//! acknowledged.

use ports_memory::Fault;

use crate::shop::{BEFORE, Shop, event, short_policy};

async fn disturbed(at: impl Fn(&Shop), context: &str) {
    let shop = Shop::with(&short_policy());
    let function = shop.start().await;
    at(&shop);
    // A failed answer is repeated by its sender.
    if function.answer(&event("direct-start")).await.is_err() {
        function.answer(&event("direct-start")).await.ok();
    }
    for _ in 0..18 {
        shop.wait(1);
        function.tick().await.ok();
    }
    assert_eq!(shop.weights(), [BEFORE; 2], "{context}");
    let state = shop.state();
    assert_eq!(state["phase"], "", "{context}");
    assert!(state["recs drill"] == false && state["beta drill"] == false, "{context}: {state:?}");
    assert_ne!(shop.last().0, "", "{context}");
}

/// The calls of the invocations that start a drill and confirm it.
async fn calls() -> usize {
    let shop = Shop::with(&short_policy());
    let function = shop.start().await;
    function.answer(&event("direct-start")).await.unwrap();
    function.minutes(1).await;
    shop.ports.faults.calls().len()
}

async fn each(applies: impl Fn(usize, usize) -> bool) {
    let calls = calls().await;
    for call in 0..calls {
        for (number, fault) in Fault::every().into_iter().enumerate().filter(|(number, _)| applies(call, *number)) {
            let context = format!("fault {number}, {fault:?} at call {call} of {calls}");
            disturbed(|shop| shop.ports.faults.at(call, fault.clone()), &context).await;
        }
    }
}

/// One class of fault at each call, in turns.
#[tokio::test(start_paused = true)]
async fn weights_return_whatever_call_fails() {
    let classes = Fault::every().len();
    each(|call, fault| call % classes == fault).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "long: every class of fault at every call"]
async fn weights_return_whatever_call_fails_in_whatever_way() {
    each(|_, _| true).await;
}
