//! Services that fail once, for a while or in part: AWS Config is told the same or nothing.

#[tokio::test]
async fn no_failing_call_leads_to_a_false_answer() {
    let binary = env!("CARGO_BIN_EXE_egress-compliance");
    let cases = meshwarden_tests::config_cases::play("egress-compliance", binary, "version: 1\n", "COMPLIANT").await;
    println!("{cases} cases");
}
