//! Tokens on tables: each changed header or claim is refused for its reason.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use mesh::name::AccountId;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use super::jws;
use super::token_keys::TokenKey;
use super::{ClusterKeySource, ClusterSettings, IdentitySettings, NodeTokens};
use crate::auth::Audience;
use crate::token_refusal::TokenRefusal;

const FRONT: &str = "mesh/shop/virtualNode/front";

/// The modulus of an RSA key that `openssl genrsa` made.
const RSA_MODULUS: &str = "wvhe5CPzrpLTNAO7bs_kM0j2Q1dVrMX6aiBumQkphsddYKgs-ajvprcovokNo4EaVddEix8xKo8AdRvAmZHloJwM5m_\
     F1Z5LhDSjp0GpHDX9jvJNLB5zHVAewwNTEjYVrGB5y0xFo-CKB2zJOjyuG43C3tveQBmyLQ2Ck-ITjnob9WR7sW30k4-41KKLS3SHmwojtM-Tuyx\
     IbKo75u2lpgFADf3ea-Is8NW3Sc1YQN7xd3trArBUcS2sDOto1PtZw5jjn6OR3PwHGuHX0RHYT6X-AMKUhGxMbolDeBnkeOiFPud1skRvSJzanuF\
     z7tWbrjCfDKmLZYEwc2JRcWAAFw";

/// A token of a service account that `openssl dgst -sha256 -sign` signed with that key. It expires 600 s after the tests' time.
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSJ9.eyJpc3MiOiJodHRwczovL2NsdXN0ZXIuZXhhbXBsZSIsImF1ZCI6WyJt\
     ZXNoLmludGVybmFsIl0sInN1YiI6InN5c3RlbTpzZXJ2aWNlYWNjb3VudDpzaG9wOmZyb250IiwiaWF0IjoxODAwMDAwMDAwLCJleHAiOjE4MDAw\
     MDA2MDB9.mKc-4n_XRc5LdNAXztA1MIm1dfMatB6wZw9ewV5gXg79eK0rRSEkFkWeTSjS_TU03Uu6diYYOgSKRBI9fJ-vZUXwZVOkp5w7MVFoUjE\
     MlPPU6cGt8dZ_xTa68m3ViZ8tWm5KHnO8RoTrDXMMwW5ddxFjOFBSBg88aLMUiMhrafMyvEIAVOAqbpaGXSiR4AHaKC2sfrK3PE5HJR9sMKqoQfV\
     nXco61zyeR7KPCiTQpj66Qb1SQyW7Ul5rBycDA9dArEnlK9xLRAzoXL4mjVGJJe8qX0YLta_7OZuWT53eIBoZ0i5_jz9xvpLjMhlFBM5ib2Ko7T1\
     m8NjXqOwG3a0yrg";

/// Temporary files, removed with the test.
struct Files(PathBuf);

