//! The harms of a change to edges, on tables with the edges before and after.

use mesh::certificates::{Anchor, AuthorityArn, CertificateArn, CertificateSource, Readings, SourceReading};
use policy::edges::edge_harms;
use serde_json::{Value, json};

use super::authority::Authority;
use super::samples::{AUTHORITY, CERTIFICATE, acm, one_edge, pair, trust};

const NOTHING: Value = Value::Null;
const OTHER: &str = "arn:aws:acm-pca:eu-west-1:123456789012:certificate-authority/other";
const OTHER_NAME: &str = "arn:aws:acm:eu-west-1:123456789012:certificate/other-name";
const UNREAD: &str = "arn:aws:acm:eu-west-1:123456789012:certificate/unread";

fn readings() -> Readings {
    let (root, other) = (Authority::root("root", (2020, 2040)), Authority::root("other", (2020, 2040)));
    let mut readings = Readings::default();
    for (arn, name) in [(CERTIFICATE, "orders.shop.local"), (OTHER_NAME, "stock.shop.local")] {
        let chain = SourceReading::Known(root.chain(&[name], (2026, 2027), &[&root]));
        readings.chains.insert(CertificateSource::Acm(CertificateArn::new(arn)), chain);
    }
    for (arn, authority) in [(AUTHORITY, &root), (OTHER, &other)] {
        let anchor = Anchor::Authority(AuthorityArn::new(arn));
        readings.anchors.insert(anchor, SourceReading::Known(vec![authority.certificate()]));
    }
    readings
}

fn listener(arn: &str) -> Value {
    json!({"mode": "STRICT", "certificate": {"acm": {"certificateArn": arn}}})
}

#[test]
fn each_harm_has_an_id_and_names_the_edge() {
    let sds = json!({"sds": {"secretName": "web"}});
    let requires_client =
        json!({"mode": "STRICT", "certificate": acm(), "validation": {"trust": {"sds": {"secretName": "ca"}}}});
    let tls = listener(CERTIFICATE);
    let policy = json!({"validation": trust(AUTHORITY)});
    let loose = json!({"enforce": false, "validation": trust(AUTHORITY)});
    let showing = json!({"certificate": sds, "validation": trust(AUTHORITY)});
    for (case, before, after, expected) in [
        ("nothing changes", (&policy, &tls), (&policy, &tls), None),
        ("a policy is made", (&NOTHING, &tls), (&policy, &tls), None),
        ("TLS is taken off", (&loose, &tls), (&loose, &NOTHING), Some("tls-lost")),
        (
            "the listener stops requiring a client certificate",
            (&showing, &requires_client),
            (&showing, &tls),
            Some("mtls-lost"),
        ),
        ("another name", (&policy, &tls), (&policy, &listener(OTHER_NAME)), Some("san-mismatch")),
        ("another CA", (&policy, &tls), (&json!({"validation": trust(OTHER)}), &tls), Some("distrust")),
        ("refused plain text", (&loose, &NOTHING), (&policy, &NOTHING), Some("edge-broken")),
        ("a client certificate is required", (&policy, &tls), (&policy, &requires_client), Some("edge-broken")),
        ("it could not be read", (&policy, &tls), (&policy, &listener(UNREAD)), Some("unproven")),
        ("it was broken before", (&policy, &NOTHING), (&policy, &listener(OTHER_NAME)), None),
        ("it was repaired", (&policy, &listener(OTHER_NAME)), (&policy, &tls), None),
        ("it was not known before", (&policy, &listener(UNREAD)), (&policy, &listener(UNREAD)), None),
    ] {
        let readings = readings();
        let of = |(policy, tls): (&Value, &Value)| one_edge(&pair(policy, tls), &readings);
        let harms = edge_harms(&[of(before)], &[of(after)]);
        let ids: Vec<&str> = harms.iter().map(policy::edges::EdgeHarm::id).collect();
        assert_eq!(ids, expected.into_iter().collect::<Vec<_>>(), "{case}: {harms:?}");
        for harm in &harms {
            assert_eq!((harm.edge().from.name(), harm.edge().to.name()), ("web", "orders"), "{case}");
            assert!(harm.to_string().contains("web to orders for orders.local"), "{case}: {harm}");
        }
    }
}

#[test]
fn added_or_removed_edge_is_not_a_harm() {
    let readings = readings();
    let edge = one_edge(&pair(&json!({"validation": trust(AUTHORITY)}), &listener(CERTIFICATE)), &readings);
    assert_eq!(edge_harms(&[], std::slice::from_ref(&edge)), []);
    assert_eq!(edge_harms(&[edge], &[]), []);
}
