//! The local SDS socket as Envoys use it.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control_plane::certificates::{SecretCache, SecretCacheSettings};
use control_plane::xds::{SdsServer, Secrets as _};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{Secret, secret};
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Streaming;
use tonic::transport::Channel;
use xds::ResourceType;

use crate::envoy;
use crate::plane::{Folder, TIMEOUT};
use crate::vault::{Issuer, Vault};

/// A server with two names bound to one bundle, which does not exist yet.
struct Socket {
    vault: Arc<Vault>,
    cache: Arc<SecretCache>,
    address: String,
    path: PathBuf,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    _folder: Folder,
}

impl Socket {
    async fn open(users: Option<Vec<u32>>) -> Self {
        let (folder, vault) = (Folder::new(), Vault::new());
        let sources = vault.sources(&["web=secret", "roots=secret#trust"]);
        let names = sources.bindings.names();
        let cache = SecretCache::start(
            sources,
            SecretCacheSettings { refresh: Duration::from_hours(1), ..SecretCacheSettings::default() },
        );
        let path = folder.join("sds.sock");
        let server = SdsServer::bind(path.clone(), users, names, Arc::<SecretCache>::clone(&cache)).await.unwrap();
        let address = server.socket();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            server.serve(stopped).await.unwrap();
        });
        Self { vault, cache, address, path, stop, serving, _folder: folder }
    }

    async fn client(&self) -> SecretDiscoveryServiceClient<Channel> {
        SecretDiscoveryServiceClient::new(envoy::unix(&self.address).await.unwrap())
    }

    fn renew(&self, root: &Issuer) -> String {
        let issued = root.issue("a.local");
        self.vault.put_bundle("secret", issued.bundle(Some(root.pem())));
        self.cache.refresh();
        issued.chain.whole()
    }
}

fn requests<T: Send + 'static>() -> (mpsc::UnboundedSender<T>, impl futures::Stream<Item = T>) {
    let (requests, sent) = mpsc::unbounded_channel();
    (requests, futures::stream::unfold(sent, async |mut sent| Some((sent.recv().await?, sent))))
}

async fn next<T>(responses: &mut Streaming<T>) -> T {
    timeout(TIMEOUT, responses.message()).await.expect("a response arrives").unwrap().expect("the stream is open")
}

fn chain(body: &[u8]) -> (String, Option<String>) {
    let Secret { name, r#type } = Secret::decode(body).unwrap();
    let text = |source: Option<envoy_types::pb::envoy::config::core::v3::DataSource>| match source.unwrap().specifier {
        Some(envoy_types::pb::envoy::config::core::v3::data_source::Specifier::InlineString(text)) => Some(text),
        _ => None,
    };
    let chain = match r#type.unwrap() {
        secret::Type::TlsCertificate(certificate) => text(certificate.certificate_chain),
        secret::Type::ValidationContext(trust) => text(trust.trusted_ca),
        _ => None,
    };
    (name, chain)
}

#[tokio::test]
async fn a_secret_is_sent_once_it_is_available_and_again_when_it_changes() {
    let (socket, issuer) = (Socket::open(None).await, Issuer::new("root"));
    assert_eq!(std::fs::metadata(&socket.path).unwrap().permissions().mode() & 0o777, 0o600);
    let (requests, sent) = requests();
    let subscribe = |names: &[&str], nonce: String, version: String| {
        let request = DiscoveryRequest {
            type_url: ResourceType::Secret.url().to_owned(),
            resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
            response_nonce: nonce,
            version_info: version,
            ..DiscoveryRequest::default()
        };
        requests.send(request).unwrap();
    };
    subscribe(&["web"], String::new(), String::new());
    let mut responses = socket.client().await.stream_secrets(sent).await.unwrap().into_inner();
    for _ in 0..2 {
        let expected = socket.renew(&issuer);
        let response = next(&mut responses).await;
        let [only] = response.resources.as_slice() else { panic!("{}", response.resources.len()) };
        assert_eq!(chain(&only.value), ("web".to_owned(), Some(expected)));
        subscribe(&["web"], response.nonce, response.version_info);
    }
    drop(socket.stop);
    let end = timeout(TIMEOUT, responses.message()).await.unwrap();
    assert!(matches!(end, Ok(None)), "{end:?}");
    timeout(TIMEOUT, socket.serving).await.unwrap().unwrap();
    assert!(!socket.path.exists());
}

#[tokio::test]
async fn delta_streams_are_served_too() {
    let (socket, issuer) = (Socket::open(None).await, Issuer::new("root"));
    let expected = socket.renew(&issuer);
    let (requests, sent) = requests();
    let request = DeltaDiscoveryRequest {
        type_url: ResourceType::Secret.url().to_owned(),
        resource_names_subscribe: vec!["roots".to_owned(), "web".to_owned()],
        ..DeltaDiscoveryRequest::default()
    };
    // Wait until both are available, so that one response has both.
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    while socket.cache.reports().iter().filter(|report| !report.certificates.is_empty()).count() < 2 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    requests.send(request).unwrap();
    let mut responses = socket.client().await.delta_secrets(sent).await.unwrap().into_inner();
    let mut seen = std::collections::BTreeMap::new();
    while seen.len() < 2 {
        let response = next(&mut responses).await;
        let bodies = response.resources.iter().filter_map(|resource| resource.resource.as_ref());
        seen.extend(bodies.map(|body| chain(&body.value)));
        requests
            .send(DeltaDiscoveryRequest {
                type_url: response.type_url,
                response_nonce: response.nonce,
                ..DeltaDiscoveryRequest::default()
            })
            .unwrap();
    }
    assert_eq!(seen["web"].as_ref(), Some(&expected));
    assert_eq!(seen["roots"].as_ref(), Some(&issuer.pem()));
}

#[tokio::test]
async fn other_users_get_nothing() {
    let folder = Folder::new();
    let own = std::fs::metadata(folder.path()).unwrap().uid();
    for (users, served) in [(vec![own], true), (vec![own + 1], false)] {
        let socket = Socket::open(Some(users)).await;
        socket.renew(&Issuer::new("root"));
        assert_eq!(std::fs::metadata(&socket.path).unwrap().permissions().mode() & 0o777, 0o660);
        let got = match envoy::unix(&socket.address).await {
            Err(_) => false,
            Ok(channel) => {
                let (requests, sent) = requests();
                requests
                    .send(DiscoveryRequest {
                        type_url: ResourceType::Secret.url().to_owned(),
                        resource_names: vec!["web".to_owned()],
                        ..DiscoveryRequest::default()
                    })
                    .unwrap();
                match SecretDiscoveryServiceClient::new(channel).stream_secrets(sent).await {
                    Err(_) => false,
                    Ok(responses) => responses.into_inner().message().await.is_ok_and(|response| response.is_some()),
                }
            }
        };
        assert_eq!(got, served);
    }
}
