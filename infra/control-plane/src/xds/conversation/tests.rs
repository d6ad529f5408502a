//! One stream in virtual time: how long anybody waits for anybody.

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use mesh::name::{AccountId, ResourcePath};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use xds::SecretRef;
use xds::ads::SotwStream;

use super::super::peer::{Place, Proof};
use super::super::settings::XdsSettings;
use super::super::{Ads, Gate};
use super::*;
use crate::connections::{BodyBudget, BodyBudgetLimits, ConnectionLimits, ConnectionTable, Service};
use crate::quotas::Quotas;
use crate::secrets::{Found, NoSecrets, Secrets};
use crate::state::{Action, Stamp, ValidSpec, Write};
use crate::store::Store;

const FRONT: &str = "mesh/shop/virtualNode/front";
/// Longer than anything may last that is meant to end by itself.
const LONG: Duration = Duration::from_hours(1);

/// Never answers.
#[derive(Debug, Default)]
struct Never(NoSecrets);

impl Secrets for Never {
    fn find(&self, _: &SecretRef) -> Found {
        Found::Pending
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes()
    }
}

fn front(listener: &Value) -> Value {
    json!({"listeners": [listener], "serviceDiscovery": {"dns": {"hostname": "front.local"}}})
}

struct Scene {
    store: Arc<Store>,
    ads: Ads,
}

/// One stream, responses taken only when the test asks for one.
struct Line {
    requests: mpsc::UnboundedSender<Result<DiscoveryRequest, Status>>,
    responses: Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>,
}

impl Scene {
    /// A mesh with one node, and a clock that stands still from here on.
    async fn with(settings: XdsSettings, tls: Option<Value>) -> Self {
        let store = Arc::new(Store::new(Quotas::default()));
        let account = AccountId::parse("123456789012").unwrap();
        let counts = store.metrics().connections();
        let connections = ConnectionTable::new(ConnectionLimits::for_files(1024), counts.clone());
        let gate = Gate { connections, bodies: BodyBudget::new(BodyBudgetLimits::default(), counts) };
        let ads = Ads::bind(settings, account, &store, gate).await.unwrap();
        let scene = Self { store, ads };
        scene.write("mesh/shop", json!({}), false).await;
        let mut listener = json!({"portMapping": {"port": 8080, "protocol": "http"}});
        if let Some(tls) = tls {
            listener["tls"] = tls;
        }
        scene.write(FRONT, front(&listener), false).await;
        scene.ads.shared.cache.settle().await;
        tokio::time::pause();
        scene
    }

    async fn new() -> Self {
        Self::with(XdsSettings::default(), None).await
    }

    async fn write(&self, path: &str, spec: Value, again: bool) {
        let path = ResourcePath::parse(path).unwrap();
        let spec = ValidSpec::parse(&path, spec).unwrap().into();
        let action =
            if again { Action::Update { spec: Some(spec) } } else { Action::Create { spec, tags: Vec::new() } };
        let write = Write { path, action, if_version: None, token: None };
        let stamp = Stamp { now: Timestamp::now(), uid: uuid::Uuid::new_v4() };
        self.store.write(&write, &stamp).await.unwrap();
    }

    /// Moves the front's listener to another port, and waits until that is in its picture.
    async fn listen_at(&self, port: u16) {
        self.write(FRONT, front(&json!({"portMapping": {"port": port, "protocol": "http"}})), true).await;
        self.ads.shared.cache.settle().await;
    }

    fn line(&self) -> Line {
        let (requests, sent) = mpsc::unbounded_channel();
        let sent = futures::stream::unfold(sent, async |mut sent| Some((sent.recv().await?, sent)));
        let place = Place::Tcp("127.0.0.1:1".parse().unwrap());
        let slot = self.ads.gate.connections.admit(Service::Xds, place.client(), false).unwrap();
        let peer = Peer { place, proof: Proof::None };
        Line {
            requests,
            responses: Box::pin(converse::<SotwStream>(Arc::clone(&self.ads.shared), Guest { peer, slot }, sent)),
        }
    }
}

impl Line {
    fn ask(&self, kind: ResourceType, answering: Option<&DiscoveryResponse>) {
        let node = Node { id: FRONT.to_owned(), ..Node::default() };
        self.requests
            .send(Ok(DiscoveryRequest {
                node: Some(node),
                type_url: kind.url().to_owned(),
                version_info: answering.map(|response| response.version_info.clone()).unwrap_or_default(),
                response_nonce: answering.map(|response| response.nonce.clone()).unwrap_or_default(),
                ..DiscoveryRequest::default()
            }))
            .unwrap();
    }

    /// What comes next, and after how long.
    async fn next(&mut self) -> (Option<Result<DiscoveryResponse, Status>>, Duration) {
        let begun = Instant::now();
        let next = timeout(LONG, self.responses.next()).await.expect("something comes");
        (next, begun.elapsed())
    }

    /// The next response, which has to be of this type.
    async fn response(&mut self, kind: ResourceType) -> DiscoveryResponse {
        let response = self.next().await.0.expect("not the end").expect("no error");
        assert_eq!(ResourceType::of_url(&response.type_url), Some(kind));
        response
    }

