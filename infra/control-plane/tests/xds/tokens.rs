//! Node tokens: which streams they open, and how long.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use control_plane::xds::{TlsFiles, XdsAuth, XdsSettings};
use control_plane::{Audience, IdentitySettings};
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use tonic::Code;
use tonic::transport::Channel;
use xds::ResourceType::Cluster;

use crate::certificates::Ca;
use crate::envoy::{self, Envoy};
use crate::plane::{Folder, Plane, TIMEOUT, listener, tcp};

const FRONT: &str = "mesh/shop/virtualNode/front";
const OTHER: &str = "mesh/shop/virtualNode/other";

struct TokenFixture {
    plane: Plane,
    ca: Ca,
    folder: Folder,
}

impl TokenFixture {
    async fn start() -> Self {
        let (folder, ca) = (Folder::new(), Ca::new());
        let leaf = ca.server();
        let tls = TlsFiles { certificate: folder.join("server.pem"), key: folder.join("server.key") };
        std::fs::write(&tls.certificate, &leaf.certificate).unwrap();
        std::fs::write(&tls.key, &leaf.key).unwrap();
        let key = folder.join("token.key");
        std::fs::write(&key, KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let identity = IdentitySettings { audience: Audience::parse("tests").unwrap(), keys: vec![key], cluster: None };
        let listen = vec![listener("127.0.0.1:0", XdsAuth::Token)];
        let data = Some(folder.join("data"));
        let plane = Plane::bind_with(XdsSettings { tls: Some(tls), listen, ..tcp() }, data, Some(identity)).await;
        plane.make_shop().await;
        Self { plane, ca, folder }
    }

    async fn channel(&self) -> Channel {
        envoy::tls(&self.plane.xds[0], self.ca.client(None)).await.unwrap()
    }

    async fn issue(&self, node: &str, seconds: u32) -> Value {
        let body = json!({"node": node, "instance": "pod-1", "lifetimeSeconds": seconds});
        let (status, token) = self.plane.post_document("/tokens", &body).await;
        assert_eq!(status, 200, "{token}");
        token
    }

    /// A stream of a node, by a token.
    async fn open(&self, token: &Value, node: &str) -> Result<Envoy, tonic::Status> {
        let bearer = format!("Bearer {}", token["token"].as_str().unwrap());
        let mut envoy = Envoy::open_with(self.channel().await, Some(&bearer)).await?;
        envoy.identify(node);
        Ok(envoy)
    }
}

#[tokio::test]
async fn token_opens_streams_of_its_node_only() {
    let fixture = TokenFixture::start().await;
    let token = fixture.issue(FRONT, 600).await;
    assert_eq!((&token["node"], token["id"].as_str().unwrap().len()), (&json!(FRONT), 36));
    fixture.open(&token, FRONT).await.unwrap().take(Cluster).await;
    let arn = "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/front";
    fixture.open(&token, arn).await.unwrap().take(Cluster).await;
    // A node that does not exist is refused in the same words as one that does.
    for node in [OTHER, "mesh/shop/virtualNode/none", "mesh/none/virtualNode/front", "mesh/shop/virtualGateway/front"] {
        let status = fixture.open(&token, node).await.unwrap().end().await;
        assert_eq!(status.code(), Code::PermissionDenied, "{node}: {status}");
        assert_eq!(status.message(), format!("the token is for {FRONT}, not for {node}"));
    }
    assert_eq!(fixture.plane.proxies().await.len(), 0, "the streams have ended");
    drop(fixture.folder);
}

#[tokio::test]
async fn stream_without_a_valid_token_ends_before_its_first_request() {
    let fixture = TokenFixture::start().await;
    let token = fixture.issue(FRONT, 600).await;
    let valid = format!("Bearer {}", token["token"].as_str().unwrap());
    let (unsigned, _) = valid.rsplit_once('.').unwrap();
    for (authorization, expected) in [
        (None, "the token is missing"),
        (Some("Basic abc"), "the token is missing"),
        (Some("Bearer abc"), "invalid token"),
        (Some(unsigned), "invalid token"),
        (Some(&format!("{unsigned}.")), "signature of the token is invalid"),
    ] {
        let refused = Envoy::open_with(fixture.channel().await, authorization).await;
        let Err(status) = refused else { panic!("{authorization:?} was accepted") };
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert!(status.message().contains(expected), "{authorization:?}: {status}");
    }
    let refused = fixture.plane.text("/metrics").await;
    assert!(refused.contains(r#"reason="token""#), "{refused}");
    for (body, expected) in [
        (json!({}), "node: is required"),
        (json!({"node": "mesh/shop"}), "node: "),
        (json!({"node": "mesh/shop@210987654321/virtualNode/front"}), "another account"),
        (json!({"node": FRONT, "lifetimeSeconds": 86_401}), "lifetimeSeconds: must be 1 to 86400"),
        (json!({"node": FRONT, "instance": ""}), "instance: must have"),
        (json!({"node": FRONT, "admin": true}), "admin: is not a member"),
    ] {
        let (status, error) = fixture.plane.post_document("/tokens", &body).await;
        assert_eq!(status, 400, "{body}");
        assert!(error["message"].as_str().unwrap().contains(expected), "{body}: {error}");
    }
}

#[tokio::test]
async fn stream_ends_when_its_token_expires() {
    let fixture = TokenFixture::start().await;
    let token = fixture.issue(FRONT, 2).await;
    let mut front = fixture.open(&token, FRONT).await.unwrap();
    front.take(Cluster).await;
    let status = front.end().await;
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "the token has expired"));
    let Err(status) = fixture.open(&token, FRONT).await else { panic!("an expired token was accepted") };
    assert_eq!(status.message(), "the token has expired");
}

#[tokio::test]
async fn revoked_token_ends_its_stream_and_stays_revoked_after_a_restart() {
    let fixture = TokenFixture::start().await;
    let (front, other) = (fixture.issue(FRONT, 3600).await, fixture.issue(OTHER, 3600).await);
    let mut of_front = fixture.open(&front, FRONT).await.unwrap();
    let mut of_other = fixture.open(&other, OTHER).await.unwrap();
    of_front.take(Cluster).await;
    of_other.take(Cluster).await;
    for body in [json!({"node": FRONT}), json!({"token": other["id"]})] {
        assert_eq!(fixture.plane.post_document("/tokens/revoke", &body).await.0, 200);
    }
    for (stream, token, node) in [(&mut of_front, &front, FRONT), (&mut of_other, &other, OTHER)] {
        let status = stream.end().await;
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "the token was revoked"));
        let Err(status) = fixture.open(token, node).await else { panic!("a revoked token was accepted") };
        assert_eq!(status.message(), "the token was revoked");
    }
    // A revocation of a node concerns the tokens until then: times in tokens are seconds, so the next second counts.
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let token = fixture.issue(FRONT, 3600).await;
        match fixture.open(&token, FRONT).await {
            Ok(mut envoy) => break drop(envoy.take(Cluster).await),
            Err(status) => assert_eq!(status.message(), "the token was revoked"),
        }
        assert!(Instant::now() < deadline, "no token is accepted after the revocation");
    }
    for body in [json!({}), json!({"node": FRONT, "token": "a"}), json!({"token": ""})] {
        assert_eq!(fixture.plane.post_document("/tokens/revoke", &body).await.0, 400, "{body}");
    }
    let TokenFixture { plane, ca, folder } = fixture;
    plane.stop().await;
    let keys = vec![folder.join("token.key")];
    let identity = IdentitySettings { audience: Audience::parse("tests").unwrap(), keys, cluster: None };
    let tls = TlsFiles { certificate: folder.join("server.pem"), key: folder.join("server.key") };
    let settings = XdsSettings { tls: Some(tls), listen: vec![listener("127.0.0.1:0", XdsAuth::Token)], ..tcp() };
    let plane = Plane::bind_with(settings, Some(folder.join("data")), Some(identity)).await;
    let fixture = TokenFixture { plane, ca, folder };
    let Err(status) = fixture.open(&other, OTHER).await else { panic!("a revoked token was accepted") };
    assert_eq!(status.message(), "the token was revoked");
}
