//! Secrets in the form in which they are sent.

use serde_json::{Value, json};
use xds::{ResourceType, SecretMaterial, SecretRef};

use crate::printed::message;

fn sent(secret: &SecretRef, material: Option<&SecretMaterial>) -> Option<Value> {
    secret.resource(material).map(|resource| message(ResourceType::Secret.url(), resource.body()))
}

fn files(chain: &str, key: &str) -> SecretRef {
    SecretRef::Files { certificate_chain: chain.to_owned(), private_key: key.to_owned() }
}

#[test]
fn file_secret_names_and_watches_its_files() {
    let watched = |secret: &SecretRef| {
        let secret = sent(secret, None).unwrap();
        let inner = secret.get("tls_certificate").or(secret.get("validation_context")).unwrap();
        inner["watched_directory"]["path"].as_str().map(ToOwned::to_owned)
    };
    assert_eq!(watched(&files("/certs/chain.pem", "/certs/key.pem")).as_deref(), Some("/certs"));
    assert_eq!(watched(&files("/chain.pem", "/key.pem")).as_deref(), Some("/"));
    assert_eq!(watched(&files("chain.pem", "key.pem")).as_deref(), Some("."));
    // Envoy then watches each file separately.
    assert_eq!(watched(&files("/certs/chain.pem", "/keys/key.pem")), None);
    assert_eq!(watched(&SecretRef::TrustFile("/certs/ca.pem".to_owned())).as_deref(), Some("/certs"));
    assert_eq!(
        sent(&files("/certs/chain.pem", "/certs/key.pem"), None).unwrap(),
        json!({
            "name": "file:/certs/chain.pem,/certs/key.pem",
            "tls_certificate": {
                "certificate_chain": {"filename": "/certs/chain.pem"},
                "private_key": {"filename": "/certs/key.pem"},
                "watched_directory": {"path": "/certs", "watch_modify": true},
            },
        })
    );
}

#[test]
fn secret_with_inline_material_waits_for_the_material() {
    let certificate = SecretMaterial::Certificate { chain: "CHAIN".to_owned(), key: "KEY".to_owned().into() };
    let trust = SecretMaterial::Trust { roots: "ROOTS".to_owned() };
    let arn = || "arn:one".to_owned();
    for (secret, material, name, expected) in [
        (
            SecretRef::AcmCertificate(arn()),
            &certificate,
            "arn:one",
            json!({"tls_certificate": {"certificate_chain": {"inline_string": "CHAIN"}, "private_key": {"inline_string": "KEY"}}}),
        ),
        (
            SecretRef::AcmTrust(vec![arn(), "arn:two".to_owned()]),
            &trust,
            "trust:arn:one,arn:two",
            json!({"validation_context": {"trusted_ca": {"inline_string": "ROOTS"}}}),
        ),
        (
            SecretRef::AcmIssuer(arn()),
            &trust,
            "issuer:arn:one",
            json!({"validation_context": {"trusted_ca": {"inline_string": "ROOTS"}}}),
        ),
        (
            SecretRef::Bundle("spiffe://shop".to_owned()),
            &trust,
            "spiffe://shop",
            json!({"validation_context": {"trusted_ca": {"inline_string": "ROOTS"}}}),
        ),
    ] {
        assert_eq!(sent(&secret, None), None, "{secret:?}");
        let mut expected = expected;
        expected["name"] = json!(name);
        assert_eq!(sent(&secret, Some(material)).unwrap(), expected);
    }
}

#[test]
fn debug_output_hides_the_private_key() {
    let key = "-----BEGIN PRIVATE KEY-----".to_owned();
    let certificate = SecretMaterial::Certificate { chain: "CHAIN".to_owned(), key: key.into() };
    let resource = SecretRef::AcmCertificate("arn:one".to_owned()).resource(Some(&certificate)).unwrap();
    assert!(!format!("{certificate:?} {resource:?}").contains("PRIVATE"));
}
