//! The client side of an ADS stream, controlled by the test.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status as Refusal;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use xds::ResourceType::{self, Cluster, Listener, Route};

use crate::plane::TIMEOUT;

/// The only route configuration of the front node that a change of weights affects.
pub(crate) const EGRESS: &str = "rds_egress_http_80";

/// One state-of-the-world stream.
pub(crate) struct Envoy {
    node: Option<Node>,
    requests: mpsc::UnboundedSender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
    names: BTreeMap<ResourceType, Vec<String>>,
}

pub(crate) async fn tcp(address: &str) -> Channel {
    // App Mesh's images ping every ten seconds, and a server that rejects pings would disconnect them. This client
    // pings far more often, so that such a server is detected.
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap().keep_alive_while_idle(true);
    endpoint.http2_keep_alive_interval(Duration::from_millis(10)).connect().await.unwrap()
}

pub(crate) async fn unix(address: &str) -> Result<Channel, tonic::transport::Error> {
    let path = PathBuf::from(address.strip_prefix("unix:").unwrap());
    let connect = move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    };
    Endpoint::from_static("http://socket").connect_with_connector(tower::service_fn(connect)).await
}

pub(crate) async fn tls(address: &str, config: ClientConfig) -> Result<Channel, tonic::transport::Error> {
    let address = address.to_owned();
    let connector = TlsConnector::from(Arc::new(config));
    let connect = move |_| {
        let (address, connector) = (address.clone(), connector.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            connector.connect(ServerName::try_from("xds.local").unwrap(), stream).await.map(TokioIo::new)
        }
    };
    Endpoint::from_static("http://xds.local").connect_with_connector(tower::service_fn(connect)).await
}

pub(crate) fn node(id: &str) -> Node {
    Node {
        id: id.to_owned(),
        cluster: "a cluster".to_owned(),
        user_agent_name: "envoy".to_owned(),
        user_agent_version_type: Some(
            envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType::UserAgentVersion("1.40.0".to_owned()),
        ),
        ..Node::default()
    }
}

impl Envoy {
    /// A stream without a request.
    pub(crate) async fn open(channel: Channel) -> Self {
        let (requests, sent) = mpsc::unbounded_channel();
        let sent = futures::stream::unfold(sent, async |mut sent| Some((sent.recv().await?, sent)));
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let responses = client.stream_aggregated_resources(sent).await.unwrap().into_inner();
        Self { node: None, requests, responses, names: BTreeMap::new() }
    }

    /// A stream with this authorization, or the refusal of it, before any request.
    pub(crate) async fn open_with(channel: Channel, authorization: Option<&str>) -> Result<Self, Status> {
        let (requests, sent) = mpsc::unbounded_channel();
        let sent = futures::stream::unfold(sent, async |mut sent| Some((sent.recv().await?, sent)));
        let mut request = tonic::Request::new(sent);
        if let Some(authorization) = authorization {
            request.metadata_mut().insert("authorization", authorization.parse().unwrap());
        }
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let responses = client.stream_aggregated_resources(request).await?.into_inner();
        Ok(Self { node: None, requests, responses, names: BTreeMap::new() })
    }

    /// Sends the first request of a node.
    pub(crate) fn identify(&mut self, id: &str) {
        self.node = Some(node(id));
        self.subscribe(Cluster, &[]);
    }

    /// A stream of a node with an Envoy's first subscription: all clusters.
    pub(crate) async fn connect(channel: Channel, id: &str) -> Self {
        let mut envoy = Self::open(channel).await;
        envoy.node = Some(node(id));
        envoy.subscribe(Cluster, &[]);
        envoy
    }

    /// A returning client with a version of its clusters.
    pub(crate) async fn returning(channel: Channel, id: &str, version: &str) -> Self {
        let mut envoy = Self::open(channel).await;
        envoy.node = Some(node(id));
        envoy.subscribe_with(Cluster, &[], version);
        envoy
    }

    /// A connected node that has acknowledged everything, including the named routes.
    pub(crate) async fn settled(channel: Channel, id: &str, routes: &[&str]) -> Self {
        let mut envoy = Self::connect(channel, id).await;
        envoy.take(Cluster).await;
        envoy.subscribe(Listener, &[]);
        envoy.take(Listener).await;
        if !routes.is_empty() {
            envoy.subscribe(Route, routes);
            envoy.take(Route).await;
        }
        envoy
    }

    pub(crate) fn send(&self, request: DiscoveryRequest) {
        self.requests.send(request).unwrap();
    }

    /// Subscribes to resources of a type; the first request has the node.
    pub(crate) fn subscribe(&mut self, kind: ResourceType, names: &[&str]) {
        self.subscribe_with(kind, names, "");
    }

