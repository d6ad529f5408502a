//! TLS, and authentication by certificates.

use control_plane::Settings;
use control_plane::xds::{TlsFiles, XdsAuth, XdsSettings};
use rcgen::SanType;
use tonic::Code;
use tonic::transport::Channel;
use xds::ResourceType::{Cluster, Route};

use crate::certificates::{Ca, Leaf};
use crate::envoy::{self, EGRESS, Envoy, refusal};
use crate::plane::{Folder, Plane, listener, tcp};

const FRONT: &str = "mesh/shop/virtualNode/front";
const FRONT_ARN: &str = "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/front";

struct TlsFixture {
    plane: Plane,
    ca: Ca,
    clients: Ca,
    folder: Folder,
}

fn write(folder: &Folder, leaf: &Leaf) -> TlsFiles {
    let files = TlsFiles { certificate: folder.join("server.pem"), key: folder.join("server.key") };
    std::fs::write(&files.certificate, &leaf.certificate).unwrap();
    std::fs::write(&files.key, &leaf.key).unwrap();
    files
}

async fn fixture(mutual: bool) -> TlsFixture {
    let (folder, ca, clients) = (Folder::new(), Ca::new(), Ca::new());
    let client_ca = clients.write(&folder, "clients.pem");
    let auth = if mutual { XdsAuth::Mtls { client_ca } } else { XdsAuth::None };
    let listen = vec![listener("127.0.0.1:0", auth)];
    let plane = Plane::with(XdsSettings { tls: Some(write(&folder, &ca.server())), listen, ..tcp() }).await;
    plane.make_shop().await;
    TlsFixture { plane, ca, clients, folder }
}

impl TlsFixture {
    async fn channel(&self, leaf: Option<&Leaf>) -> Result<Channel, tonic::transport::Error> {
        envoy::tls(&self.plane.xds[0], self.ca.client(leaf)).await
    }

    /// Whether a client can open a stream: a refused certificate breaks the connection at its first use.
    async fn is_admitted(&self, leaf: Option<&Leaf>) -> bool {
        let Ok(channel) = self.channel(leaf).await else { return false };
        let mut client =
            envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient::new(channel);
        client.stream_aggregated_resources(futures::stream::pending()).await.is_ok()
    }
}

#[tokio::test]
async fn a_client_that_checks_the_server_is_served() {
    let fixture = fixture(false).await;
    let mut front = Envoy::settled(fixture.channel(None).await.unwrap(), FRONT, &[EGRESS]).await;
    fixture.plane.weigh(50, 50).await;
    front.take(Route).await;
    assert!(envoy::tls(&fixture.plane.xds[0], Ca::new().client(None)).await.is_err(), "the client does not trust it");
}

#[tokio::test]
async fn a_certificate_admits_the_node_that_it_names() {
    let fixture = fixture(true).await;
    let both = vec![SanType::DnsName("front.local".try_into().unwrap()), SanType::URI(FRONT.try_into().unwrap())];
    for leaf in [
        fixture.clients.uri(FRONT),
        fixture.clients.uri(FRONT_ARN),
        fixture.clients.dns(FRONT),
        fixture.clients.common_name(FRONT),
        fixture.clients.leaf(both, Some("mesh/shop/virtualNode/other")),
    ] {
        let channel = fixture.channel(Some(&leaf)).await.unwrap();
        for id in [FRONT, FRONT_ARN, "mesh/shop@123456789012/virtualNode/front"] {
            Envoy::connect(channel.clone(), id).await.take(Cluster).await;
        }
    }
}