impl Files {
    fn new(test: &str) -> Self {
        let folder = Self(std::env::temp_dir().join(format!("meshwarden-identity-{test}-{}", std::process::id())));
        fs::create_dir_all(&folder.0).unwrap();
        folder
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn account() -> AccountId {
    AccountId::parse("123456789012").unwrap()
}

fn tokens(audience: &str, keys: Vec<PathBuf>, cluster: Option<ClusterSettings>) -> NodeTokens {
    let settings = IdentitySettings { audience: Audience::parse(audience).unwrap(), keys, cluster };
    NodeTokens::open(&settings, account()).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn ed25519() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}

/// Signs any header and claims.
fn forge(header: &Value, claims: &Value, key: &TokenKey) -> String {
    let text = format!("{}.{}", jws::encode(header.to_string().as_bytes()), jws::encode(claims.to_string().as_bytes()));
    format!("{text}.{}", key.sign(&text))
}

#[test]
fn node_token_is_accepted_within_its_time_only() {
    let files = Files::new("time");
    let tokens = tokens("mesh.internal", vec![files.write("key.pem", &ed25519().serialize_pem())], None);
    let node = FRONT.parse().unwrap();
    let issued = tokens.issue(&node, Some("pod-1".to_owned()), SignedDuration::from_hours(1), at(0)).unwrap();
    assert_eq!(issued.expires, at(3600));
    for (seconds, expected) in [
        (0, None),
        (-60, None),
        (-61, Some(TokenRefusal::NotYetValid)),
        (3659, None),
        (3660, Some(TokenRefusal::Expired)),
        (100_000, Some(TokenRefusal::Expired)),
    ] {
        let verified = tokens.verify(&issued.text, at(seconds));
        assert_eq!(verified.as_ref().err().copied(), expected, "{seconds}");
        if let Ok(token) = verified {
            assert_eq!(
                (token.node, token.instance.as_deref(), token.id),
                (node.clone(), Some("pod-1"), issued.id.clone())
            );
            assert_eq!((token.issued, token.refused_from), (at(0), at(3660)));
        }
    }
    let short = tokens.issue(&node, None, SignedDuration::from_secs(10), at(0)).unwrap();
    assert_eq!(tokens.verify(&short.text, at(11)), Err(TokenRefusal::Expired), "a short token has a short leeway");
    let long = tokens.issue(&node, None, SignedDuration::from_hours(1000), at(0)).unwrap();
    assert_eq!(long.expires, at(24 * 3600));
}

#[test]
fn changed_header_or_claim_is_refused_for_its_reason() {
    let files = Files::new("forged");
    let pair = ed25519();
    let key = TokenKey::from_pkcs8(&pair.serialize_der()).unwrap();
    let tokens = tokens("mesh.internal", vec![files.write("key.pem", &pair.serialize_pem())], None);
    let header = json!({"alg": "EdDSA", "typ": "meshwarden-node+jwt", "kid": key.id});
    let claims = json!({
        "iss": "meshwarden", "aud": "mesh.internal", "sub": FRONT, "jti": "1",
        "iat": at(0).as_second(), "nbf": at(0).as_second(), "exp": at(600).as_second(),
    });
    assert!(tokens.verify(&forge(&header, &claims, &key), at(1)).is_ok(), "the unchanged token");
    let with = |value: &Value, member: &str, changed: Value| {
        let mut value = value.clone();
        value[member] = changed;
        value
    };
    for (member, changed, expected) in [
        ("alg", json!("none"), TokenRefusal::Algorithm),
        ("alg", json!("HS256"), TokenRefusal::Algorithm),
        ("alg", json!("RS256"), TokenRefusal::Algorithm),
        ("typ", json!("JWT"), TokenRefusal::Algorithm),
        ("kid", json!("other"), TokenRefusal::Key),
        ("kid", Value::Null, TokenRefusal::Key),
        ("crit", json!(["exp"]), TokenRefusal::Malformed),
    ] {
        let forged = forge(&with(&header, member, changed.clone()), &claims, &key);
        assert_eq!(tokens.verify(&forged, at(1)), Err(expected), "{member} {changed}");
    }
    for (member, changed, expected) in [
        ("iss", json!("other"), TokenRefusal::Issuer),
        ("aud", json!("other.internal"), TokenRefusal::Audience),
        ("aud", json!(["mesh.internal"]), TokenRefusal::Claims),
        ("sub", json!("mesh/shop"), TokenRefusal::Claims),
        ("sub", json!("mesh/shop@210987654321/virtualNode/front"), TokenRefusal::Claims),
        ("exp", json!(at(-2).as_second()), TokenRefusal::Claims),
        ("exp", json!(at(25 * 3600).as_second()), TokenRefusal::Claims),
        ("exp", json!("never"), TokenRefusal::Claims),
        ("nbf", json!(at(120).as_second()), TokenRefusal::NotYetValid),
        ("admin", json!(true), TokenRefusal::Claims),
    ] {
        let forged = forge(&header, &with(&claims, member, changed.clone()), &key);
        assert_eq!(tokens.verify(&forged, at(1)), Err(expected), "{member} {changed}");
    }
    let valid = forge(&header, &claims, &key);
    let other = TokenKey::from_pkcs8(&ed25519().serialize_der()).unwrap();
    assert_eq!(tokens.verify(&forge(&header, &claims, &other), at(1)), Err(TokenRefusal::Signature), "another key");
    let (signed, _) = valid.rsplit_once('.').unwrap();
    for (text, expected) in [
        (format!("{signed}."), TokenRefusal::Signature),
        (signed.to_owned(), TokenRefusal::Malformed),
        (format!("{valid}="), TokenRefusal::Malformed),
        (format!("{valid}.x"), TokenRefusal::Malformed),
        (format!("{signed}.{}", "A".repeat(9000)), TokenRefusal::Malformed),
        (String::new(), TokenRefusal::Malformed),
        ("a.b.c".to_owned(), TokenRefusal::Malformed),
    ] {
        assert_eq!(tokens.verify(&text, at(1)), Err(expected), "{text}");
    }
}

#[test]
fn tokens_of_an_added_key_are_accepted_until_it_is_removed() {
    let files = Files::new("rotation");
    let old = files.write("old.pem", &ed25519().serialize_pem());
    let new = files.write("new.pem", &ed25519().serialize_pem());
    let node = FRONT.parse().unwrap();
    let issue = |tokens: &NodeTokens| tokens.issue(&node, None, SignedDuration::from_mins(5), at(0)).unwrap().text;
    let (before, both) = (tokens("a", vec![old.clone()], None), tokens("a", vec![new.clone(), old], None));
    let after = tokens("a", vec![new.clone()], None);
    let (by_old, by_new) = (issue(&before), issue(&both));
    assert!(both.verify(&by_old, at(0)).is_ok() && both.verify(&by_new, at(0)).is_ok());
    assert!(after.verify(&by_new, at(0)).is_ok());
    assert_eq!(after.verify(&by_old, at(0)), Err(TokenRefusal::Key));
    files.write("new.pem", "no key");
    assert_eq!(after.verify(&by_new, at(0)), Err(TokenRefusal::Key), "an invalid file verifies nothing");
    assert!(after.issue(&node, None, SignedDuration::from_mins(5), at(0)).is_err());
    fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).unwrap();
    let settings = IdentitySettings { audience: Audience::parse("a").unwrap(), keys: vec![new], cluster: None };
    let error = NodeTokens::open(&settings, account()).unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
}

#[test]
fn service_account_is_verified_by_the_published_keys_of_its_cluster() {
    let files = Files::new("cluster");
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let point = pair.der_bytes();
    let (x, y) = (jws::encode(&point[1..33]), jws::encode(&point[33..65]));
    let keys = json!({"keys": [
        {"kty": "EC", "crv": "P-256", "kid": "1", "use": "sig", "alg": "ES256", "x": x, "y": y},
        {"kty": "EC", "crv": "P-256", "kid": "enc", "use": "enc", "x": x, "y": y},
        {"kty": "OKP", "crv": "Ed25519", "kid": "2", "x": x},
        {"kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": RSA_MODULUS, "e": "AQAB"},
    ]});
    let keys = files.write("jwks.json", &keys.to_string());
    let keys = ClusterKeySource::File(keys);
    let cluster = ClusterSettings { issuer: "https://cluster.example".to_owned(), keys, streams: false };
    let tokens = tokens("mesh.internal", vec![files.write("key.pem", &ed25519().serialize_pem())], Some(cluster));
    let cluster = tokens.cluster().unwrap();
    let random = SystemRandom::new();
    let signer = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der(), &random).unwrap();
    let sign = |header: &Value, claims: &Value| {
        let text =
            format!("{}.{}", jws::encode(header.to_string().as_bytes()), jws::encode(claims.to_string().as_bytes()));
        format!("{text}.{}", jws::encode(signer.sign(&random, text.as_bytes()).unwrap().as_ref()))
    };
    let subject = "system:serviceaccount:shop:front";
    let header = json!({"alg": "ES256", "kid": "1"});
    let claims = json!({
        "iss": "https://cluster.example", "aud": ["mesh.internal"], "sub": subject,
        "iat": at(0).as_second(), "exp": at(600).as_second(), "nbf": at(0).as_second(),
        "kubernetes.io": {"namespace": "shop"},
    });
    let verified = cluster.verify(&sign(&header, &claims), at(1)).unwrap();
    assert_eq!((verified.subject.as_str(), verified.id, verified.refused_from), (subject, None, at(660)));
    assert_eq!(verified.issued, at(0));
    for (in_header, member, changed, expected) in [
        (true, "alg", json!("RS256"), TokenRefusal::Algorithm),
        (true, "alg", json!("none"), TokenRefusal::Algorithm),
        (true, "kid", json!("enc"), TokenRefusal::Key),
        (true, "kid", json!("2"), TokenRefusal::Key),
        (true, "typ", json!("meshwarden-node+jwt"), TokenRefusal::Algorithm),
        (false, "iss", json!("https://other.example"), TokenRefusal::Issuer),
        (false, "aud", json!(["https://kubernetes.default.svc"]), TokenRefusal::Audience),
        (false, "exp", json!(at(-60).as_second()), TokenRefusal::Expired),
        (false, "nbf", json!(at(120).as_second()), TokenRefusal::NotYetValid),
        (false, "sub", json!(""), TokenRefusal::Claims),
        (false, "iat", Value::Null, TokenRefusal::Claims),
        (false, "exp", json!(at(25 * 3600).as_second()), TokenRefusal::Claims),
    ] {
        let (mut header, mut claims) = (header.clone(), claims.clone());
        if in_header {
            header[member] = changed.clone();
        } else {
            claims[member] = changed.clone();
        }
        assert_eq!(cluster.verify(&sign(&header, &claims), at(1)), Err(expected), "{member} {changed}");
    }
    assert_eq!(cluster.verify(RSA_TOKEN, at(1)).map(|token| token.subject), Ok(subject.to_owned()));
    assert_eq!(cluster.verify(RSA_TOKEN, at(660)), Err(TokenRefusal::Expired));
    let (before, signature) = RSA_TOKEN.rsplit_once('.').unwrap();
    let changed = format!("{before}.{}", signature.replacen(|c: char| c.is_ascii_lowercase(), "A", 1));
    assert_eq!(cluster.verify(&changed, at(1)), Err(TokenRefusal::Signature));
    let node_token = tokens.issue(&FRONT.parse().unwrap(), None, SignedDuration::from_mins(5), at(0)).unwrap();
    assert!(
        cluster.verify(&node_token.text, at(1)).is_err(),
        "a node token does not pass as a token of a service account"
    );
}
