//! One stream in virtual time: the timeouts of both sides.

mod stale;

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use mesh::name::{AccountId, ResourcePath};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use xds::SecretRef;
use xds::ads::SotwStream;

use super::super::peer::{PeerAddress, Proof};
use super::super::settings::XdsSettings;
use super::super::{Ads, AdsLimits};
use super::*;
use crate::connections::{BodyBudget, BodyBudgetLimits, ConnectionLimits, ConnectionTable, Service};
use crate::quotas::Quotas;
use crate::secrets::{NoSecrets, SecretLookup, Secrets};
use crate::state::{Action, Stamp, ValidSpec, Write};
use crate::store::Store;

const FRONT: &str = "mesh/shop/virtualNode/front";
/// Longer than any timeout.
const LONG: Duration = Duration::from_hours(1);

/// A source of secrets that never responds.
#[derive(Debug, Default)]
struct NeverReady(NoSecrets);

impl Secrets for NeverReady {
    fn find(&self, _: &SecretRef) -> SecretLookup {
        SecretLookup::Pending
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes()
    }
}

fn front(listener: &Value) -> Value {
    json!({"listeners": [listener], "serviceDiscovery": {"dns": {"hostname": "front.local"}}})
}

struct StreamFixture {
    store: Arc<Store>,
    ads: Ads,
}

/// One stream; the test reads each response explicitly.
struct TestStream {
    requests: mpsc::UnboundedSender<Result<DiscoveryRequest, Status>>,
    responses: Pin<Box<dyn Stream<Item = Result<DiscoveryResponse, Status>> + Send>>,
}

impl StreamFixture {
    /// A mesh with one node; the clock is paused afterwards.
    async fn with(settings: XdsSettings, tls: Option<Value>) -> Self {
        let store = Arc::new(Store::new(Quotas::default()));
        let account = AccountId::parse("123456789012").unwrap();
        let counts = store.metrics().connections();
        let connections = ConnectionTable::new(ConnectionLimits::for_files(1024), counts.clone());
        let limits = AdsLimits { connections, bodies: BodyBudget::new(BodyBudgetLimits::default(), counts) };
        let ads = Ads::bind(settings, account, &store, limits).await.unwrap();
        let fixture = Self { store, ads };
        fixture.write("mesh/shop", json!({}), false).await;
        let mut listener = json!({"portMapping": {"port": 8080, "protocol": "http"}});
        if let Some(tls) = tls {
            listener["tls"] = tls;
        }
        fixture.write(FRONT, front(&listener), false).await;
        fixture.ads.shared.cache.settle().await;
        tokio::time::pause();
        fixture
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
        let stamp = Stamp { now: Timestamp::now(), uid: uuid::Uuid::new_v4(), caller: None };
        self.store.write(&write, &stamp).await.unwrap();
    }

    /// Moves the listener of `front` to another port, and waits until its snapshot has it.
    async fn listen_at(&self, port: u16) {
        self.write(FRONT, front(&json!({"portMapping": {"port": port, "protocol": "http"}})), true).await;
        self.ads.shared.cache.settle().await;
    }

    fn stream(&self) -> TestStream {
        let (requests, sent) = mpsc::unbounded_channel();
        let sent = futures::stream::unfold(sent, async |mut sent| Some((sent.recv().await?, sent)));
        let address = PeerAddress::Tcp("127.0.0.1:1".parse().unwrap());
        let slot = self.ads.limits.connections.admit(Service::Xds, address.client(), false).unwrap();
        let peer = XdsPeer { address, proof: Proof::None };
        TestStream {
            requests,
            responses: Box::pin(responses_of::<SotwStream>(
                Arc::clone(&self.ads.shared),
                ConnectedPeer { peer, slot },
                sent,
            )),
        }
    }
}

impl TestStream {
    fn send(&self, kind: ResourceType, acknowledged: Option<&DiscoveryResponse>) {
        let node = Node { id: FRONT.to_owned(), ..Node::default() };
        self.requests
            .send(Ok(DiscoveryRequest {
                node: Some(node),
                type_url: kind.url().to_owned(),
                version_info: acknowledged.map(|response| response.version_info.clone()).unwrap_or_default(),
                response_nonce: acknowledged.map(|response| response.nonce.clone()).unwrap_or_default(),
                ..DiscoveryRequest::default()
            }))
            .unwrap();
    }

    /// The next response, and the time until it arrived.
    async fn next(&mut self) -> (Option<Result<DiscoveryResponse, Status>>, Duration) {
        let begun = Instant::now();
        let next = timeout(LONG, self.responses.next()).await.expect("a response or the end follows");
        (next, begun.elapsed())
    }

    /// The next response, which must be of this type.
    async fn response(&mut self, kind: ResourceType) -> DiscoveryResponse {
        let response = self.next().await.0.expect("the stream is open").expect("the stream has no error");
        assert_eq!(ResourceType::of_url(&response.type_url), Some(kind));
        response
    }

    async fn silent(&mut self) -> bool {
        timeout(LONG, self.responses.next()).await.is_err()
    }

