//! The time from `UpdateRoute` until Envoy routes traffic accordingly.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};

use crate::{Row, median};

/// The number of changes.
const TURNS: usize = 200;
/// The time limit of each step.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Processes and a folder that are ended and removed with this value.
pub(crate) struct Processes {
    pub(crate) children: Vec<Child>,
    pub(crate) folder: std::path::PathBuf,
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().ok();
            child.wait().ok();
        }
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

pub(crate) async fn measure(control_plane: &Path, envoy: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("meshwarden-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut running = Processes { children: Vec::new(), folder };
    let mut server = Command::new(control_plane)
        .args(["--api", "127.0.0.1:0", "--xds", "127.0.0.1:0", "--listeners", "explicit:21000-29999"])
        .env("MESHWARDEN_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()?;
    let output = server.stdout.take().ok_or("no output")?;
    running.children.push(server);
    let mut lines = BufReader::new(output).lines();
    let mut next_line = |word: &str| -> Result<String, Box<dyn Error>> {
        let line = lines.next().ok_or("the control plane ended")??;
        Ok(line.strip_prefix(word).ok_or_else(|| format!("{line:?} instead of {word:?}"))?.to_owned())
    };
    let (api, xds) = (next_line("api ")?, next_line("xds ")?);
    let Moved { middle, p99, idle } = turns(&[api], &xds, (control_plane, envoy), &mut running).await?;
    Ok(vec![Row {
        what: "UpdateRoute to traffic moved, one Envoy",
        figure: format!("median {middle:.1} ms, p99 {p99:.1} ms"),
        relation: format!("{:.1} x a request through that Envoy ({idle:.2} ms)", middle / idle),
    }])
}

/// The durations of changes and of requests, in milliseconds.
pub(crate) struct Moved {
    /// The median from the request of a change to a response of the new target.
    pub(crate) middle: f64,
    /// The 99th percentile of the same.
    pub(crate) p99: f64,
    /// The median of a request without a change.
    pub(crate) idle: f64,
}

/// Moves the traffic of an Envoy by changes through each API in turn. The Envoy gets its configuration from these servers.
pub(crate) async fn turns(
    apis: &[String],
    xds: &str,
    (control_plane, envoy): (&Path, &Path),
    running: &mut Processes,
) -> Result<Moved, Box<dyn Error>> {
    let api = apis.first().ok_or("no control plane")?;
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    let put = async |path: &str, body: Value| -> Result<(), Box<dyn Error>> {
        let url = format!("{api}/v20190125/meshes{path}");
        client.put(url).body(body.to_string()).send().await?.error_for_status()?;
        Ok(())
    };
    put("", json!({"meshName": "shop"})).await?;
    for name in ["blue", "green"] {
        let spec = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
            "serviceDiscovery": {"dns": {"hostname": "node.local"}}});
        put("/shop/virtualNodes", json!({"virtualNodeName": name, "spec": spec})).await?;
    }
    let listeners = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
    put("/shop/virtualRouters", json!({"virtualRouterName": "r", "spec": listeners})).await?;
    let route = |blue: u8| {
        let targets = json!([{"virtualNode": "blue", "weight": blue}, {"virtualNode": "green", "weight": 1 - blue}]);
        json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}})
    };
    put("/shop/virtualRouter/r/routes", json!({"routeName": "all", "spec": route(1)})).await?;
    let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": "r"}}});
    put("/shop/virtualServices", json!({"virtualServiceName": "s", "spec": provider})).await?;
    let backends = json!({"backends": [{"virtualService": {"virtualServiceName": "s"}}]});
    put("/shop/virtualNodes", json!({"virtualNodeName": "client", "spec": backends})).await?;

    // The applications listen at the ports of their nodes' proxies: only the client's proxy is measured.
    let port = async |node: &str, side: &str| -> Result<u16, Box<dyn Error>> {
        let url = format!("{api}/proxies/shop/virtualNode/{node}");
        let report: Value = client.get(url).send().await?.error_for_status()?.json().await?;
        let port = report
            .pointer(&format!("/ports/{side}/0/port"))
            .and_then(Value::as_u64)
            .ok_or_else(|| format!("no {side} port in {report}"))?;
        Ok(u16::try_from(port)?)
    };
    for name in ["blue", "green"] {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port(name, "ingress").await?)).await?;
        let router = Router::new().fallback(get(move || async move { name }));
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    let egress = port("client", "egress").await?;
    running.children.push(start_envoy(control_plane, envoy, xds, &running.folder)?);
    let url = format!("http://127.0.0.1:{egress}/");
    let request = async || -> Option<String> { client.get(&url).send().await.ok()?.text().await.ok() };
    let deadline = Instant::now() + TIMEOUT;
    while request().await.as_deref() != Some("blue") {
        if Instant::now() > deadline {
            return Err("Envoy does not serve requests".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let (mut times, mut idle) = (Vec::new(), Vec::new());
    for (turn, api) in (0..TURNS).zip(apis.iter().cycle()) {
        let (blue, expected) = if turn % 2 == 0 { (0, "green") } else { (1, "blue") };
        let began = Instant::now();
        request().await;
        idle.push(began.elapsed().as_secs_f64() * 1000.0);
        let began = Instant::now();
        let url = format!("{api}/v20190125/meshes/shop/virtualRouter/r/routes/all");
        client.put(url).body(json!({"spec": route(blue)}).to_string()).send().await?.error_for_status()?;
        while request().await.as_deref() != Some(expected) {
            if began.elapsed() > TIMEOUT {
                return Err("Envoy does not route traffic to the new target".into());
            }
        }
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    let p99 = times.get(TURNS * 99 / 100).copied().unwrap_or(f64::NAN);
    Ok(Moved { middle: median(times), p99, idle: median(idle) })
}

fn start_envoy(control_plane: &Path, envoy: &Path, xds: &str, folder: &Path) -> Result<Child, Box<dyn Error>> {
    let bootstrap = Command::new(control_plane)
        .args(["bootstrap", "--xds", xds, "--node", "mesh/shop/virtualNode/client", "--admin", "127.0.0.1:0"])
        .output()?;
    let file = folder.join("envoy.json");
    std::fs::write(&file, bootstrap.stdout)?;
    let log = std::fs::File::create(folder.join("envoy.log"))?;
    Ok(Command::new(envoy)
        .arg("--config-path")
        .arg(file)
        .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?)
}
