//! A bundle in Secrets Manager: prepared, then served, and the previous version kept.

use mesh::certificates::Chain;
use meshwarden_tests::way::Side;

use crate::chain::verify;
use crate::stage::{Kept, Stage, Theatre};

#[tokio::test]
async fn pending_then_current_then_previous() {
    let Some(theatre) = Theatre::open().await else { return };
    let stage = Stage::set(&theatre, "labels", Kept::Secret).await;
    let (first, _) = stage.at("AWSCURRENT").await.unwrap();

    // Stopped after the key is stored and before the order: proxies are served the old bundle.
    let order = position(&theatre, "IssueCertificate").await;
    stage.way.strike(order, Side::Before);
    let function = stage.build().start().await;
    function.die(&stage.event(), stage.way.struck()).await;
    stage.way.clear();
    let (pending, prepared) = stage.at("AWSPENDING").await.unwrap();
    assert_ne!(pending, first);
    assert!(prepared.key.is_some() && prepared.request.is_some() && prepared.chain.is_none(), "{prepared:?}");
    assert_eq!(stage.labels().await[&first], ["AWSCURRENT"]);
    assert_eq!(stage.way.count("IssueCertificate"), 0);

    stage.let_leases_run_out().await;
    let mut function = stage.build().start().await;
    function.answer(&stage.event()).await.unwrap();
    let (current, served) = stage.at("AWSCURRENT").await.unwrap();
    assert_eq!(served.key, prepared.key, "the key that was prepared");
    let chain = served.chain.unwrap().whole();
    verify(&chain, &theatre.root.certificate, &theatre.other.certificate);
    assert!(
        Chain::read(&chain).unwrap().leaf.not_after > Chain::read(&stage.first.certificate).unwrap().leaf.not_after
    );
    assert_eq!(stage.labels().await[&first], ["AWSPREVIOUS"]);
    assert!(stage.labels().await[&current].contains(&"AWSCURRENT".to_owned()));
    assert_eq!(stage.way.count("IssueCertificate"), 1);

    let before = (stage.labels().await, stage.state().await);
    function.answer(&stage.event()).await.unwrap();
    assert_eq!((stage.labels().await, stage.state().await), before, "once");
    assert_eq!(stage.way.count("IssueCertificate"), 1);
}

/// The number of this request in an undisturbed run.
async fn position(theatre: &Theatre, operation: &str) -> usize {
    let stage = Stage::set(theatre, "labels-calm", Kept::Secret).await;
    stage.build().start().await.answer(&stage.event()).await.unwrap();
    let passed = stage.way.passed();
    passed.iter().position(|passed| passed.operation == operation).unwrap()
}
