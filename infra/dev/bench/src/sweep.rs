//! Reading a large mesh over HTTP with a delay per call, compared with a loop that describes one resource after
//! another.

use std::error::Error;
use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws::Aws;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use control_plane::state::Region;
use control_plane::{QuotaSetting, Quotas, Server, Settings};
use mesh::name::{AccountId, MeshName, ResourceKind, ResourcePath};
use ports::{MeshReader as _, Pace, survey};
use reqwest::Client;
use serde_json::json;
use tokio::process::Command;

use crate::Row;

/// The delay of every call.
const LATENCY: Duration = Duration::from_millis(20);

/// The nodes of the mesh, which has no other resources.
const NODES: usize = 1000;

/// The size limit of a request's body, in bytes.
const MAX_BODY: usize = 10_000_000;

/// The argument with which this program only reads the mesh that its environment names: an SDK client reads its
/// endpoint from there.
pub(crate) const READER: &str = "read-mesh";

/// The sweep's reading and the loop, each in a separate process.
pub(crate) async fn measure() -> Result<Vec<Row>, Box<dyn Error>> {
    let quota = "virtual-nodes-per-mesh=2000".parse::<QuotaSetting>()?;
    let settings = Settings::new(AccountId::parse("123456789012")?, Region::parse("us-east-1")?);
    let server = Server::bind(Settings { quotas: Quotas::default().with(quota), ..settings }).await?;
    let endpoint = server.endpoint();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async {
        stopped.await.ok();
    }));
    let client = Client::builder().no_proxy().build()?;
    let put = async |path: &str, body: serde_json::Value| -> Result<(), Box<dyn Error>> {
        let url = format!("{endpoint}/v20190125/meshes{path}");
        client.put(url).body(body.to_string()).send().await?.error_for_status()?;
        Ok(())
    };
    put("", json!({"meshName": "large"})).await?;
    for index in 0..NODES {
        let spec = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
            "serviceDiscovery": {"dns": {"hostname": format!("n{index}.local")}}});
        let tags = json!([{"key": "owner", "value": "payments"}]);
        let node = json!({"virtualNodeName": format!("n{index}"), "spec": spec, "tags": tags});
        put("/large/virtualNodes", node).await?;
    }
    let proxy = Proxy { calls: Arc::default(), endpoint: endpoint.clone(), client: client.clone() };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let slow = format!("http://{}", listener.local_addr()?);
    let router = Router::new().fallback(forward).with_state(proxy.clone());
    let proxying = tokio::spawn(async move { axum::serve(listener, router).await });
    let swept = timed("survey", &slow, &proxy).await?;
    let looped = timed("loop", &slow, &proxy).await?;
    proxying.abort();
    stop.send(()).ok();
    serving.await??;
    let nodes = f64::from(u32::try_from(NODES)?);
    Ok(vec![Row {
        what: "sweep reads 1,000 virtual nodes with their tags over HTTP, 20 ms a call",
        figure: format!("{:.0} ms, {:.2} calls a node, pages included", swept.0, swept.1 / nodes),
        relation: format!("{:.1} x a loop of describes, {:.1} s", looped.0 / swept.0, looped.0 / 1000.0),
    }])
}

/// The milliseconds and calls of a reading.
async fn timed(reading: &str, endpoint: &str, proxy: &Proxy) -> Result<(f64, f64), Box<dyn Error>> {
    proxy.calls.store(0, Ordering::Relaxed);
    let output = Command::new(std::env::current_exe()?)
        .args([READER, reading])
        .env("AWS_ENDPOINT_URL_APP_MESH", endpoint)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "bench")
        .env("AWS_SECRET_ACCESS_KEY", "bench")
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        return Err(format!("{reading}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let millis = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok((millis, f64::from(u32::try_from(proxy.calls.load(Ordering::Relaxed))?)))
}

/// Reads the mesh in one of the two ways, and prints the milliseconds.
pub(crate) async fn read(reading: &OsStr) -> Result<(), Box<dyn Error>> {
    let meshes = Aws::open().await.mesh();
    let mesh = MeshName::parse("large")?;
    let root = ResourcePath::Mesh(mesh.clone());
    // The first call of a client opens connections and looks up credentials, so it is not measured.
    meshes.describe(&root).await?;
    let began = Instant::now();
    if reading == "survey" {
        let survey = survey(&meshes, &mesh, &mut Pace::new(16, 40)).await?;
        if survey.resources.len() != NODES + 1 || !survey.is_whole() {
            return Err(format!("{} resources", survey.resources.len()).into());
        }
    } else {
        for found in meshes.list(&root, ResourceKind::VirtualNode).await? {
            meshes.describe(&found.path).await?;
        }
    }
    crate::say(&format!("{:.1}", began.elapsed().as_secs_f64() * 1000.0))
}

#[derive(Clone)]
struct Proxy {
    calls: Arc<AtomicUsize>,
    endpoint: String,
    client: Client,
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Result<Response, String> {
    proxy.calls.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(LATENCY).await;
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, MAX_BODY).await.map_err(|error| error.to_string())?;
    let url = format!("{}{}", proxy.endpoint, parts.uri);
    let answer = proxy.client.request(parts.method, url).headers(parts.headers).body(body).send().await;
    let answer = answer.map_err(|error| error.to_string())?;
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let body = answer.bytes().await.map_err(|error| error.to_string())?;
    response.body(Body::from(body)).map_err(|error| error.to_string())
}
