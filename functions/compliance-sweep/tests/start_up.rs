//! An error that prevents the start of the built command is one line with the remedy.

use meshwarden_tests::start_up::Case;

#[tokio::test]
async fn bad_settings_are_one_line_with_the_remedy() {
    meshwarden_tests::start_up::check(
        "compliance-sweep",
        env!("CARGO_BIN_EXE_compliance-sweep"),
        &[
            Case::variable("MESHWARDEN_SECURITY_HUB", "yes", "expected `on` or `off`"),
            Case::variable("MESHWARDEN_SWEEP_BY_QUEUE", "maybe", "expected `on` or `off`"),
            Case::variable("MESHWARDEN_SWEEP_BY_QUEUE", "on", "it needs an event bus; set MESHWARDEN_BUS"),
        ],
    )
    .await;
}

#[tokio::test]
async fn start_does_not_wait_for_a_policy_that_does_not_arrive() {
    meshwarden_tests::start_up::slow_policy::check(
        "compliance-sweep",
        env!("CARGO_BIN_EXE_compliance-sweep"),
        "schedule",
    )
    .await;
}
