//! Changes of certificates and trust: the fields that they set, keep and refuse.

use mesh::certificates::{AuthorityArn, CertificateArn, SpecLocation};
use mesh::change::Change;
use mesh::name::ResourcePath;
use mesh::spec::Spec;
use serde_json::{Value, json};

fn path(text: &str) -> ResourcePath {
    ResourcePath::parse(&format!("mesh/m/{text}")).unwrap()
}

fn listener(port: u16, certificate: &Value) -> Value {
    json!({"portMapping": {"port": port, "protocol": "http"}, "tls": {"mode": "STRICT", "certificate": certificate},
        "healthCheck": {"protocol": "tcp", "healthyThreshold": 2, "intervalMillis": 5000, "timeoutMillis": 2000,
            "unhealthyThreshold": 2}})
}

fn acm(arn: &str) -> Value {
    json!({"acm": {"certificateArn": arn, "ofANewerApi": true}})
}

/// Makes a change; the spec afterwards, or the refusal.
fn made(change: &Change, spec: &Value) -> Result<Value, String> {
    let again: Change = serde_json::from_value(serde_json::to_value(change).unwrap()).unwrap();
    assert_eq!(again, *change, "it reads back");
    let mut spec = Spec::read(change.resource().kind(), spec).unwrap();
    let before = spec.clone();
    match change.apply_to(&mut spec) {
        Ok(()) => {
            let once = spec.to_json();
            change.apply_to(&mut spec).unwrap();
            assert_eq!(spec.to_json(), once, "the same again changes nothing");
            Ok(once)
        }
        Err(error) => {
            assert_eq!(spec, before, "a refusal leaves all as it was");
            Err(error.to_string())
        }
    }
}

fn set_certificate(of: &str, port: u16) -> Change {
    let (port, certificate) = (port.try_into().unwrap(), CertificateArn::new("arn:new"));
    Change::SetListenerCertificate { resource: path(of), port, certificate }
}

#[test]
fn a_listener_gets_another_certificate_and_nothing_else_changes() {
    let sds = json!({"sds": {"secretName": "a"}});
    let spec = |first: &Value| {
        json!({"listeners": [listener(8080, first), listener(8081, &acm("arn:other")), listener(8082, &sds)],
            "backends": [{"virtualService": {"virtualServiceName": "s.local"}}], "ofANewerApi": 1})
    };
    let node = "virtualNode/a";
    assert_eq!(made(&set_certificate(node, 8080), &spec(&acm("arn:old"))), Ok(spec(&acm("arn:new"))));
    for (port, port_text) in [(8082, "8082"), (9999, "9999")] {
        let refused = made(&set_certificate(node, port), &spec(&acm("arn:old"))).unwrap_err();
        assert!(refused.contains(port_text), "{refused}");
    }
    let gateway = |first: &Value| json!({"listeners": [listener(443, first)]});
    let changed = made(&set_certificate("virtualGateway/g", 443), &gateway(&acm("arn:old")));
    assert_eq!(changed, Ok(gateway(&acm("arn:new"))));
}

fn set_trust(of: &str, place: SpecLocation, arns: &[&str], names: &[&str]) -> Change {
    let authorities = arns.iter().map(|arn| AuthorityArn::new(*arn)).collect();
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Change::SetTrust { resource: path(of), place, authorities, names }
}

#[test]
fn trust_is_set_where_a_policy_is_and_made_where_none_is() {
    let backend = |policy: Option<Value>| {
        let mut service = json!({"virtualServiceName": "s.local"});
        if let Some(tls) = policy {
            service["clientPolicy"] = json!({"tls": tls});
        }
        json!({"virtualService": service})
    };
    let own = || SpecLocation::Backend { service: "s.local".parse().unwrap() };
    let arns = |arns: &[&str]| json!({"acm": {"certificateAuthorityArns": arns}});
    let tls = |trust: &Value| {
        json!({"enforce": true, "ports": [8080], "certificate": {"sds": {"secretName": "web"}},
            "validation": {"trust": trust, "subjectAlternativeNames": {"match": {"exact": ["s.local"]}}}})
    };
    let new = |names: Option<&[&str]>| {
        let mut validation = json!({"trust": arns(&["old", "new"])});
        if let Some(names) = names {
            validation["subjectAlternativeNames"] = json!({"match": {"exact": names}});
        }
        json!({"enforce": false, "validation": validation})
    };
    let other = backend(None);
    let node = |policy: Option<Value>| json!({"backends": [backend(policy)]});
    let both = ["old", "new"];
    for (case, change, before, after) in [
        (
            "the old one and the new one",
            set_trust("virtualNode/a", own(), &both, &["ignored.local"]),
            node(Some(tls(&arns(&["old"])))),
            Ok(node(Some(tls(&arns(&both))))),
        ),
        (
            "no policy: one that takes the names",
            set_trust("virtualNode/a", own(), &both, &["s.shop.local"]),
            node(None),
            Ok(node(Some(new(Some(&["s.shop.local"]))))),
        ),
        ("and without names", set_trust("virtualNode/a", own(), &both, &[]), node(None), Ok(node(Some(new(None))))),
        (
            "the default of a node",
            set_trust("virtualNode/a", SpecLocation::BackendDefaults, &both, &[]),
            json!({"backends": [other], "backendDefaults": {"clientPolicy": {"tls": tls(&arns(&["old"]))}}}),
            Ok(json!({"backends": [other], "backendDefaults": {"clientPolicy": {"tls": tls(&arns(&both))}}})),
        ),
        (
            "a gateway has only its default",
            set_trust("virtualGateway/g", SpecLocation::BackendDefaults, &both, &[]),
            json!({"listeners": []}),
            Ok(json!({"listeners": [], "backendDefaults": {"clientPolicy": {"tls": new(None)}}})),
        ),
        (
            "trust from a secret is not turned into trust of CAs",
            set_trust("virtualNode/a", own(), &both, &[]),
            node(Some(tls(&json!({"sds": {"secretName": "ca"}})))),
            Err("s.local"),
        ),
        ("no such backend", set_trust("virtualNode/a", own(), &both, &[]), json!({}), Err("s.local")),
        (
            "more than three",
            set_trust("virtualNode/a", own(), &["1", "2", "3", "4"], &[]),
            node(Some(tls(&arns(&["1"])))),
            Err("4"),
        ),
        ("none", set_trust("virtualNode/a", own(), &[], &[]), node(Some(tls(&arns(&["1"])))), Err("0")),
    ] {
        match (made(&change, &before), after) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{case}"),
            (Err(why), Err(part)) => assert!(why.contains(part), "{case}: {why}"),
            (found, expected) => panic!("{case}: {found:?} and not {expected:?}"),
        }
    }
}
