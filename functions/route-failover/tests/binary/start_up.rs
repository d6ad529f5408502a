//! An error that prevents the start of the command is one line with the remedy.

#[tokio::test]
async fn bad_settings_are_one_line_with_the_remedy() {
    meshwarden_tests::start_up::check("route-failover", env!("CARGO_BIN_EXE_route-failover"), &[]).await;
}

#[tokio::test]
async fn start_does_not_wait_for_a_policy_that_does_not_arrive() {
    meshwarden_tests::start_up::slow_policy::check("route-failover", env!("CARGO_BIN_EXE_route-failover"), "tick-rule")
        .await;
}
