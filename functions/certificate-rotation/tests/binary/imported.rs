//! An imported certificate is replaced on the same ARN, once for any number of repeated events.

use mesh::certificates::Chain;

use crate::chain::{days, verify};
use crate::stage::{HOST, Kept, Stage, Theatre};

#[tokio::test]
async fn imported_certificate_is_replaced_on_the_same_arn() {
    let Some(theatre) = Theatre::open().await else { return };
    let stage = Stage::set(&theatre, "imported", Kept::Imported).await;
    let (before, names) = (Chain::read(&stage.in_acm().await).unwrap().leaf, stage.names().await);
    verify(&stage.in_acm().await, &theatre.root.certificate, &theatre.other.certificate);

    let mut function = stage.build().start().await;
    let report = function.answer(&stage.event()).await.unwrap();
    let decisions = report["decisions"].to_string();
    assert!(decisions.contains("RenewalDue") && decisions.contains("Applied"), "{report:#}");

    let after = Chain::read(&stage.in_acm().await).unwrap().leaf;
    assert_ne!(after.public_key, before.public_key, "a key of its own");
    assert_eq!((&after.names, &after.key), (&before.names, &before.key));
    assert_eq!(after.names.all().into_iter().collect::<Vec<_>>(), [HOST]);
    assert_eq!(stage.names().await, names);
    assert_eq!(days(&after), days(&before));
    assert!(after.not_after > before.not_after);
    verify(&stage.in_acm().await, &theatre.root.certificate, &theatre.other.certificate);
    assert_eq!((stage.way.count("IssueCertificate"), stage.way.count("ImportCertificate")), (1, 1));
    for text in [report.to_string(), function.log()] {
        assert!(text.contains("RenewalDue") && !text.contains("PRIVATE"), "no notice contains a key: {text}");
    }

    // The event again, as ACM sends it each day; to the same process and to another one.
    let written = stage.state().await;
    let mut another = stage.build().start().await;
    for function in [&mut function, &mut another] {
        let report = function.answer(&stage.event()).await.unwrap();
        for decision in report["decisions"].as_array().unwrap() {
            assert_eq!(decision["decision"], "keep", "{report:#}");
        }
    }
    assert_eq!(Chain::read(&stage.in_acm().await).unwrap().leaf, after);
    assert_eq!((stage.way.count("IssueCertificate"), stage.way.count("ImportCertificate")), (1, 1));
    assert_eq!(stage.state().await, written, "not even the state table was written");
}

#[tokio::test]
async fn new_key_is_stored_in_the_bound_secret() {
    let Some(theatre) = Theatre::open().await else { return };
    let stage = Stage::set(&theatre, "with-key", Kept::ImportedWithKey).await;
    let mut function = stage.build().start().await;
    function.answer(&stage.event()).await.unwrap();
    let after = Chain::read(&stage.in_acm().await).unwrap().leaf;
    assert_ne!(after.public_key, Chain::read(&stage.first.certificate).unwrap().leaf.public_key);
    let (_, current) = stage.at("AWSCURRENT").await.unwrap();
    assert_eq!(Chain::read(&current.chain.unwrap().leaf).unwrap().leaf, after, "the secret has its key");
    let (_, previous) = stage.at("AWSPREVIOUS").await.unwrap();
    assert_eq!(previous.key.as_ref(), Some(&stage.first.key));
    assert_eq!((stage.way.count("IssueCertificate"), stage.way.count("ImportCertificate")), (1, 1));
}
