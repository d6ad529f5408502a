//! Revoked node tokens: a revocation at one replica ends and refuses streams at every other one, on each store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use control_plane::storage::{ItemLog, Log, MemoryLog, Registry};
use control_plane::xds::{TlsFiles, XdsAuth, XdsListener, XdsSettings};
use control_plane::{Audience, IdentitySettings, Quotas, ReplicaRole, Server, Settings, Store};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use hyper_util::rt::TokioIo;
use rcgen::{KeyPair, PKCS_ED25519};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, pki_types};
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

use crate::cluster::{send, until};
use crate::contract::realm;
use crate::etcd::Etcd;
use crate::etcd_tls::Authority;
use crate::ministack::MiniStack;

const NODE: &str = "mesh/m/virtualNode/n";
const WITHIN: Duration = Duration::from_secs(20);

/// The certificate and the token key that every replica has.
struct Files {
    folder: PathBuf,
    ca: PathBuf,
    tls: TlsFiles,
    key: PathBuf,
}

impl Files {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(uuid::Uuid::new_v4().to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let authority = Authority::new();
        let (certificate, private) = authority.leaf(&folder, "server", &[[127, 0, 0, 1].into()]);
        let key = folder.join("token.key");
        std::fs::write(&key, KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        let ca = authority.write(&folder, "ca.pem");
        Self { folder, ca, tls: TlsFiles { certificate, key: private }, key }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A replica in this process.
struct TokenReplica {
    endpoint: String,
    xds: String,
    ca: PathBuf,
    serving: JoinHandle<()>,
}

impl Drop for TokenReplica {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl TokenReplica {
    async fn start<L: Log + Registry + 'static>(log: L, files: &Files) -> Self {
        let log = Arc::new(log);
        let start = log.load_snapshot().await.unwrap();
        let registry: Arc<dyn Registry> = Arc::<L>::clone(&log);
        let store = Store::with_log(log, Some(registry), ReplicaRole::Replica, &start, Quotas::default());
        let address = "127.0.0.1:0".parse().unwrap();
        let xds = XdsSettings {
            tls: Some(files.tls.clone()),
            listen: vec![XdsListener { address, auth: XdsAuth::Token }],
            ..XdsSettings::default()
        };
        let audience = Audience::parse("tests").unwrap();
        let settings = Settings {
            xds,
            role: ReplicaRole::Replica,
            identity: Some(IdentitySettings { audience, keys: vec![files.key.clone()], cluster: None }),
            ..Settings::new(realm().account().clone(), realm().region().clone())
        };
        let server = Server::bind_with_store(settings, store.await.unwrap()).await.unwrap();
        let (endpoint, xds) = (server.endpoint(), server.xds().remove(0));
        let serving = tokio::spawn(async move { server.serve(std::future::pending()).await.unwrap() });
        Self { endpoint, xds, ca: files.ca.clone(), serving }
    }

    async fn post(&self, http: &Client, path: &str, body: &Value) -> Value {
        let response = http.post(format!("{}{path}", self.endpoint)).body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// Opens a stream of the node, and reads its first response.
    async fn open(&self, token: &str) -> Result<Streaming<DiscoveryResponse>, Status> {
        let mut roots = RootCertStore::empty();
        roots.add(pki_types::CertificateDer::from_pem_file(&self.ca).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (connector, address) = (TlsConnector::from(Arc::new(config)), self.xds.clone());
        let connect = move |_| {
            let (connector, address) = (connector.clone(), address.clone());
            async move {
                let stream = TcpStream::connect(address).await?;
                connector.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.map(TokioIo::new)
            }
        };
        let channel =
            Endpoint::from_static("http://xds.local").connect_with_connector(tower::service_fn(connect)).await;
        let first = DiscoveryRequest {
            node: Some(Node { id: NODE.to_owned(), ..Node::default() }),
            type_url: "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned(),
            ..DiscoveryRequest::default()
        };
        let requests = futures::StreamExt::chain(
            futures::stream::once(async { first }),
            futures::stream::pending::<DiscoveryRequest>(),
        );
        let mut request = tonic::Request::new(requests);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let mut client = AggregatedDiscoveryServiceClient::new(channel.unwrap());
        let mut responses = client.stream_aggregated_resources(request).await?.into_inner();
        let first = tokio::time::timeout(WITHIN, responses.message()).await.unwrap()?;
        assert!(first.is_some(), "the stream ended");
        Ok(responses)
    }
}

/// Waits for the end of a stream.
async fn end(mut responses: Streaming<DiscoveryResponse>) -> Status {
    let end = async {
        loop {
            match responses.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("the stream ended"),
                Err(status) => return status,
            }
        }
    };
    tokio::time::timeout(WITHIN, end).await.unwrap()
}

async fn revocation_is_in_force_at_every_replica<L: Log + Registry + 'static>(open: impl AsyncFn() -> L) {
    let (files, http) = (Files::new(), Client::new());
    let replicas = [TokenReplica::start(open().await, &files).await, TokenReplica::start(open().await, &files).await];
    for (path, body) in
        [("/meshes", json!({"meshName": "m"})), ("/meshes/m/virtualNodes", json!({"virtualNodeName": "n", "spec": {}}))]
    {
        assert_eq!(send(&http, &replicas[0].endpoint, Method::PUT, path, Some(body)).await.unwrap().status, 200);
    }
    let first = replicas[0].post(&http, "/tokens", &json!({"node": NODE})).await;
    let second = replicas[1].post(&http, "/tokens", &json!({"node": NODE})).await;
    let text = |token: &Value| token["token"].as_str().unwrap().to_owned();
    // The second replica serves the node once it has read the entry.
    until("the second replica does not serve the node", async || replicas[1].open(&text(&first)).await.is_ok()).await;
    for (revocation, streams) in [
        (json!({"token": first["id"]}), [(&replicas[1], &first), (&replicas[0], &first)]),
        (json!({"node": NODE}), [(&replicas[1], &second), (&replicas[0], &second)]),
    ] {
        let mut open = Vec::new();
        for (replica, token) in streams {
            open.push(replica.open(&text(token)).await.unwrap());
        }
        replicas[0].post(&http, "/tokens/revoke", &revocation).await;
        for stream in open {
            let status = end(stream).await;
            assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "the token was revoked"));
        }
        for (replica, token) in streams {
            let Err(status) = replica.open(&text(token)).await else { panic!("a revoked token was accepted") };
            assert_eq!(status.message(), "the token was revoked");
        }
    }
    // A replica that starts later knows it from the log.
    let late = TokenReplica::start(open().await, &files).await;
    for token in [&first, &second] {
        let Err(status) = late.open(&text(token)).await else { panic!("a revoked token was accepted") };
        assert_eq!(status.message(), "the token was revoked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_in_memory_is_in_force_at_every_replica() {
    let log = MemoryLog::default();
    revocation_is_in_force_at_every_replica(async || log.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_in_a_table_is_in_force_at_every_replica() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("revocations").await;
    let open = async || ItemLog::open_table(stack.existing("revocations"), &realm()).await.unwrap().0;
    revocation_is_in_force_at_every_replica(open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_in_etcd_is_in_force_at_every_replica() {
    let Some(etcd) = Etcd::start().await else { return };
    let open = async || ItemLog::open_etcd(etcd.endpoints(), true, &realm()).await.unwrap().0;
    revocation_is_in_force_at_every_replica(open).await;
}
