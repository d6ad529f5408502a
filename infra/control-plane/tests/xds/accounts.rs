//! Tokens of a cluster's service accounts, verified with keys from a URL: on streams, and for node tokens.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use control_plane::state::Region;
use control_plane::xds::{TlsFiles, XdsAuth, XdsSettings};
use control_plane::{Audience, ClusterKeySource, ClusterSettings, IdentitySettings, Settings};
use mesh::name::AccountId;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _, SanType};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring as provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::{Code, Status};
use xds::ResourceType::Cluster;

use crate::certificates::Ca;
use crate::envoy::{self, Envoy};
use crate::plane::{ACCOUNT, Folder, Plane, listener, tcp};

const FRONT: &str = "mesh/shop/virtualNode/front";
const OTHER: &str = "mesh/shop/virtualNode/other";
const ISSUER: &str = "https://cluster.example";

/// A cluster that publishes its key over TLS, to requests with its token.
struct TestCluster {
    key: EcdsaKeyPair,
    url: String,
}

impl TestCluster {
    async fn start(ca: &Ca) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let point = pair.der_bytes();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "x": x, "y": y}]}).to_string();
        let leaf = ca.leaf(vec![SanType::IpAddress([127, 0, 0, 1].into())], None);
        let chain = vec![CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).unwrap()];
        let private = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/openid/v1/jwks", sockets.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((socket, _)) = sockets.accept().await {
                let Ok(mut stream) = acceptor.accept(socket).await else { continue };
                let mut head = vec![0; 4096];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let is_known = head.starts_with("GET /openid/v1/jwks ") && head.contains("Bearer of-the-control-plane");
                let (status, body) = if is_known { ("200 OK", keys.as_str()) } else { ("403 Forbidden", "") };
                let answer =
                    format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der(), &random).unwrap();
        Self { key, url }
    }

    /// The token that kubelet projects into a pod of this service account.
    fn token(&self, account: &str, audience: &str, seconds: i64) -> String {
        let now = jiff::Timestamp::now().as_second();
        let claims = json!({
            "iss": ISSUER, "aud": [audience], "sub": format!("system:serviceaccount:shop:{account}"),
            "iat": now, "nbf": now, "exp": now + seconds, "kubernetes.io": {"namespace": "shop"},
        });
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", encode(&json!({"alg": "ES256", "kid": "1"})), encode(&claims));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

struct AccountFixture {
    plane: Plane,
    ca: Ca,
    cluster: TestCluster,
    _folder: Folder,
}

fn write(folder: &Folder, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

impl AccountFixture {
    /// The service account `front` may be the node `front`. The mesh is made before the rights are in force.
    async fn start(streams: bool) -> Self {
        let (folder, ca) = (Folder::new(), Ca::new());
        let cluster = TestCluster::start(&ca).await;
        let data = Some(folder.join("data"));
        let before = Plane::bind(tcp(), data.clone()).await;
        before.make_shop().await;
        before.stop().await;
        let server = ca.server();
        let tls = TlsFiles {
            certificate: write(&folder, "server.pem", &server.certificate),
            key: write(&folder, "server.key", &server.key),
        };
        let key = write(&folder, "token.key", &KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem());
        let keys = ClusterKeySource::Url {
            url: cluster.url.clone(),
            ca: Some(ca.write(&folder, "cluster-ca.pem")),
            token: Some(write(&folder, "own-token", "of-the-control-plane\n")),
        };
        let identity = IdentitySettings {
            audience: Audience::parse("tests").unwrap(),
            keys: vec![key],
            cluster: Some(ClusterSettings { issuer: ISSUER.to_owned(), keys, streams }),
        };
        let rights = json!({"subjects": [
            {"token": "system:serviceaccount:shop:front", "grants": [{"tokens": [FRONT]}]},
        ]});
        let region = Region::parse("eu-west-1").unwrap();
        let listen = vec![listener("127.0.0.1:0", XdsAuth::Token)];
        let settings = Settings {
            data,
            identity: Some(identity),
            rights: Some(write(&folder, "rights.json", &rights.to_string())),
            xds: XdsSettings { tls: Some(tls), listen, ..tcp() },
            ..Settings::new(AccountId::parse(ACCOUNT).unwrap(), region)
        };
        Self { plane: Plane::bind_settings(settings).await, ca, cluster, _folder: folder }
    }

    async fn open(&self, token: &str, node: &str) -> Result<Envoy, Status> {
        let channel = envoy::tls(&self.plane.xds[0], self.ca.client(None)).await.unwrap();
        let mut envoy = Envoy::open_with(channel, Some(&format!("Bearer {token}"))).await?;
        envoy.identify(node);
        Ok(envoy)
    }
}

#[tokio::test]
async fn projected_token_opens_streams_of_the_nodes_that_its_account_may_be() {
    let fixture = AccountFixture::start(true).await;
    // Kubelet's file ends with a line break, or not.
    let token = fixture.cluster.token("front", "tests", 600);
    fixture.open(&token, FRONT).await.unwrap().take(Cluster).await;
    for (account, node) in [("front", OTHER), ("front", "mesh/shop/virtualNode/none"), ("other", OTHER)] {
        let token = fixture.cluster.token(account, "tests", 600);
        let status = fixture.open(&token, node).await.unwrap().end().await;
        assert_eq!(status.code(), Code::PermissionDenied, "{account} {node}: {status}");
    }
    let (unsigned, _) = token.rsplit_once('.').unwrap();
    for (token, expected) in [
        (fixture.cluster.token("front", "kubernetes", 600), "the token is for another audience"),
        (fixture.cluster.token("front", "tests", -61), "the token has expired"),
        (format!("{unsigned}.AAAA"), "the signature of the token is invalid"),
    ] {
        let Err(status) = fixture.open(&token, FRONT).await else { panic!("{expected}: it was accepted") };
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, expected));
    }
    // The token expires one second after it is used: the leeway for clocks is a minute.
    let mut front = fixture.open(&fixture.cluster.token("front", "tests", -58), FRONT).await.unwrap();
    front.take(Cluster).await;
    let status = front.end().await;
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "the token has expired"));
}

#[tokio::test]
async fn projected_token_gets_a_node_token_over_http() {
    let fixture = AccountFixture::start(false).await;
    let http = reqwest::Client::new();
    let request = async |path: &str, token: &str, body: Value| {
        let request = http.post(format!("{}{path}", fixture.plane.endpoint)).bearer_auth(token);
        let response = request.body(body.to_string()).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let token = fixture.cluster.token("front", "tests", 600);
    let (status, issued) = request("/tokens", &token, json!({"node": FRONT, "instance": "pod-1"})).await;
    assert_eq!(status, 200, "{issued}");
    fixture.open(issued["token"].as_str().unwrap(), FRONT).await.unwrap().take(Cluster).await;
    for (name, path, token, node, expected) in [
        ("another node", "/tokens", token.clone(), OTHER, 403),
        ("another account", "/tokens", fixture.cluster.token("other", "tests", 600), OTHER, 403),
        ("another audience", "/tokens", fixture.cluster.token("front", "kubernetes", 600), FRONT, 403),
        ("expired", "/tokens", fixture.cluster.token("front", "tests", -61), FRONT, 403),
        ("another endpoint", "/tokens/revoke", token.clone(), FRONT, 403),
    ] {
        let (status, answer) = request(path, &token, json!({"node": node})).await;
        assert_eq!(status, expected, "{name}: {answer}");
    }
    // Without the switch, a service account's token opens no stream.
    let Err(status) = fixture.open(&token, FRONT).await else { panic!("the token was accepted") };
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
}
