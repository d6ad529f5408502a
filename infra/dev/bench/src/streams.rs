//! The ADS server: building snapshots, and pushing them to many streams.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use control_plane::state::Region;
use control_plane::xds::{XdsListener, XdsSettings};
use control_plane::{QuotaSetting, Quotas, Server, Settings};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use mesh::graph::Mesh;
use mesh::name::{AccountId, MeshName, ResourceKind, ResourcePath};
use mesh::spec::Spec;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use xds::{ClientAddress, Listeners, Proxy, ResourceType, SdsSource, StatNames, Surroundings, translate};

use crate::{Row, median};

/// The nodes of the mesh for which snapshots are built: App Mesh's quota.
const NODES: usize = 200;
/// The backends of each of them.
const BACKENDS: usize = 10;
/// The streams that receive a change.
const STREAMS: usize = 1000;
/// Streams per connection.
const STREAMS_PER_CONNECTION: usize = 100;
/// The number of changes, each pushed to all streams.
const PUSHES: u8 = 20;

/// Building all snapshots of a large mesh, and only the snapshots that one route affects.
pub(crate) fn snapshots() -> Result<Vec<Row>, Box<dyn Error>> {
    let mesh = large_mesh()?;
    let instances = BTreeMap::new();
    let surroundings = Surroundings {
        listeners: Listeners::Interception,
        sds: SdsSource::Socket,
        stat_names: StatNames::Service,
        client_address: ClientAddress::default(),
        instances: &instances,
    };
    let names: Vec<Proxy> = mesh.nodes.keys().cloned().map(Proxy::Node).collect();
    let build = |proxies: &[Proxy]| {
        let began = Instant::now();
        let resources: usize = proxies.iter().map(|proxy| translate(&mesh, proxy, surroundings).encode().len()).sum();
        (began.elapsed().as_secs_f64() * 1000.0, resources)
    };
    // The nodes that call one service.
    let affected: Vec<Proxy> = names.iter().take(BACKENDS).cloned().collect();
    let (mut all, mut some, mut resources) = (Vec::new(), Vec::new(), 0);
    for _ in 0..15 {
        let (took, count) = build(&names);
        all.push(took);
        resources = count;
        some.push(build(&affected).0);
    }
    let (all, some) = (median(all), median(some));
    Ok(vec![Row {
        what: "snapshots of a mesh of 200 nodes, 10 backends each, one core",
        figure: format!("{all:.1} ms, {resources} resources"),
        relation: format!("{some:.2} ms ({:.0} %) for the 10 that one changed route concerns", 100.0 * some / all),
    }])
}

fn large_mesh() -> Result<Mesh, Box<dyn Error>> {
    let mut mesh = Mesh::new(MeshName::parse("large")?);
    let mut put = |path: String, kind: ResourceKind, spec: Value| -> Result<(), Box<dyn Error>> {
        let spec = Spec::read(kind, &spec).map_err(|errors| format!("{path}: {errors:?}"))?;
        Ok(mesh.insert(ResourcePath::parse(&format!("mesh/large/{path}"))?, spec)?)
    };
    for index in 0..NODES {
        let backends: Vec<Value> = (0..BACKENDS)
            .map(|step| json!({"virtualService": {"virtualServiceName": format!("s{}", (index + step) % NODES)}}))
            .collect();
        let node = json!({
            "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
            "serviceDiscovery": {"dns": {"hostname": format!("n{index}.local")}},
            "backends": backends,
        });
        put(format!("virtualNode/n{index}"), ResourceKind::VirtualNode, node)?;
        let listeners = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
        put(format!("virtualRouter/r{index}"), ResourceKind::VirtualRouter, listeners)?;
        let targets = json!([
            {"virtualNode": format!("n{index}"), "weight": 90},
            {"virtualNode": format!("n{}", (index + 1) % NODES), "weight": 10},
        ]);
        let route = json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}});
        put(format!("virtualRouter/r{index}/route/all"), ResourceKind::Route, route)?;
        let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": format!("r{index}")}}});
        put(format!("virtualService/s{index}"), ResourceKind::VirtualService, provider)?;
    }
    Ok(mesh)
}

/// A stream that has acknowledged everything.
pub(crate) struct Stream {
    requests: mpsc::UnboundedSender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

impl Stream {
    /// Opens a stream, and acknowledges all that it is sent.
    pub(crate) async fn settled(channel: Channel, id: String) -> Result<Self, Box<dyn Error>> {
        let (requests, sent) = mpsc::unbounded_channel();
        let sent = futures::stream::unfold(sent, async |mut sent: mpsc::UnboundedReceiver<DiscoveryRequest>| {
            Some((sent.recv().await?, sent))
        });
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let responses = client.stream_aggregated_resources(sent).await?.into_inner();
        let mut stream = Self { requests, responses };
        for (kind, names) in [
            (ResourceType::Cluster, Vec::new()),
            (ResourceType::Listener, Vec::new()),
            (ResourceType::Route, vec!["rds_egress_http_80".to_owned()]),
        ] {
            let node = (kind == ResourceType::Cluster).then(|| Node { id: id.clone(), ..Node::default() });
            stream.requests.send(DiscoveryRequest {
                node,
                type_url: kind.url().to_owned(),
                resource_names: names,
                ..DiscoveryRequest::default()
            })?;
            stream.take().await?;
        }
        Ok(stream)
    }

