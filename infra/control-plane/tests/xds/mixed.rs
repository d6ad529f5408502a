//! Listeners with different authentication.

use std::os::unix::fs::MetadataExt as _;

use control_plane::xds::{TlsFiles, XdsAuth, XdsListener, XdsSettings};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use tokio_rustls::rustls::ClientConfig;
use tonic::Code;
use tonic::transport::{Channel, Error};
use xds::ResourceType::{Cluster, Route};

use crate::certificates::Ca;
use crate::envoy::{self, EGRESS, Envoy, refusal};
use crate::plane::{Folder, Plane, listener};

const FRONT: &str = "mesh/shop/virtualNode/front";
const OTHER: &str = "mesh/shop/virtualNode/other";

/// One listener with mTLS, one with users, and one on loopback without authentication.
struct MixedFixture {
    plane: Plane,
    ca: Ca,
    clients: Ca,
    _folder: Folder,
}

impl MixedFixture {
    /// The socket admits the user of this process, or only another user.
    async fn new(socket_is_ours: bool) -> Self {
        let (folder, ca, clients) = (Folder::new(), Ca::new(), Ca::new());
        let client_ca = clients.write(&folder, "clients.pem");
        let files = TlsFiles { certificate: folder.join("server.pem"), key: folder.join("server.key") };
        let server = ca.server();
        std::fs::write(&files.certificate, &server.certificate).unwrap();
        std::fs::write(&files.key, &server.key).unwrap();
        let own = std::fs::metadata(folder.path()).unwrap().uid();
        let uids = vec![if socket_is_ours { own } else { own + 1 }];
        let listen: Vec<XdsListener> = vec![
            listener("127.0.0.1:0", XdsAuth::Mtls { client_ca }),
            listener(&format!("unix:{}", folder.join("xds.sock").display()), XdsAuth::Unix { uids }),
            listener("127.0.0.1:0", XdsAuth::None),
        ];
        let plane = Plane::with(XdsSettings { listen, tls: Some(files), ..XdsSettings::default() }).await;
        plane.make_shop().await;
        Self { plane, ca, clients, _folder: folder }
    }

    async fn mutual(&self, config: ClientConfig) -> Result<Channel, Error> {
        envoy::tls(&self.plane.xds[0], config).await
    }

    async fn unauthenticated(&self, config: ClientConfig) -> Channel {
        envoy::tls(&self.plane.xds[2], config).await.unwrap()
    }
}

/// Whether a client can open a stream: a refused certificate breaks the connection at its first use.
async fn is_admitted(channel: Result<Channel, Error>) -> bool {
    let Ok(channel) = channel else { return false };
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    client.stream_aggregated_resources(futures::stream::pending()).await.is_ok()
}

#[tokio::test]
async fn each_listener_serves_clients_with_its_authentication() {
    let fixture = MixedFixture::new(true).await;
    let by_certificate = fixture.mutual(fixture.ca.client(Some(&fixture.clients.uri(FRONT)))).await.unwrap();
    let by_user = envoy::unix(&fixture.plane.xds[1]).await.unwrap();
    let local = fixture.unauthenticated(fixture.ca.client(None)).await;
    let mut envoys = Vec::new();
    for channel in [by_certificate, by_user, local] {
        envoys.push(Envoy::settled(channel, FRONT, &[EGRESS]).await);
    }
    fixture.plane.weigh(50, 50).await;
    for envoy in &mut envoys {
        envoy.take(Route).await;
    }
    assert_eq!(fixture.plane.proxies().await.len(), 3);
}

#[tokio::test]
async fn a_proof_for_one_listener_is_not_valid_at_another() {
    let fixture = MixedFixture::new(false).await;
    // A certificate is valid for its node only, regardless of what other listeners accept.
    let named = fixture.ca.client(Some(&fixture.clients.uri(OTHER)));
    let status = refusal(fixture.mutual(named.clone()).await.unwrap(), FRONT).await;
    assert_eq!(status.code(), Code::PermissionDenied, "{}", status.message());
    Envoy::connect(fixture.unauthenticated(named).await, FRONT).await.take(Cluster).await;
    // A client cannot use the socket of another user.
    assert!(!is_admitted(envoy::unix(&fixture.plane.xds[1]).await).await);
    // Without a certificate, or with one of another CA.
    assert!(!is_admitted(fixture.mutual(fixture.ca.client(None)).await).await);
    assert!(!is_admitted(fixture.mutual(fixture.ca.client(Some(&Ca::new().uri(FRONT)))).await).await);
}

#[tokio::test]
async fn a_tls_session_of_an_unauthenticated_listener_is_not_resumed_at_an_authenticated_one() {
    let fixture = MixedFixture::new(true).await;
    // Clones share their sessions, which are stored under the server name of all listeners.
    let config = fixture.ca.client(None);
    for _ in 0..3 {
        Envoy::connect(fixture.unauthenticated(config.clone()).await, FRONT).await.take(Cluster).await;
    }
    assert!(!is_admitted(fixture.mutual(config.clone()).await).await);
    // The refused session does not end the other one.
    Envoy::connect(fixture.unauthenticated(config).await, FRONT).await.take(Cluster).await;
}
