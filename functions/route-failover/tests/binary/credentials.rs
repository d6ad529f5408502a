//! Without credentials, the command reports the remedy, sends no request, and fails.

use crate::stage::{Stage, Theatre};

#[tokio::test]
async fn missing_credentials_fail_the_invocation_with_the_remedy() {
    let Some(theatre) = Theatre::open().await else { return };
    let stage = Stage::set(&theatre, "no-credentials").await;
    let mut function = stage.build().without_credentials().start().await;
    let answer = function.answer(&stage.event_of("cart-v1")).await.expect_err("a run that observed nothing fails");
    let message = answer["errorMessage"].as_str().unwrap();
    let expected =
        "nothing could be observed: failed to describe 1 alarms: denied: no credentials; give the function a role";
    assert!(message.contains(expected), "{message}");
    assert_eq!(stage.way.passed().len(), 0);
}
