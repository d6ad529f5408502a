//! What keeps the built command from starting is one line that names the remedy.

#[tokio::test]
async fn bad_settings_are_one_line_with_the_remedy() {
    meshwarden_tests::start_up::check("change-audit", env!("CARGO_BIN_EXE_change-audit"), &[]).await;
}
