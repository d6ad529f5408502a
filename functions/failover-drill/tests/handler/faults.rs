//! Every class of fault at every call of a drill: the weights return, and no drill is reported as successful that was not
//! acknowledged.

use ports::memory::Fault;

use crate::shop::{BEFORE, Shop, event};

async fn disturbed(at: impl Fn(&Shop), told: &str) {
    let shop = Shop::open();
    let function = shop.start().await;
    at(&shop);
    // A failed answer is repeated by its sender.
    if function.answer(&event("direct-start")).await.is_err() {
        function.answer(&event("direct-start")).await.ok();
    }
    for _ in 0..45 {
        shop.wait(1);
        function.tick().await.ok();
    }
    assert_eq!(shop.weights(), [BEFORE; 2], "{told}");
    let state = shop.state();
    assert_eq!(state["phase"], "", "{told}");
    assert!(state["recs drill"] == false && state["beta drill"] == false, "{told}: {state:?}");
    assert_ne!(shop.last().0, "", "{told}");
}

#[tokio::test(start_paused = true)]
async fn weights_return_whatever_call_fails() {
    let calls = {
        let shop = Shop::open();
        let function = shop.start().await;
        function.answer(&event("direct-start")).await.unwrap();
        function.minutes(2).await;
        shop.ports.faults.calls().len()
    };
    for call in 0..calls {
        for fault in Fault::every() {
            let told = format!("{fault:?} at call {call} of {calls}");
            disturbed(|shop| shop.ports.faults.at(call, fault.clone()), &told).await;
        }
    }
}