    /// The same, from a client that has a version already.
    pub(crate) fn subscribe_with(&mut self, kind: ResourceType, names: &[&str], version: &str) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.names.insert(kind, names.clone());
        let request = DiscoveryRequest {
            node: self.node.take(),
            type_url: kind.url().to_owned(),
            resource_names: names,
            version_info: version.to_owned(),
            ..DiscoveryRequest::default()
        };
        self.send(request);
    }

    /// Acknowledges a response and changes the subscription.
    pub(crate) fn resubscribe(&mut self, response: &DiscoveryResponse, names: &[&str]) {
        let kind = ResourceType::of_url(&response.type_url).unwrap();
        self.names.insert(kind, names.iter().map(|name| (*name).to_owned()).collect());
        self.acknowledge(response);
    }

    pub(crate) fn node(&mut self, id: &str) {
        self.node = Some(node(id));
    }

    /// The next response.
    pub(crate) async fn next(&mut self) -> DiscoveryResponse {
        let next = timeout(TIMEOUT, self.responses.message()).await.expect("a response arrives");
        next.unwrap().expect("the stream is open")
    }

    /// The next response, which must be of this type; acknowledges it.
    pub(crate) async fn take(&mut self, kind: ResourceType) -> DiscoveryResponse {
        let response = self.next().await;
        assert_eq!(ResourceType::of_url(&response.type_url), Some(kind));
        self.acknowledge(&response);
        response
    }

    pub(crate) fn acknowledge(&self, response: &DiscoveryResponse) {
        self.answer(response, None, &response.version_info);
    }

    pub(crate) fn refuse(&self, response: &DiscoveryResponse, message: &str, last_good: &str) {
        let refusal = Refusal { code: 13, message: message.to_owned(), ..Refusal::default() };
        self.answer(response, Some(refusal), last_good);
    }

    fn answer(&self, response: &DiscoveryResponse, error_detail: Option<Refusal>, version: &str) {
        let kind = ResourceType::of_url(&response.type_url).unwrap();
        self.send(DiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            version_info: version.to_owned(),
            resource_names: self.names[&kind].clone(),
            error_detail,
            ..DiscoveryRequest::default()
        });
    }

    /// The status with which the stream ends, without another response before.
    pub(crate) async fn end(&mut self) -> Status {
        match timeout(TIMEOUT, self.responses.message()).await.expect("the stream ends") {
            Ok(None) => Status::new(Code::Ok, ""),
            Ok(Some(response)) => panic!("not an end: {} {}", response.type_url, response.version_info),
            Err(status) => status,
        }
    }

    /// Fails if a response arrives before the future is ready; returns its result.
    pub(crate) async fn nothing_until<T>(&mut self, done: impl Future<Output = T>) -> T {
        tokio::select! {
            biased;
            response = self.responses.message() => panic!("{response:?}"),
            done = done => done,
        }
    }
}

/// Opens a stream as a node, and returns the status with which it ends.
pub(crate) async fn refusal(channel: Channel, id: &str) -> Status {
    Envoy::connect(channel, id).await.end().await
}

/// One delta stream.
pub(crate) struct Delta {
    requests: mpsc::UnboundedSender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Delta {
    pub(crate) async fn connect(channel: Channel, id: &str) -> Self {
        let (requests, sent) = mpsc::unbounded_channel();
        let sent = futures::stream::unfold(sent, async |mut sent| Some((sent.recv().await?, sent)));
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let responses = client.delta_aggregated_resources(sent).await.unwrap().into_inner();
        let delta = Self { requests, responses };
        delta.send(DeltaDiscoveryRequest {
            node: Some(node(id)),
            type_url: Cluster.url().to_owned(),
            ..DeltaDiscoveryRequest::default()
        });
        delta
    }

    pub(crate) fn send(&self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).unwrap();
    }

    pub(crate) fn subscribe(&self, kind: ResourceType, names: &[&str]) {
        self.send(DeltaDiscoveryRequest {
            type_url: kind.url().to_owned(),
            resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
            ..DeltaDiscoveryRequest::default()
        });
    }

    pub(crate) async fn take(&mut self, kind: ResourceType) -> DeltaDiscoveryResponse {
        let response = timeout(TIMEOUT, self.responses.message()).await.expect("a response arrives").unwrap().unwrap();
        assert_eq!(ResourceType::of_url(&response.type_url), Some(kind));
        self.send(DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        });
        response
    }

    #[allow(dead_code, reason = "used by the attack suite, which shares this file")]
    /// The status with which the stream ends, after any responses.
    pub(crate) async fn end(&mut self) -> Status {
        loop {
            match timeout(TIMEOUT, self.responses.message()).await.expect("the stream ends") {
                Ok(Some(_)) => {}
                Ok(None) => return Status::new(Code::Ok, ""),
                Err(status) => return status,
            }
        }
    }
}
