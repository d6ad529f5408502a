//! The webhooks over TLS, with reviews in the form that an API server sends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control_plane::TlsFiles;
use control_plane::kubernetes::{KubernetesServer, KubernetesSettings, KubernetesSync, MeshApi, WebhookSettings};
use kubernetes::ClusterName;
use kubernetes::injection::InjectionSettings;
use rules::pack::Severity;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::app_mesh::Plane;
use crate::cluster::{apply, shop, until};
use crate::server::Server;

/// The webhooks of a process with injection, and a client that trusts its certificate.
struct Webhooks {
    addr: SocketAddr,
    connector: TlsConnector,
    folder: PathBuf,
    process: JoinHandle<()>,
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.process.abort();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Webhooks {
    async fn start(server: &Server, plane: &Plane) -> Self {
        let folder = std::env::temp_dir().join(format!("meshwarden-webhooks-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let file = |name: &str, text: String| {
            std::fs::write(folder.join(name), text).unwrap();
            folder.join(name)
        };
        let tls = TlsFiles {
            certificate: file("tls.crt", certified.cert.pem()),
            key: file("tls.key", certified.signing_key.serialize_pem()),
        };
        let text = |text: &str| text.to_owned();
        let injection = InjectionSettings {
            envoy_image: text("envoy:1"),
            control_plane_image: text("control-plane:1"),
            redirect_image: text("nft:1"),
            xds: text("mesh-xds.meshwarden.svc:18000"),
            tls_server_name: text("mesh-xds.meshwarden.svc"),
            ca: certified.cert.pem(),
            api: text("https://mesh.meshwarden.svc"),
            audience: text("mesh.internal"),
            resources: ["100m", "64Mi", "", "256Mi"].map(str::to_owned),
        };
        let webhook = WebhookSettings {
            addr: "127.0.0.1:0".parse().unwrap(),
            tls,
            policy: None,
            refuses: Some(Severity::High),
            injection: Some(injection),
        };
        let api: Arc<dyn MeshApi> = Arc::<crate::app_mesh::Api>::clone(&plane.api);
        let sync = KubernetesSync::bind(KubernetesSettings {
            server: KubernetesServer { url: server.url.clone(), token_file: None, ca_file: None },
            api,
            cluster: ClusterName::parse("blue").unwrap(),
            lease: None,
            resync: Duration::from_mins(1),
            longest_watch: Duration::from_mins(1),
            metrics: Some("127.0.0.1:0".parse().unwrap()),
            webhook: Some(webhook),
        });
        let sync = sync.await.unwrap();
        let addr = sync.webhook_addr().unwrap();
        let metrics = format!("http://{}", sync.metrics_addr().unwrap());
        let process = tokio::spawn(sync.run(std::future::pending()));
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let client = reqwest::Client::new();
        until("readiness", server, async || {
            client.get(format!("{metrics}/readyz")).send().await.is_ok_and(|response| response.status() == 200)
        })
        .await;
        let text = client.get(format!("{metrics}/metrics")).send().await.unwrap().text().await.unwrap();
        assert!(text.contains("meshwarden_kubernetes_leader 1"), "{text}");
        Self { addr, connector, folder, process }
    }

    /// The status line and the body of a response.
    async fn post(&self, path: &str, body: &str) -> (String, String) {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let mut stream = self.connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut response = Vec::new();
        // Without a shutdown of TLS the response is complete all the same.
        let _ = stream.read_to_end(&mut response).await;
        let response = String::from_utf8(response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    async fn review(&self, path: &str, review: &str) -> Value {
        let (status, body) = self.post(path, review).await;
        assert_eq!(status, "HTTP/1.1 200 OK", "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&answer["apiVersion"], &answer["kind"]),
            (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
        );
        let sent: Value = serde_json::from_str(review).unwrap();
        assert_eq!(answer["response"]["uid"], sent["request"]["uid"]);
        answer["response"].clone()
    }
}

#[tokio::test]
async fn webhooks_answer_reviews_of_an_api_server() {
    let (server, plane) = (Server::start().await, Plane::start().await);
    server.label_namespace("shop", &json!({"mesh": "shop", "appmesh.k8s.aws/sidecarInjectorWebhook": "enabled"}));
    let items: Vec<_> = shop().into_iter().filter(|item| item.0 == "meshes").collect();
    apply(&server, &items);
    let webhooks = Webhooks::start(&server, &plane).await;
    let create = include_str!("reviews/create-virtual-node.json");
    let answer = webhooks.review("/mutate", create).await;
    assert_eq!((&answer["allowed"], &answer["patchType"]), (&json!(true), &json!("JSONPatch")), "{answer}");
    let answer = webhooks.review("/validate", create).await;
    assert_eq!(answer["allowed"], true, "{answer}");
    let answer = webhooks.review("/validate", include_str!("reviews/update-virtual-node.json")).await;
    assert_eq!(answer["allowed"], false);
    let message = answer["status"]["message"].as_str().unwrap();
    assert!(message.contains("spec.awsName: must not change") && message.contains("portMapping.port"), "{message}");
    // A pod that no virtual node selects gets no Envoy.
    let mut node: Value = serde_json::from_str(create).unwrap();
    let spec = node["request"]["object"]["spec"].take();
    server.apply("virtualnodes", "VirtualNode", "shop", "a", &spec);
    let pod = include_str!("reviews/create-pod.json");
    until("the patch of the pod", &server, async || webhooks.review("/inject", pod).await["patch"].is_string()).await;
    assert_eq!(webhooks.post("/validate", "{}").await.0, "HTTP/1.1 400 Bad Request");
}
