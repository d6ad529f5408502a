//! Endpoints that misbehave during a scheduled run, and two copies of the function at once.

use meshwarden_tests::attack::{two_copies, withstand};
use meshwarden_tests::shop_scene::Shops;

const NAME: &str = "compliance-sweep";

async fn open() -> Option<Shops> {
    let shops = Shops::open(NAME, env!("CARGO_BIN_EXE_compliance-sweep"), "schedule").await?;
    shops.store_policy("version: 1\nprofile: strict\n").await;
    Some(shops)
}

#[tokio::test]
async fn misbehaving_endpoints_lead_to_no_false_report() {
    let Some(shops) = open().await else { return };
    withstand(NAME, async |case: String| shops.set(&case).await).await;
}

#[tokio::test]
async fn two_copies_at_once_report_once() {
    let Some(shops) = open().await else { return };
    two_copies(NAME, async |case: String| shops.set(&case).await).await;
}
