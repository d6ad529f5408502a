//! Listeners that ask for different proofs.

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

/// One listener that asks for certificates, one for users, and one on loopback for anybody.
struct Scene {
    plane: Plane,
    ca: Ca,
    clients: Ca,
    _folder: Folder,
}

impl Scene {
    /// The socket is for this process' own user, or for one who is not there.
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

    async fn anybody(&self, config: ClientConfig) -> Channel {
        envoy::tls(&self.plane.xds[2], config).await.unwrap()
    }
}

/// Whether a client gets as far as a stream: a refused certificate breaks the connection at its first use.
async fn is_let_in(channel: Result<Channel, Error>) -> bool {
    let Ok(channel) = channel else { return false };
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    client.stream_aggregated_resources(futures::stream::pending()).await.is_ok()
}

#[tokio::test]
async fn each_listener_serves_those_that_prove_what_it_asks_for() {
    let scene = Scene::new(true).await;
    let by_certificate = scene.mutual(scene.ca.client(Some(&scene.clients.uri(FRONT)))).await.unwrap();
    let by_user = envoy::unix(&scene.plane.xds[1]).await.unwrap();
    let local = scene.anybody(scene.ca.client(None)).await;
    let mut envoys = Vec::new();
    for channel in [by_certificate, by_user, local] {
        envoys.push(Envoy::settled(channel, FRONT, &[EGRESS]).await);
    }
    scene.plane.weigh(50, 50).await;
    for envoy in &mut envoys {
        envoy.take(Route).await;
    }
    assert_eq!(scene.plane.proxies().await.len(), 3);
}

#[tokio::test]
async fn what_one_listener_lets_in_opens_no_other() {
    let scene = Scene::new(false).await;
    // A certificate is for its node only, whatever may be said to the listeners beside it.
    let named = scene.ca.client(Some(&scene.clients.uri(OTHER)));
    let status = refusal(scene.mutual(named.clone()).await.unwrap(), FRONT).await;
    assert_eq!(status.code(), Code::PermissionDenied, "{}", status.message());
    Envoy::connect(scene.anybody(named).await, FRONT).await.take(Cluster).await;
    // Another user's socket stays another user's.
    assert!(!is_let_in(envoy::unix(&scene.plane.xds[1]).await).await);
    // Without a certificate, or with one of somebody else's CA.
    assert!(!is_let_in(scene.mutual(scene.ca.client(None)).await).await);
    assert!(!is_let_in(scene.mutual(scene.ca.client(Some(&Ca::new().uri(FRONT)))).await).await);
}

#[tokio::test]
async fn a_session_begun_where_nothing_is_asked_is_not_gone_on_with_where_something_is() {
    let scene = Scene::new(true).await;
    // Clones share the sessions that they remember, for the one name that all listeners go by.
    let config = scene.ca.client(None);
    for _ in 0..3 {
        Envoy::connect(scene.anybody(config.clone()).await, FRONT).await.take(Cluster).await;
    }
    assert!(!is_let_in(scene.mutual(config.clone()).await).await);
    // Nor the other way round does the end of one take the other with it.
    Envoy::connect(scene.anybody(config).await, FRONT).await.take(Cluster).await;
}