#[tokio::test]
async fn other_identities_are_refused() {
    let fixture = fixture(true).await;
    let other = "mesh/shop/virtualNode/other";
    for leaf in [
        fixture.clients.uri(other),
        fixture.clients.uri("arn:aws:appmesh:eu-west-1:210987654321:mesh/shop/virtualNode/front"),
        fixture.clients.uri("mesh/shop/virtualGateway/front"),
        fixture.clients.uri("mesh/shop/virtualNode/front/"),
        fixture.clients.uri("mesh/shop/virtualNode/*"),
        fixture.clients.dns("front.local"),
        fixture.clients.common_name("front"),
        fixture.clients.leaf(Vec::new(), None),
        // A common name in addition to a proper name does not count.
        fixture.clients.leaf(vec![SanType::DnsName("x.local".try_into().unwrap())], Some(FRONT)),
    ] {
        let status = refusal(fixture.channel(Some(&leaf)).await.unwrap(), FRONT).await;
        assert_eq!(status.code(), Code::PermissionDenied, "{}", status.message());
    }
    // A client learns nothing about other nodes, not even whether they exist.
    let leaf = fixture.clients.uri(other);
    let status = refusal(fixture.channel(Some(&leaf)).await.unwrap(), "mesh/shop/virtualNode/missing").await;
    assert_eq!(status.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_stream_needs_a_valid_certificate() {
    let fixture = fixture(true).await;
    assert!(fixture.is_admitted(Some(&fixture.clients.uri(FRONT))).await);
    assert!(!fixture.is_admitted(None).await);
    assert!(!fixture.is_admitted(Some(&Ca::new().uri(FRONT))).await, "the CA is not trusted");
    assert!(!fixture.is_admitted(Some(&fixture.ca.uri(FRONT))).await, "the CA of servers is not trusted for clients");
    assert!(fixture.plane.proxies().await.is_empty());
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart_and_an_invalid_one_is_not() {
    let mut fixture = fixture(false).await;
    let mut before = Envoy::settled(fixture.channel(None).await.unwrap(), FRONT, &[EGRESS]).await;
    let next = Ca::new();
    let leaf = next.server();
    // The certificate is written before its key, so the pair is invalid.
    std::fs::write(fixture.folder.join("server.pem"), &leaf.certificate).unwrap();
    assert!(fixture.channel(None).await.is_ok(), "the previous certificate is in use");
    std::fs::write(fixture.folder.join("server.key"), &leaf.key).unwrap();
    assert!(fixture.channel(None).await.is_err());
    fixture.ca = next;
    let mut after = Envoy::settled(fixture.channel(None).await.unwrap(), FRONT, &[EGRESS]).await;
    fixture.plane.weigh(50, 50).await;
    before.take(Route).await;
    after.take(Route).await;
}

#[tokio::test]
async fn listeners_without_the_required_proof_are_refused_at_the_start() {
    let folder = Folder::new();
    let ca = Ca::new();
    let files = write(&folder, &ca.server());
    let client_ca = ca.write(&folder, "clients.pem");
    let socket = format!("unix:{}", folder.join("xds.sock").display());
    let mtls = XdsAuth::Mtls { client_ca: client_ca.clone() };
    let unix = XdsAuth::Unix { uids: Vec::new() };
    let broken = TlsFiles { key: client_ca.clone(), ..files.clone() };
    for (listen, tls, auth, text) in [
        ("0.0.0.0:0", None, XdsAuth::None, "not a loopback address"),
        ("[::]:0", Some(files.clone()), XdsAuth::None, "not a loopback address"),
        ("192.0.2.1:18000", None, XdsAuth::None, "not a loopback address"),
        ("127.0.0.1:0", None, mtls.clone(), "needs --xds-tls-cert"),
        ("127.0.0.1:0", None, unix, "only a socket"),
        (socket.as_str(), Some(files.clone()), mtls, "use an address"),
        ("127.0.0.1:0", Some(broken), XdsAuth::None, "clients.pem"),
        ("127.0.0.1:0", Some(files), XdsAuth::Mtls { client_ca: folder.join("server.key") }, "contains no certificate"),
    ] {
        let xds = XdsSettings { listen: vec![listener(listen, auth)], tls, ..XdsSettings::default() };
        let account = mesh::name::AccountId::parse(crate::plane::ACCOUNT).unwrap();
        let region = control_plane::state::Region::parse("eu-west-1").unwrap();
        let settings = Settings { xds, ..Settings::new(account, region) };
        let error = control_plane::Server::bind(settings).await.expect_err(listen).to_string();
        assert!(error.contains(text), "{listen}: {error}");
    }
}