    /// Receives the next response, and acknowledges it.
    pub(crate) async fn take(&mut self) -> Result<(), Box<dyn Error>> {
        let response = self.responses.message().await?.ok_or("the stream ended")?;
        let names = if response.type_url == ResourceType::Route.url() {
            vec!["rds_egress_http_80".to_owned()]
        } else {
            Vec::new()
        };
        self.requests.send(DiscoveryRequest {
            version_info: response.version_info,
            response_nonce: response.nonce,
            type_url: response.type_url,
            resource_names: names,
            ..DiscoveryRequest::default()
        })?;
        Ok(())
    }
}

/// Pushing a change of a route to the streams of a thousand nodes.
pub(crate) async fn pushes() -> Result<Vec<Row>, Box<dyn Error>> {
    let quota = "virtual-nodes-per-mesh=2000".parse::<QuotaSetting>()?;
    let xds = XdsSettings { listen: vec![XdsListener::local("127.0.0.1:0".parse()?)], ..XdsSettings::default() };
    let settings = Settings::new(AccountId::parse("123456789012")?, Region::parse("us-east-1")?);
    let server = Server::bind(Settings { quotas: Quotas::default().with(quota), xds, ..settings }).await?;
    let (api, address) = (server.endpoint(), server.xds().into_iter().next().ok_or("no xDS address")?);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async {
        stopped.await.ok();
    }));
    let client = reqwest::Client::builder().no_proxy().build()?;
    let put = async |path: &str, body: Value| -> Result<(), Box<dyn Error>> {
        let url = format!("{api}/v20190125/meshes{path}");
        client.put(url).body(body.to_string()).send().await?.error_for_status()?;
        Ok(())
    };
    put("", json!({"meshName": "large"})).await?;
    let node = |name: &str, backends: Value| {
        json!({"virtualNodeName": name, "spec": {
            "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
            "serviceDiscovery": {"dns": {"hostname": "node.local"}}, "backends": backends,
        }})
    };
    for name in ["v1", "v2"] {
        put("/large/virtualNodes", node(name, json!([]))).await?;
    }
    let listeners = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
    put("/large/virtualRouters", json!({"virtualRouterName": "r", "spec": listeners})).await?;
    let route = |weight: u8| {
        let targets = json!([{"virtualNode": "v1", "weight": weight}, {"virtualNode": "v2", "weight": 100 - weight}]);
        json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}})
    };
    put("/large/virtualRouter/r/routes", json!({"routeName": "all", "spec": route(100)})).await?;
    let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": "r"}}});
    put("/large/virtualServices", json!({"virtualServiceName": "s", "spec": provider})).await?;
    let backends = json!([{"virtualService": {"virtualServiceName": "s"}}]);
    for index in 0..STREAMS {
        put("/large/virtualNodes", node(&format!("n{index}"), backends.clone())).await?;
    }
    let before = resident()?;
    let mut streams = Vec::new();
    for first in (0..STREAMS).step_by(STREAMS_PER_CONNECTION) {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        let some = (first..first + STREAMS_PER_CONNECTION)
            .map(|index| Stream::settled(channel.clone(), format!("mesh/large/virtualNode/n{index}")));
        streams.extend(futures::future::try_join_all(some).await?);
    }
    let memory = (resident()? - before) / f64::from(u32::try_from(STREAMS)?);
    let mut times = Vec::new();
    let mut one = Vec::new();
    for turn in 1..=PUSHES {
        let began = Instant::now();
        put("/large/virtualRouter/r/routes/all", json!({"spec": route(100 - turn)})).await?;
        one.push(began.elapsed());
        futures::future::try_join_all(streams.iter_mut().map(Stream::take)).await?;
        times.push(began.elapsed());
    }
    stop.send(()).ok();
    drop(streams);
    serving.await??;
    let millis = |times: Vec<Duration>| times.into_iter().map(|time| time.as_secs_f64() * 1000.0).collect::<Vec<_>>();
    let slowest = times.iter().max().copied().unwrap_or_default().as_secs_f64() * 1000.0;
    let (pushed, written) = (median(millis(times)), median(millis(one)));
    Ok(vec![Row {
        what: "UpdateRoute to 1,000 ADS streams of 1,000 nodes, all pushed",
        figure: format!("{pushed:.0} ms, slowest of {PUSHES} {slowest:.0} ms; {memory:.0} KB a stream"),
        relation: format!("the write alone {written:.2} ms; memory with the clients' own side"),
    }])
}

/// The resident memory of the process, in KB.
fn resident() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
