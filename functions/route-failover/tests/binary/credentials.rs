//! Started without credentials, the command says so, asks nobody, and has no event come again because of it.

use crate::stage::{Stage, Theatre};

#[tokio::test]
async fn missing_credentials_are_said_and_not_tried_again() {
    let Some(theatre) = Theatre::open().await else { return };
    let stage = Stage::set(&theatre, "no-credentials").await;
    let mut function = stage.build().without_credentials().start().await;
    let answer = function.answer(&stage.event_of("cart-v1")).await.expect("nothing that a retry could heal");
    let facts = &answer["decisions"][0]["facts"];
    assert_eq!((&answer["decisions"][0]["reason"], &facts["kind"]), (&"CannotObserve".into(), &"denied".into()));
    let message = facts["message"].as_str().unwrap();
    assert!(message.starts_with("no credentials; give the function a role"), "{message}");
    assert_eq!(stage.way.passed().len(), 0);
}