    /// Reads clusters and listeners, and acknowledges both.
    async fn settle(&mut self) {
        for kind in [ResourceType::Cluster, ResourceType::Listener] {
            self.send(kind, None);
            let response = self.response(kind).await;
            self.send(kind, Some(&response));
        }
        assert!(self.silent().await);
    }
}

#[tokio::test]
async fn a_client_without_a_request_is_disconnected_after_the_timeout() {
    let fixture = StreamFixture::new().await;
    let (end, after) = fixture.stream().next().await;
    assert_eq!(end.unwrap().unwrap_err().code(), tonic::Code::DeadlineExceeded);
    assert_eq!(after.as_secs(), FIRST_REQUEST.as_secs());
}

#[tokio::test]
async fn a_proxy_whose_secrets_never_arrive_is_disconnected_after_the_timeout() {
    let arn = "arn:aws:acm:eu-west-1:123456789012:certificate/a";
    let tls = json!({"mode": "STRICT", "certificate": {"acm": {"certificateArn": arn}}});
    let settings = XdsSettings { secrets: Arc::<NeverReady>::default(), ..XdsSettings::default() };
    let fixture = StreamFixture::with(settings, Some(tls)).await;
    let mut stream = fixture.stream();
    stream.send(ResourceType::Cluster, None);
    let (end, after) = stream.next().await;
    assert_eq!(end.unwrap().unwrap_err().code(), tonic::Code::Unavailable);
    assert_eq!(after.as_secs(), FIRST_SNAPSHOT.as_secs());
}

#[tokio::test]
async fn a_missing_acknowledgement_is_awaited_without_limit() {
    let fixture = StreamFixture::new().await;
    let mut stream = fixture.stream();
    stream.send(ResourceType::Cluster, None);
    let clusters = stream.response(ResourceType::Cluster).await;
    stream.send(ResourceType::Listener, None);
    assert!(stream.silent().await, "no listener before its clusters");
    stream.send(ResourceType::Cluster, Some(&clusters));
    stream.response(ResourceType::Listener).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_receives_only_the_last_state() {
    let fixture = StreamFixture::new().await;
    let mut stream = fixture.stream();
    stream.settle().await;
    for port in 9000..9100 {
        fixture.listen_at(port).await;
    }
    let clusters = stream.response(ResourceType::Cluster).await;
    // The last state, and the cluster that the listener still uses.
    let texts =
        clusters.resources.iter().map(|one| String::from_utf8_lossy(&one.value).into_owned()).collect::<String>();
    let ports = (8000..=9100).filter(|port| texts.contains(&format!("cds_ingress_shop_front_http_{port}")));
    assert_eq!(ports.collect::<Vec<_>>(), [8080, 9099]);
    stream.send(ResourceType::Cluster, Some(&clusters));
    let listeners = stream.response(ResourceType::Listener).await;
    stream.send(ResourceType::Listener, Some(&listeners));
    // The previous cluster is removed last.
    let clusters = stream.response(ResourceType::Cluster).await;
    stream.send(ResourceType::Cluster, Some(&clusters));
    assert!(stream.silent().await);
}

#[tokio::test]
async fn requests_are_not_read_while_responses_are_unread() {
    let fixture = StreamFixture::new().await;
    let mut stream = fixture.stream();
    stream.settle().await;
    for _ in 0..1000 {
        stream.send(ResourceType::Cluster, None);
    }
    let mut count = 0;
    while let Ok(Some(Ok(response))) = timeout(LONG, stream.responses.next()).await {
        stream.send(ResourceType::Cluster, Some(&response));
        count += 1;
    }
    // A request is read when the response to the previous one has been read.
    assert!(count <= 1001, "{count}");
}

#[tokio::test]
async fn the_last_writes_are_sent_at_shutdown() {
    let fixture = StreamFixture::new().await;
    let mut stream = fixture.stream();
    stream.settle().await;
    fixture.write(FRONT, front(&json!({"portMapping": {"port": 9999, "protocol": "http"}})), true).await;
    fixture.ads.stop.send_replace(true);
    let clusters = stream.response(ResourceType::Cluster).await;
    stream.send(ResourceType::Cluster, Some(&clusters));
    let listeners = stream.response(ResourceType::Listener).await;
    stream.send(ResourceType::Listener, Some(&listeners));
    let clusters = stream.response(ResourceType::Cluster).await;
    stream.send(ResourceType::Cluster, Some(&clusters));
    let (end, after) = stream.next().await;
    assert!(end.is_none(), "{end:?}");
    assert!(after < Duration::from_millis(100), "{after:?}");
}

#[tokio::test]
async fn shutdown_waits_at_most_a_second_for_a_proxy() {
    let fixture = StreamFixture::new().await;
    let mut stream = fixture.stream();
    stream.settle().await;
    fixture.listen_at(9999).await;
    stream.response(ResourceType::Cluster).await;
    fixture.ads.stop.send_replace(true);
    let (end, after) = stream.next().await;
    assert!(end.is_none(), "{end:?}");
    assert_eq!(after.as_secs(), DRAIN_TIMEOUT.as_secs());
}
