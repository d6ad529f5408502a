//! Node tokens for tasks that prove their IAM role, and for keys.

use aws::{Aws, NodeTokenRequest};
use control_plane::{ApiAuth, Audience, IdentitySettings, StsSettings};
use ports::PortErrorKind;
use rcgen::{KeyPair, PKCS_ED25519};

use crate::plane::{GuardedControlPlane, KeyFile};
use crate::sts::{AUDIENCE, config, identity_of, mesh};
use crate::sts_server::{Sts, StsBehaviour};

const RIGHTS: &str = r#"{"subjects": [
    {"role": "arn:aws:iam::123456789012:role/meshwarden-fail*", "grants": [{"tokens": ["mesh/shop/virtualNode/front"]}]},
    {"key": "AKIDISSUER", "grants": [{"tokens": ["mesh/shop/*"]}]},
    {"key": "AKIDADMIN", "grants": [{"meshes": ["*"], "level": "write", "certificates": true}]}
]}"#;

fn request(node: &str) -> NodeTokenRequest {
    let node = format!("mesh/shop/virtualNode/{node}");
    NodeTokenRequest { node, instance: Some("task-1".to_owned()), lifetime_seconds: 600 }
}

async fn plane(test: &str, api_auth: ApiAuth) -> GuardedControlPlane {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem();
    let (key, rights) =
        (KeyFile::keys(&format!("{test}-token"), &key), KeyFile::keys(&format!("{test}-rights"), RIGHTS));
    let audience = Audience::parse("mesh.internal").unwrap();
    let identity = IdentitySettings { audience, keys: vec![key.path().to_owned()], cluster: None };
    let mut plane = GuardedControlPlane::with_identity(api_auth, Some(&rights), Some(identity)).await;
    plane.keep(key);
    plane.keep(rights);
    plane
}

#[tokio::test]
async fn task_gets_the_token_of_the_node_that_its_role_is_mapped_to() {
    let sts = Sts::start(StsBehaviour::Honest).await;
    let settings = StsSettings {
        audience: Audience::parse(AUDIENCE).unwrap(),
        roles: vec!["arn:aws:iam::123456789012:role/*".parse().unwrap()],
        endpoint: Some(sts.endpoint.parse().unwrap()),
    };
    let plane = plane("sts", ApiAuth::Sts(settings)).await;
    let task = mesh(config(&plane.endpoint, identity_of(0), 0), &sts.endpoint, AUDIENCE);
    let issued = task.node_token(&request("front")).await.unwrap();
    assert_eq!(issued.token.split('.').count(), 3, "{issued:?}");
    let denied = task.node_token(&request("back")).await.unwrap_err();
    assert_eq!(denied.kind, PortErrorKind::Denied);
    assert!(denied.to_string().contains("the grant tokens for mesh/shop/virtualNode/back"), "{denied}");
    let other = mesh(config(&plane.endpoint, identity_of(1), 0), &sts.endpoint, AUDIENCE);
    assert_eq!(
        other.node_token(&request("front")).await.unwrap_err().kind,
        PortErrorKind::Denied,
        "a role without an entry"
    );
    let elsewhere = mesh(config(&plane.endpoint, identity_of(0), 0), &sts.endpoint, "other.internal");
    assert_eq!(
        elsewhere.node_token(&request("front")).await.unwrap_err().kind,
        PortErrorKind::Denied,
        "another server"
    );
}

#[tokio::test]
async fn key_without_the_grant_gets_no_token() {
    let keys = r#"{"keys": [
        {"id": "AKIDISSUER", "secret": "issuer's", "name": "issuer"},
        {"id": "AKIDADMIN", "secret": "admin's", "name": "admin"}
    ]}"#;
    let keys = KeyFile::keys("token-keys", keys);
    let plane = plane("keys", ApiAuth::Keys(keys.path().to_owned())).await;
    let by = |key, secret| Aws::with_config(config(&plane.endpoint, (key, secret, ""), 0)).mesh_known_to(None);
    assert!(by("AKIDISSUER", "issuer's").node_token(&request("front")).await.is_ok());
    for (key, secret) in [("AKIDADMIN", "admin's"), ("AKIDISSUER", "guess")] {
        let denied = by(key, secret).node_token(&request("front")).await.unwrap_err();
        assert_eq!(denied.kind, PortErrorKind::Denied, "{key}: {denied}");
    }
    assert_eq!(plane.status("/tokens").await, 403, "without a signature");
}
