//! The function resumes from documents that the version before `records` stored.

use jiff::SignedDuration;
use mesh::certificates::{CertificateSource as Source, SecretName};
use ports::{StateKey, Stored};
use serde_json::{Value, json};

use crate::shop::{DAY, Shop};

/// The state table that the version wrote.
const TABLE: &str = include_str!("../../../../shared/records/tests/golden/format-0.json");

/// The documents of the version about the subjects of rotations.
fn documents() -> Vec<(String, Value)> {
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let documents = table["documents"].as_array().unwrap().iter();
    let named = documents.map(|stored| (stored["key"].as_str().unwrap().to_owned(), stored["document"].clone()));
    named.filter(|(key, _)| key.starts_with("certificate/")).collect()
}

fn put(shop: &Shop, subject: &str, document: Value) {
    let stored = Stored { revision: 3, epoch: 2, lease: None, document };
    shop.ports.state.put(&StateKey::certificate(subject), stored);
}

#[tokio::test(start_paused = true)]
async fn renewal_resumes_from_each_document_of_the_previous_version() {
    let leaves = documents().into_iter().filter(|(_, document)| document["leaf"].is_object());
    let leaves: Vec<Value> = leaves.map(|(_, document)| document).collect();
    assert!(leaves.len() > 10, "{}", leaves.len());
    let source = Source::Sds(SecretName::new("pay"));
    for mut document in leaves {
        let shop = Shop::open().await;
        let before = shop.leaf(&source).await.leaf.fingerprint;
        // The document is about the present certificate.
        let stored = document["leaf"]["fingerprint"].take();
        document["leaf"]["fingerprint"] = json!(before);
        put(&shop, "sds:pay", document.clone());
        // All times in the documents of unfinished renewals are before this day.
        shop.wait(DAY * 64);
        let is_moved_back = document["leaf"]["movedBack"].is_object();
        let mut last = Vec::new();
        for _ in 0..60 {
            last = shop.invoke().await.unwrap().decisions;
            let unread = last.iter().find(|one| ["RecordUnreadable", "RecordNewer"].contains(&one.reason.as_str()));
            assert_eq!(unread, None, "{document}");
            if shop.leaf(&source).await.leaf.fingerprint != before {
                break;
            }
            shop.wait(SignedDuration::from_mins(30));
        }
        let is_renewed = shop.leaf(&source).await.leaf.fingerprint != before;
        assert!(is_renewed || is_moved_back, "{stored}: {document}: {last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn documents_of_trusts_meshes_and_authorities_are_read() {
    let others: Vec<_> = documents().into_iter().filter(|(_, document)| document["leaf"].is_null()).collect();
    assert!(others.iter().any(|(key, _)| key == "certificate/sds:ca"), "{others:?}");
    for (key, document) in others {
        let subject = key.strip_prefix("certificate/").unwrap().replace("mesh/lab", "mesh/shop");
        let shop = Shop::open().await;
        put(&shop, &subject, document);
        shop.wait(DAY * 64);
        let report = shop.invoke().await.unwrap();
        let unread = report.decisions.iter().find(|one| one.reason.starts_with("Record"));
        assert_eq!(unread, None, "{subject}");
        let page = shop.ports.notifier.sent().into_iter().find(|sent| sent.subject.contains("Record"));
        assert_eq!(page, None, "{subject}");
    }
}
