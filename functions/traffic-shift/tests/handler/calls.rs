//! The number of calls that follow each other.

use std::time::Duration;

use mesh::alarm::AlarmState;

use crate::shop::{Shop, short};

/// From the begin of a warm run to the write of a rollback: the index, everything that is observed, the begin of the
/// change, and the write itself.
#[tokio::test(start_paused = true)]
async fn rollback_is_the_fourth_call_of_a_warm_run() {
    let shop = Shop::open();
    let function = shop.start().await;
    function.answer(&short()).await.unwrap();
    function.minutes(1).await;
    shop.set_alarm(AlarmState::Alarm);
    let latency = Duration::from_millis(100);
    shop.ports.faults.set_latency(latency);
    let before = shop.ports.mesh.updates().len();
    let begin = tokio::time::Instant::now();
    let run = function.tick();
    tokio::pin!(run);
    while shop.ports.mesh.updates().len() == before {
        tokio::select! {
            _ = &mut run => panic!("the run ended without a write"),
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }
    let rounds = begin.elapsed().as_millis() / latency.as_millis();
    assert!(rounds <= 4, "{rounds} rounds of calls until the write was made");
    run.await.unwrap();
}
