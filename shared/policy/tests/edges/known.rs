//! The TLS verdicts with known certificates.

use mesh::certificates::{
    Anchor, AuthorityArn, CertificateArn, CertificateSource, Chain, Readings, SecretName, SourceReading,
};
use serde_json::{Value, json};

use super::authority::{Authority, Years};
use super::samples::{AUTHORITY, CERTIFICATE, acm, one_edge, pair, trust, verdict_text};

const GOOD: Years = (2026, 2027);

fn server() -> CertificateSource {
    CertificateSource::Acm(CertificateArn::new(CERTIFICATE))
}

fn root_arn() -> Anchor {
    Anchor::Authority(AuthorityArn::new(AUTHORITY))
}

#[derive(Default)]
struct Known(Readings);

impl Known {
    fn presents(mut self, source: CertificateSource, chain: Chain) -> Self {
        self.0.chains.insert(source, SourceReading::Known(chain));
        self
    }

    fn trusts(mut self, anchor: Anchor, authorities: &[&Authority]) -> Self {
        let certificates = authorities.iter().map(|authority| authority.certificate()).collect();
        self.0.anchors.insert(anchor, SourceReading::Known(certificates));
        self
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of cases")]
fn a_servers_certificate_is_looked_at_as_the_client_would() {
    let root = Authority::root("root", (2020, 2040));
    let other = Authority::root("other", (2020, 2040));
    let tls = json!({"mode": "STRICT", "certificate": acm()});
    let names = |names: &[&str]| {
        let mut validation = trust(AUTHORITY);
        validation["subjectAlternativeNames"] = json!({"match": {"exact": names}});
        json!({ "validation": validation })
    };
    let plain = json!({"validation": trust(AUTHORITY)});
    let chain = |authority: &Authority, name: &str, years: Years| authority.chain(&[name], years, &[authority]);
    let by_root = || Known::default().trusts(root_arn(), &[&root]);
    for (case, policy, known, expected, proven) in [
        (
            "all is well",
            plain.clone(),
            by_root().presents(server(), chain(&root, "orders.shop.local", GOOD)),
            "tls",
            true,
        ),
        ("a wildcard", plain.clone(), by_root().presents(server(), chain(&root, "*.shop.local", GOOD)), "tls", true),
        (
            "the service's name only",
            plain.clone(),
            by_root().presents(server(), chain(&root, "orders.local", GOOD)),
            "broken name-mismatch",
            true,
        ),
        (
            "a name that the policy names",
            names(&["a", "orders.local"]),
            by_root().presents(server(), chain(&root, "orders.local", GOOD)),
            "tls",
            true,
        ),
        (
            "only one that it doesn't",
            names(&["a"]),
            by_root().presents(server(), chain(&root, "orders.shop.local", GOOD)),
            "broken name-mismatch",
            true,
        ),
        (
            "an empty list of names",
            names(&[]),
            by_root().presents(server(), chain(&root, "orders.shop.local", GOOD)),
            "tls",
            true,
        ),
        (
            "of another authority",
            plain.clone(),
            by_root().presents(server(), chain(&other, "orders.shop.local", GOOD)),
            "broken distrusted",
            true,
        ),
        (
            "ended",
            plain.clone(),
            by_root().presents(server(), chain(&root, "orders.shop.local", (2024, 2025))),
            "broken distrusted",
            true,
        ),
        (
            "trust that was not read",
            plain.clone(),
            Known::default().presents(server(), chain(&root, "orders.shop.local", GOOD)),
            "tls",
            false,
        ),
        (
            "ended, and trust not read",
            plain.clone(),
            Known::default().presents(server(), chain(&root, "orders.shop.local", (2024, 2025))),
            "broken distrusted",
            true,
        ),
        (
            "another name, and trust not read",
            plain.clone(),
            Known::default().presents(server(), chain(&root, "x", GOOD)),
            "broken name-mismatch",
            true,
        ),
        ("a certificate that was not read", plain.clone(), by_root(), "tls", false),
        (
            "no policy, the root in the chain",
            Value::Null,
            Known::default().presents(server(), chain(&root, "x", GOOD)),
            "tls",
            true,
        ),
        (
            "no policy, ended",
            Value::Null,
            Known::default().presents(server(), chain(&root, "x", (2024, 2025))),
            "broken distrusted",
            true,
        ),
        (
            "no policy, no root in the chain",
            Value::Null,
            Known::default().presents(server(), root.chain(&["x"], GOOD, &[])),
            "tls",
            false,
        ),
    ] {
        let edge = one_edge(&pair(&policy, &tls), &known.0);
        assert_eq!(verdict_text(&edge), expected, "{case}: {}", edge.verdict);
        assert_eq!(edge.is_proven(), proven, "{case}: {:?}", edge.unknown);
    }
}

#[test]
fn one_known_authority_is_enough_and_one_unknown_keeps_it_open() {
    let root = Authority::root("root", (2020, 2040));
    let tls = json!({"mode": "STRICT", "certificate": acm()});
    let policy = json!({"validation": {"trust": {"acm": {"certificateAuthorityArns": [AUTHORITY, "arn:other"]}}}});
    let mesh = pair(&policy, &tls);
    let presents = || Known::default().presents(server(), root.chain(&["orders.shop.local"], GOOD, &[]));
    let other = Authority::root("other", (2020, 2040));

    let edge = one_edge(&mesh, &presents().trusts(root_arn(), &[&root]).0);
    assert!(edge.is_proven(), "{:?}", edge.unknown);
    let edge = one_edge(&mesh, &presents().trusts(root_arn(), &[&other]).0);
    assert_eq!((verdict_text(&edge).as_str(), edge.is_proven()), ("tls", false));
    let both = presents().trusts(root_arn(), &[&other]).trusts(Anchor::Authority(AuthorityArn::new("arn:other")), &[]);
    assert_eq!(verdict_text(&one_edge(&mesh, &both.0)), "broken distrusted");
}

#[test]
fn a_client_certificate_is_verified_as_the_server_does() {
    let root = Authority::root("root", (2020, 2040));
    let other = Authority::root("other", (2020, 2040));
    let names_client = |names: &[&str]| {
        let mut validation = json!({"trust": {"sds": {"secretName": "ca"}}});
        if !names.is_empty() {
            validation["subjectAlternativeNames"] = json!({"match": {"exact": names}});
        }
        json!({"mode": "STRICT", "certificate": acm(), "validation": validation})
    };
    let policy = json!({"certificate": {"sds": {"secretName": "web"}}, "validation": trust(AUTHORITY)});
    let client = |chain: Chain| {
        Known::default()
            .trusts(root_arn(), &[&root])
            .trusts(Anchor::Sds(SecretName::new("ca")), &[&root])
            .presents(server(), root.chain(&["orders.shop.local"], GOOD, &[]))
            .presents(CertificateSource::Sds(SecretName::new("web")), chain)
    };
    let web = "spiffe://shop/web";
    for (case, names, chain, expected) in [
        ("any name", &[][..], root.chain(&["x"], GOOD, &[]), "mtls"),
        ("a name that is wanted", &[web][..], root.chain(&[web], GOOD, &[]), "mtls"),
        ("another name", &[web][..], root.chain(&["x"], GOOD, &[]), "broken name-mismatch"),
        ("another authority", &[][..], other.chain(&["x"], GOOD, &[]), "broken distrusted"),
        ("ended", &[][..], root.chain(&["x"], (2024, 2025), &[]), "broken distrusted"),
    ] {
        let edge = one_edge(&pair(&policy, &names_client(names)), &client(chain).0);
        assert_eq!(verdict_text(&edge), expected, "{case}: {}", edge.verdict);
        assert!(edge.is_proven(), "{case}: {:?}", edge.unknown);
        let json = serde_json::to_value(&edge).unwrap();
        if expected.starts_with("broken") {
            assert_eq!(json["of"], "client", "{case}");
        }
    }
}
