//! Replicas of the control plane on the local `DynamoDB`: rates, the time until traffic moves, streams, memory, and recovery.
//!
//! `MiniStack` is one Python process on the same processors, so the rates are far below those of `DynamoDB`. Ratios between
//! one and three replicas, memory, and the time until traffic moves are meaningful.

use std::error::Error;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tonic::transport::Endpoint;

use crate::moved::{Moved, Processes, turns};
use crate::streams::Stream;
use crate::{Row, median, say};

const ACCOUNT: &str = "123456789012";
const REGION: &str = "us-east-1";
/// Concurrent callers of the rates, as in the measurement without a store.
const CALLERS: usize = 8;
/// Concurrent creations of resources.
const CREATORS: usize = 64;
/// The duration of each rate.
const SPAN: Duration = Duration::from_secs(3);
/// The time limit of a start.
const TIMEOUT: Duration = Duration::from_secs(90);
/// The numbers of resources at which memory is read.
const RESOURCES: [usize; 2] = [1_000, 10_000];
/// The streams over all replicas.
const STREAMS: usize = 10_000;
/// The streams with one node, and the streams of a connection.
const STREAMS_PER_NODE: usize = 10;
const STREAMS_PER_CONNECTION: usize = 100;
/// The number of changes, each pushed to all streams.
const PUSHES: u8 = 10;

/// The programs of the local store.
#[derive(Clone, Copy)]
pub(crate) struct StorePrograms<'a> {
    pub(crate) python: &'a Path,
    pub(crate) ministack: &'a Path,
}

/// A running replica.
struct Replica {
    api: String,
    xds: String,
    child: Child,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The store with its address.
struct Store<'a> {
    control_plane: &'a Path,
    endpoint: String,
    client: Client,
    _running: Processes,
}

pub(crate) async fn measure(
    control_plane: &Path,
    envoy: &Path,
    programs: StorePrograms<'_>,
) -> Result<Vec<Row>, Box<dyn Error>> {
    let store = Store::start(control_plane, programs).await?;
    let mut rows = store.rates().await?;
    rows.push(store.moved(envoy).await?);
    for Row { what, figure, relation } in &rows {
        say(&format!("{what}: {figure}; {relation}"))?;
    }
    rows.extend(store.size().await?);
    Ok(rows)
}