    async fn silent(&mut self) -> bool {
        timeout(LONG, self.responses.next()).await.is_err()
    }

    /// Takes clusters and listeners, and acknowledges both.
    async fn settle(&mut self) {
        for kind in [ResourceType::Cluster, ResourceType::Listener] {
            self.ask(kind, None);
            let response = self.response(kind).await;
            self.ask(kind, Some(&response));
        }
        assert!(self.silent().await);
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go_after_thirty_seconds() {
    let scene = Scene::new().await;
    let (end, after) = scene.line().next().await;
    assert_eq!(end.unwrap().unwrap_err().code(), tonic::Code::DeadlineExceeded);
    assert_eq!(after.as_secs(), FIRST_REQUEST.as_secs());
}

#[tokio::test]
async fn a_proxy_whose_secrets_never_come_may_ask_again_after_thirty_seconds() {
    let arn = "arn:aws:acm:eu-west-1:123456789012:certificate/a";
    let tls = json!({"mode": "STRICT", "certificate": {"acm": {"certificateArn": arn}}});
    let settings = XdsSettings { secrets: Arc::<Never>::default(), ..XdsSettings::default() };
    let scene = Scene::with(settings, Some(tls)).await;
    let mut line = scene.line();
    line.ask(ResourceType::Cluster, None);
    let (end, after) = line.next().await;
    assert_eq!(end.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
    assert_eq!(after.as_secs(), FIRST_PICTURE.as_secs());
}

#[tokio::test]
async fn what_is_not_acknowledged_is_waited_for_however_long_it_takes() {
    let scene = Scene::new().await;
    let mut line = scene.line();
    line.ask(ResourceType::Cluster, None);
    let clusters = line.response(ResourceType::Cluster).await;
    line.ask(ResourceType::Listener, None);
    assert!(line.silent().await, "no listener before its clusters");
    line.ask(ResourceType::Cluster, Some(&clusters));
    line.response(ResourceType::Listener).await;
}

#[tokio::test]
async fn for_one_that_does_not_read_nothing_piles_up() {
    let scene = Scene::new().await;
    let mut line = scene.line();
    line.settle().await;
    for port in 9000..9100 {
        scene.listen_at(port).await;
    }
    let clusters = line.response(ResourceType::Cluster).await;
    // The last state, and what the listener still uses.
    let texts =
        clusters.resources.iter().map(|one| String::from_utf8_lossy(&one.value).into_owned()).collect::<String>();
    let ports = (8000..=9100).filter(|port| texts.contains(&format!("cds_ingress_shop_front_http_{port}")));
    assert_eq!(ports.collect::<Vec<_>>(), [8080, 9099]);
    line.ask(ResourceType::Cluster, Some(&clusters));
    let listeners = line.response(ResourceType::Listener).await;
    line.ask(ResourceType::Listener, Some(&listeners));
    // The former cluster goes last.
    let clusters = line.response(ResourceType::Cluster).await;
    line.ask(ResourceType::Cluster, Some(&clusters));
    assert!(line.silent().await);
}

#[tokio::test]
async fn one_that_only_asks_and_never_reads_is_not_listened_to() {
    let scene = Scene::new().await;
    let mut line = scene.line();
    line.settle().await;
    for _ in 0..1000 {
        line.ask(ResourceType::Cluster, None);
    }
    let mut answers = 0;
    while let Ok(Some(Ok(response))) = timeout(LONG, line.responses.next()).await {
        line.ask(ResourceType::Cluster, Some(&response));
        answers += 1;
    }
    // A question is read when the answer to the one before is taken.
    assert!(answers <= 1001, "{answers}");
}

#[tokio::test]
async fn at_the_end_what_was_written_before_still_goes_out() {
    let scene = Scene::new().await;
    let mut line = scene.line();
    line.settle().await;
    scene.write(FRONT, front(&json!({"portMapping": {"port": 9999, "protocol": "http"}})), true).await;
    scene.ads.stop.send_replace(true);
    let clusters = line.response(ResourceType::Cluster).await;
    line.ask(ResourceType::Cluster, Some(&clusters));
    let listeners = line.response(ResourceType::Listener).await;
    line.ask(ResourceType::Listener, Some(&listeners));
    let clusters = line.response(ResourceType::Cluster).await;
    line.ask(ResourceType::Cluster, Some(&clusters));
    let (end, after) = line.next().await;
    assert!(end.is_none(), "{end:?}");
    assert!(after < Duration::from_millis(100), "{after:?}");
}

#[tokio::test]
async fn at_the_end_nobody_is_waited_for_longer_than_a_second() {
    let scene = Scene::new().await;
    let mut line = scene.line();
    line.settle().await;
    scene.listen_at(9999).await;
    line.response(ResourceType::Cluster).await;
    scene.ads.stop.send_replace(true);
    let (end, after) = line.next().await;
    assert!(end.is_none(), "{end:?}");
    assert_eq!(after.as_secs(), LAST_CALL.as_secs());
}
