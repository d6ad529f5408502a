use mesh::certificates::{Certificate, Chain, KeyKind, ParseError, leads_to};

use super::authority::{Authority, now};

#[test]
fn a_chain_is_read_with_all_that_matters() {
    let root = Authority::root("root", (2020, 2040));
    let middle = root.under("middle", (2021, 2035));
    let names = ["orders.local", "*.shop.local", "spiffe://shop/orders", "10.0.0.1", "fd00::1"];
    let chain = middle.chain(&names, (2026, 2027), &[&middle, &root]);
    let leaf = &chain.leaf;
    assert_eq!(leaf.names.dns, ["orders.local", "*.shop.local"]);
    assert_eq!(leaf.names.uris, ["spiffe://shop/orders"]);
    assert_eq!(leaf.names.addresses.len(), 2);
    assert_eq!(leaf.names.common.as_deref(), Some("leaf"));
    assert_eq!(leaf.key, KeyKind::Ec(256));
    assert!(!leaf.is_ca);
    assert_eq!(leaf.not_before.to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(leaf.not_after.to_string(), "2027-01-01T00:00:00Z");
    assert!(leaf.issuer.contains("middle"), "{}", leaf.issuer);
    let others: Vec<_> = chain.others.iter().map(|one| (one.is_ca, one.is_root())).collect();
    assert_eq!(others, [(true, false), (true, true)]);
    assert!(middle.certificate().issued(leaf));
    assert!(!root.certificate().issued(leaf));
    // Data stored for a replay reads back equal.
    let json = serde_json::to_string(&chain).unwrap();
    assert_eq!(serde_json::from_str::<Chain>(&json).unwrap(), chain);
}

#[test]
fn invalid_certificate_is_refused_without_its_content() {
    let root = Authority::root("root", (2020, 2040)).pem();
    let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    let wrong = "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n";
    let cut = &root[..root.len() / 2];
    for (text, expected) in [
        ("", ParseError::Empty),
        ("secret", ParseError::Empty),
        (key, ParseError::Empty),
        (wrong, ParseError::Certificate { block: 1 }),
        (&format!("{root}{wrong}"), ParseError::Certificate { block: 2 }),
        (&format!("{root}{cut}"), ParseError::Pem { block: 2 }),
    ] {
        let error = Certificate::read_all(text).unwrap_err();
        assert_eq!(error, expected, "{text}");
        assert!(!error.to_string().contains("c2VjcmV0"));
    }
    assert_eq!(Certificate::read_all(&format!("{key}{root}")).unwrap().len(), 1, "keys are passed over");
}

#[test]
fn a_chain_leads_to_an_anchor_by_any_way_that_holds() {
    let root = Authority::root("root", (2020, 2040));
    let same_name = Authority::root("root", (2020, 2040));
    let other = Authority::root("other", (2020, 2040));
    let ended = Authority::root("root", (2010, 2020));
    let middle = root.under("middle", (2021, 2035));
    let ended_middle = root.under("middle", (2021, 2025));
    let later = root.under("middle", (2027, 2035));
    let (good, old, new) = ((2026, 2027), (2024, 2025), (2027, 2028));
    let ended_leaf = ended.chain(&["a"], good, &[]);
    for (case, chain, anchors, expected) in [
        ("signed by the root", root.chain(&["a"], good, &[]), vec![&root], "ok"),
        ("one of two anchors", root.chain(&["a"], good, &[]), vec![&other, &root], "ok"),
        ("through an intermediate", middle.chain(&["a"], good, &[&middle]), vec![&root], "ok"),
        ("through one, the root sent along", middle.chain(&["a"], good, &[&root, &middle]), vec![&root], "ok"),
        ("an anchor that is not a root", middle.chain(&["a"], good, &[]), vec![&middle], "ok"),
        ("without its intermediate", middle.chain(&["a"], good, &[]), vec![&root], "untrusted"),
        ("of another CA", root.chain(&["a"], good, &[]), vec![&other], "untrusted"),
        ("of a namesake with another key", root.chain(&["a"], good, &[]), vec![&same_name], "untrusted"),
        ("no anchor at all", root.chain(&["a"], good, &[]), vec![], "untrusted"),
        ("a leaf that has ended", root.chain(&["a"], old, &[]), vec![&root], "expired certificate"),
        ("a leaf that has not begun", root.chain(&["a"], new, &[]), vec![&root], "early certificate"),
        (
            "an intermediate that has ended",
            ended_middle.chain(&["a"], good, &[&ended_middle]),
            vec![&root],
            "expired intermediate",
        ),
        ("an intermediate that has not begun", later.chain(&["a"], good, &[&later]), vec![&root], "early intermediate"),
        ("an anchor that has ended", ended_leaf, vec![&ended], "expired authority"),
    ] {
        let anchors: Vec<Certificate> = anchors.into_iter().map(Authority::certificate).collect();
        let found = match leads_to(&chain, &anchors.iter().collect::<Vec<_>>(), now()) {
            Ok(()) => "ok".to_owned(),
            Err(mesh::certificates::ChainFault::Untrusted { .. }) => "untrusted".to_owned(),
            Err(mesh::certificates::ChainFault::Expired { link, .. }) => format!("expired {link}"),
            Err(mesh::certificates::ChainFault::NotYetValid { link, .. }) => format!("early {link}"),
        };
        assert_eq!(found, expected, "{case}");
    }
}