impl<'a> Store<'a> {
    async fn start(control_plane: &'a Path, programs: StorePrograms<'_>) -> Result<Self, Box<dyn Error>> {
        let folder = std::env::temp_dir().join(format!("meshwarden-bench-store-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mut server = Command::new(programs.python)
            .arg(programs.ministack)
            .current_dir(&folder)
            .envs([("MINISTACK_HOST", "127.0.0.1"), ("MINISTACK_ACCOUNT_ID", ACCOUNT), ("MINISTACK_REGION", REGION)])
            .envs([("IOT_MTLS_ENABLED", "0"), ("SFTP_ENABLED", "0")])
            .env("STATE_DIR", folder.join("state"))
            .env("S3_DATA_DIR", folder.join("s3"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut output = BufReader::new(server.stdout.take().ok_or("no output")?);
        let running = Processes { children: vec![server], folder };
        let mut line = String::new();
        output.read_line(&mut line)?;
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let address = line.trim_end().strip_prefix("listening ").ok_or("MiniStack does not start")?;
        let client = Client::builder().no_proxy().timeout(TIMEOUT).build()?;
        let store = Self { control_plane, endpoint: format!("http://{address}"), client, _running: running };
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let answer = store.client.get(format!("{}/_ministack/ready", store.endpoint)).send().await;
            if let Ok(answer) = answer
                && answer.text().await?.contains("completed")
            {
                return Ok(store);
            }
            if Instant::now() > deadline {
                return Err("MiniStack does not respond".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn table(&self, name: &str) -> Result<(), Box<dyn Error>> {
        let keys = [("pk", "HASH"), ("sk", "RANGE")];
        let request = json!({
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": keys.map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind})),
            "AttributeDefinitions": keys.map(|(name, _)| json!({"AttributeName": name, "AttributeType": "S"})),
        });
        self.call("CreateTable", &request).await.map(drop)
    }

    /// Calls an operation of `DynamoDB`.
    async fn call(&self, operation: &str, request: &Value) -> Result<Value, Box<dyn Error>> {
        let credential = format!("AWS4-HMAC-SHA256 Credential={ACCOUNT}/20261201/{REGION}/dynamodb/aws4_request");
        let call = self.client.post(&self.endpoint).header("x-amz-target", format!("DynamoDB_20120810.{operation}"));
        let call = call.header("authorization", credential).header("content-type", "application/x-amz-json-1.0");
        Ok(call.body(request.to_string()).send().await?.error_for_status()?.json().await?)
    }

    /// The number of items of a table with a partition key that begins with this, and the sum of their sizes in bytes.
    async fn stored(&self, table: &str, prefix: &str) -> Result<(u32, f64), Box<dyn Error>> {
        let (mut count, mut bytes, mut start) = (0, 0.0, Value::Null);
        loop {
            let mut request = json!({"TableName": table});
            if let (Some(members), false) = (request.as_object_mut(), start.is_null()) {
                members.insert("ExclusiveStartKey".to_owned(), start);
            }
            let mut page = self.call("Scan", &request).await?;
            for item in page.get("Items").and_then(Value::as_array).into_iter().flatten() {
                if item.pointer("/pk/S").and_then(Value::as_str).is_some_and(|key| key.starts_with(prefix)) {
                    count += 1;
                    bytes += item.as_object().into_iter().flatten().map(|(name, value)| size(name, value)).sum::<f64>();
                }
            }
            start = page.get_mut("LastEvaluatedKey").map(Value::take).unwrap_or_default();
            if start.is_null() {
                return Ok((count, bytes));
            }
        }
    }

    /// Starts a replica, and waits until it listens.
    fn replica(&self, table: &str, listeners: &[&str]) -> Result<Replica, Box<dyn Error>> {
        let mut child = Command::new(self.control_plane)
            .args(["--account", ACCOUNT, "--region", REGION, "--role", "replica"])
            .args(["--store", &format!("dynamodb:{table}"), "--xds", "127.0.0.1:0"])
            .args(listeners)
            .env("MESHWARDEN_LOG", "error")
            .env("AWS_ENDPOINT_URL_DYNAMODB", &self.endpoint)
            .envs([("AWS_REGION", REGION), ("AWS_ACCESS_KEY_ID", ACCOUNT), ("AWS_SECRET_ACCESS_KEY", "secret")])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let mut rest = |word: &str| -> Result<String, Box<dyn Error>> {
            let line = lines.next().ok_or("the control plane ended")??;
            Ok(line.strip_prefix(word).ok_or_else(|| format!("{line:?} instead of {word:?}"))?.to_owned())
        };
        let (api, xds) = (rest("api ")?, rest("xds ")?);
        Ok(Replica { api, xds, child })
    }

    fn replicas(&self, count: usize, table: &str, listeners: &[&str]) -> Result<Vec<Replica>, Box<dyn Error>> {
        (0..count).map(|_| self.replica(table, listeners)).collect()
    }

    async fn put(&self, api: &str, path: &str, body: &Value) -> Result<(), Box<dyn Error>> {
        let url = format!("{api}/v20190125/meshes{path}");
        self.client.put(url).body(body.to_string()).send().await?.error_for_status()?;
        Ok(())
    }

    /// Creates a node of the large mesh. A store on a busy machine may answer too late, so the token allows to repeat it.
    async fn create(&self, api: &str, name: &str) -> Result<(), Box<dyn Error>> {
        let body = json!({"virtualNodeName": name, "spec": caller(), "clientToken": name}).to_string();
        let url = format!("{api}/v20190125/meshes/large/virtualNodes");
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let answer = self.client.put(&url).body(body.clone()).send().await?;
            let is_late = [429, 503].contains(&answer.status().as_u16());
            if !is_late || Instant::now() > deadline {
                answer.error_for_status()?;
                return Ok(());
            }
        }
    }

    /// The rates of reads and writes at one replica and at three.
    async fn rates(&self) -> Result<Vec<Row>, Box<dyn Error>> {
        let mut figures = Vec::new();
        for count in [1, 3] {
            say(&format!("rates of {count} replicas"))?;
            let table = format!("rates-{count}");
            self.table(&table).await?;
            let replicas = self.replicas(count, &table, &[])?;
            let apis: Vec<&str> = replicas.iter().map(|replica| replica.api.as_str()).collect();
            let first = apis.first().copied().unwrap_or_default();
            self.put(first, "", &json!({"meshName": "m"})).await?;
            for caller in 0..CALLERS {
                self.put(first, "/m/virtualNodes", &json!({"virtualNodeName": format!("n{caller}"), "spec": {}}))
                    .await?;
            }
            let node = |caller: usize| {
                let api = apis.get(caller % apis.len()).copied().unwrap_or_default();
                format!("{api}/v20190125/meshes/m/virtualNodes/n{caller}")
            };
            let reads = self.rate(|caller, _| (Method::GET, node(caller), None)).await?;
            let writes = self
                .rate(|caller, turn| {
                    let host = json!({"dns": {"hostname": format!("h{turn}.local")}});
                    (Method::PUT, node(caller), Some(json!({"spec": {"serviceDiscovery": host}}).to_string()))
                })
                .await?;
            figures.push((reads, writes));
        }
        let [one, three] = figures.as_slice() else { return Err("two measurements".into()) };
        let row = |what, one: &Rate, three: &Rate| Row {
            what,
            figure: format!(
                "{:.0} a second at one, {:.0} at three; p99 {:.0} and {:.0} ms",
                one.per_second, three.per_second, one.p99, three.p99
            ),
            relation: format!("{:.2} x at three; the store is one process", three.per_second / one.per_second),
        };
        Ok(vec![
            row("replicas, DescribeVirtualNode, 8 callers", &one.0, &three.0),
            row("replicas, UpdateVirtualNode, 8 callers on 8 nodes", &one.1, &three.1),
        ])
    }

    /// The answered requests per second of all callers together.
    async fn rate(
        &self,
        request: impl Fn(usize, u32) -> (Method, String, Option<String>),
    ) -> Result<Rate, Box<dyn Error>> {
        let began = Instant::now();
        let request = &request;
        let caller = |caller: usize| async move {
            let mut times = Vec::new();
            for turn in 0.. {
                if began.elapsed() >= SPAN {
                    break;
                }
                let (method, url, body) = request(caller, turn);
                let sent = Instant::now();
                let call = self.client.request(method, url).body(body.unwrap_or_default());
                call.send().await?.error_for_status()?.bytes().await?;
                times.push(sent.elapsed().as_secs_f64() * 1000.0);
            }
            Ok::<_, reqwest::Error>(times)
        };
        let all = futures::future::try_join_all((0..CALLERS).map(caller)).await?;
        let elapsed = began.elapsed().as_secs_f64();
        let mut times: Vec<f64> = all.into_iter().flatten().collect();
        times.sort_by(f64::total_cmp);
        let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN);
        Ok(Rate { per_second: f64::from(u32::try_from(times.len())?) / elapsed, p99 })
    }

    /// The time until the traffic of an Envoy moves, by changes through each of three replicas in turn.
    async fn moved(&self, envoy: &Path) -> Result<Row, Box<dyn Error>> {
        say("time until traffic moves")?;
        self.table("moved").await?;
        let replicas = self.replicas(3, "moved", &["--listeners", "explicit:21000-29999"])?;
        let apis: Vec<String> = replicas.iter().map(|replica| replica.api.clone()).collect();
        let servers: Vec<&str> = replicas.iter().map(|replica| replica.xds.as_str()).collect();
        let folder = std::env::temp_dir().join(format!("meshwarden-bench-moved-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mut running = Processes { children: Vec::new(), folder };
        let Moved { middle, p99, idle } =
            turns(&apis, &servers.join(","), (self.control_plane, envoy), &mut running).await?;
        Ok(Row {
            what: "UpdateRoute through each of three replicas to traffic moved, one Envoy",
            figure: format!("median {middle:.0} ms, p99 {p99:.0} ms"),
            relation: format!("{:.0} x a request through that Envoy ({idle:.2} ms)", middle / idle),
        })
    }

    /// Memory at two sizes, streams, and recovery, with three replicas.
    async fn size(&self) -> Result<Vec<Row>, Box<dyn Error>> {
        self.table("size").await?;
        let mut replicas = self.replicas(3, "size", &[])?;
        let api = replicas.first().map(|replica| replica.api.clone()).unwrap_or_default();
        let empty = memory(&replicas)?;
        self.put(&api, "", &json!({"meshName": "large"})).await?;
        for name in ["v1", "v2"] {
            self.put(&api, "/large/virtualNodes", &json!({"virtualNodeName": name, "spec": server()})).await?;
        }
        let listeners = json!({"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}]});
        self.put(&api, "/large/virtualRouters", &json!({"virtualRouterName": "r", "spec": listeners})).await?;
        self.put(&api, "/large/virtualRouter/r/routes", &json!({"routeName": "all", "spec": route(100)})).await?;
        let provider = json!({"provider": {"virtualRouter": {"virtualRouterName": "r"}}});
        self.put(&api, "/large/virtualServices", &json!({"virtualServiceName": "s", "spec": provider})).await?;
        let (mut sizes, mut created) = (Vec::new(), 0);
        let began = Instant::now();
        for size in RESOURCES {
            say(&format!("{size} resources"))?;
            let apis: Vec<&str> = replicas.iter().map(|replica| replica.api.as_str()).collect();
            let creator = |creator: usize| {
                let api = apis.get(creator % apis.len()).copied().unwrap_or_default();
                async move {
                    for number in (created + creator..size).step_by(CREATORS) {
                        self.create(api, &format!("n{number}")).await?;
                    }
                    Ok::<(), Box<dyn Error>>(())
                }
            };
            futures::future::try_join_all((0..CREATORS).map(creator)).await?;
            created = size;
            self.until_equal(&replicas).await?;
            sizes.push(memory(&replicas)?);
        }
        let per_second = f64::from(u32::try_from(created)?) / began.elapsed().as_secs_f64();
        let [small, large] = sizes.as_slice() else { return Err("two sizes".into()) };
        let mut rows = vec![Row {
            what: "memory of each of three replicas, 1,000 and 10,000 resources",
            figure: format!("{:.0} and {:.0} MB", small / 1024.0, large / 1024.0),
            relation: format!(
                "empty {:.0} MB; created at {per_second:.0} a second by {CREATORS} callers",
                empty / 1024.0
            ),
        }];
        rows.extend(self.streams(&replicas, *large).await?);
        // A killed replica starts again: it loads the snapshot and the log before it listens.
        say("recovery")?;
        let mut times = Vec::new();
        for _ in 0..3 {
            replicas.pop();
            let began = Instant::now();
            let replica = self.replica("size", &[])?;
            let url = format!("{}/v20190125/meshes/large/virtualRouter/r/routes/all", replica.api);
            self.client.get(url).send().await?.error_for_status()?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
            replicas.push(replica);
        }
        rows.push(Row {
            what: "restart of a killed replica to its first read, 10,000 resources",
            figure: format!("{:.0} ms", median(times)),
            relation: "a snapshot of the last thousand entries and the log after it".to_owned(),
        });
        Ok(rows)
    }

    /// Waits until all replicas have applied all writes.
    async fn until_equal(&self, replicas: &[Replica]) -> Result<(), Box<dyn Error>> {
        for replica in replicas {
            // A read begins with the head of the log.
            self.client.get(format!("{}/v20190125/meshes/large", replica.api)).send().await?.error_for_status()?;
        }
        Ok(())
    }

    async fn streams(&self, replicas: &[Replica], without: f64) -> Result<Vec<Row>, Box<dyn Error>> {
        say(&format!("{STREAMS} streams"))?;
        let began = Instant::now();
        let mut streams = Vec::new();
        let connections = (0..STREAMS).step_by(STREAMS_PER_CONNECTION).zip(replicas.iter().cycle());
        for (first, replica) in connections {
            let channel = Endpoint::from_shared(format!("http://{}", replica.xds))?.connect().await?;
            let some = (first..first + STREAMS_PER_CONNECTION).map(|number| {
                Stream::settled(channel.clone(), format!("mesh/large/virtualNode/n{}", number / STREAMS_PER_NODE))
            });
            streams.extend(futures::future::try_join_all(some).await?);
        }
        let opened = began.elapsed();
        let memory = memory(replicas)?;
        let per_stream = (memory - without) / (f64::from(u32::try_from(STREAMS / replicas.len())?));
        let mut times = Vec::new();
        for (turn, replica) in (1..=PUSHES).zip(replicas.iter().cycle()) {
            let began = Instant::now();
            self.put(&replica.api, "/large/virtualRouter/r/routes/all", &json!({"spec": route(100 - turn)})).await?;
            futures::future::try_join_all(streams.iter_mut().map(Stream::take)).await?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        let slowest = times.iter().copied().fold(0.0, f64::max);
        // Each replica reports the last acknowledgements within a second.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (chunks, evidence) = self.stored("size", "evidence").await?;
        let (records, reports) = self.stored("size", "replica").await?;
        let (entries, log) = self.stored("size", "log").await?;
        let streams_reported = f64::from(u32::try_from(STREAMS)?);
        let writes = f64::from(u32::try_from(RESOURCES[1])?);
        let stored = Row {
            what: "stored evidence of 10,000 streams, and the log of 10,000 creations",
            figure: format!(
                "{:.0} bytes a stream in {chunks} chunks, {:.0} bytes a creation in {entries} entries",
                evidence / streams_reported,
                log / writes
            ),
            relation: format!("{:.0} bytes the record of a replica", reports / f64::from(records.max(1))),
        };
        let pushed = Row {
            what: "UpdateRoute to 10,000 ADS streams of 1,000 nodes over three replicas, all pushed",
            figure: format!("{:.0} ms, slowest of {PUSHES} {slowest:.0} ms", median(times)),
            relation: format!(
                "opened in {:.1} s; {per_stream:.0} KB a stream, {:.0} MB a replica; clients on the same processors",
                opened.as_secs_f64(),
                memory / 1024.0
            ),
        };
        Ok(vec![pushed, stored])
    }
}

/// The rate of some requests, and the 99th percentile of their durations in milliseconds.
struct Rate {
    per_second: f64,
    p99: f64,
}

/// The size of an attribute as `DynamoDB` counts it: the lengths of its name and its value.
fn size(name: &str, value: &Value) -> f64 {
    let text = |kind: &str| value.get(kind).and_then(Value::as_str).map(str::len);
    let length = text("S").or_else(|| text("N")).or_else(|| text("B").map(|base64| base64 / 4 * 3));
    f64::from(u32::try_from(name.len() + length.unwrap_or_default()).unwrap_or(u32::MAX))
}

/// The spec of a node that listens.
fn server() -> Value {
    json!({
        "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
        "serviceDiscovery": {"dns": {"hostname": "node.local"}},
    })
}

/// The spec of a node with a backend.
fn caller() -> Value {
    let mut spec = server();
    if let Some(members) = spec.as_object_mut() {
        members.insert("backends".to_owned(), json!([{"virtualService": {"virtualServiceName": "s"}}]));
    }
    spec
}

fn route(weight: u8) -> Value {
    let targets = json!([{"virtualNode": "v1", "weight": weight}, {"virtualNode": "v2", "weight": 100 - weight}]);
    json!({"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": targets}}})
}

/// The mean resident memory of the replicas, in KB.
fn memory(replicas: &[Replica]) -> Result<f64, Box<dyn Error>> {
    let mut all = 0.0;
    for replica in replicas {
        let status = std::fs::read_to_string(format!("/proc/{}/status", replica.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        all += line.trim().trim_end_matches("kB").trim().parse::<f64>()?;
    }
    Ok(all / f64::from(u32::try_from(replicas.len())?))
}
