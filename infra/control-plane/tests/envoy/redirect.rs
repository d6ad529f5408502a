//! The redirection of traffic by the rules of the sidecar definitions, in network namespaces: applications that know nothing of
//! Envoy call each other through both of their proxies, and reach nothing that the egress filter refuses.
//!
//! ```text
//!  namespace a, 10.77.0.1                                        namespace b, 10.77.0.2
//!  client (user 10001) -> 15001 Envoy (user 1337) == veth ==> 8080 -> 15000 Envoy (user 1337) -> 127.0.0.1:8080 server
//! ```

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::proxy::Envoy;
use crate::stage::{MESH, TIMEOUT};

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/sidecar/redirect.nft");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The user of Envoy in the sidecar definitions.
const ENVOY: u32 = 1337;

/// The user of the applications.
const APPLICATION: u32 = 10_001;

/// The variable with the task of [`application`]: `serve PORT`, or `get ADDRESS PORT HOST PATH`.
const TASK: &str = "MESHWARDEN_TEST_APPLICATION";

/// An application that knows nothing of Envoy. This program starts itself with it, as another user in a namespace.
#[test]
#[ignore = "part of the other tests of this file, which start it with a task"]
fn application() {
    let task = std::env::var(TASK).unwrap_or_default();
    match task.split(' ').collect::<Vec<_>>().as_slice() {
        ["serve", port] => serve(port.parse().unwrap()),
        ["get", address, port, host, path] => {
            let mut stream = TcpStream::connect((*address, port.parse().unwrap())).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
            let mut response = String::new();
            let _ = stream.read_to_string(&mut response);
            println!("{RESPONSE}{}", json!(response));
        }
        _ => {}
    }
}

/// What the output of a request begins with.
const RESPONSE: &str = "response ";

/// Answers each request with its peer and its head.
fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).unwrap();
    println!("ready");
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        std::thread::spawn(move || {
            let peer = stream.peer_addr().unwrap().ip();
            let mut head = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            // An empty line ends the head, and no line the connection.
            while lines.read_line(&mut head).is_ok_and(|read| read > 2) {}
            let body = json!({"peer": peer.to_string(), "head": head}).to_string();
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        });
    }
}

/// A program that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network namespace, deleted with the test.
struct Namespace(String);

impl Namespace {
    fn new(end: &str) -> Self {
        let name = format!("mw{}{end}", std::process::id());
        succeed(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Self(name);
        succeed(namespace.command("ip").args(["link", "set", "lo", "up"]));
        namespace
    }

    /// A program in the namespace.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program).stdin(Stdio::null());
        command
    }

    /// A program of a user in the namespace.
    fn command_of(&self, user: u32, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.command("setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()]).arg(program);
        command
    }

    /// This program as an application of a user in the namespace.
    fn application(&self, user: u32, task: &str) -> Command {
        let mut command = self.command_of(user, std::env::current_exe().unwrap());
        command.args(["redirect::application", "--exact", "--ignored", "--nocapture"]).env(TASK, task);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    fn serve(&self, port: u16) -> Running {
        let mut child = self.application(APPLICATION, &format!("serve {port}")).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.ends_with("ready")), "the application does not start");
        Running(child)
    }

    /// The body of a successful request by a user.
    fn get(&self, user: u32, address: &str, port: u16, host: &str, path: &str) -> Option<String> {
        let task = format!("get {address} {port} {host} {path}");
        let output = self.application(user, &task).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let response: String =
            serde_json::from_str(text.lines().find_map(|line| line.split_once(RESPONSE))?.1).unwrap();
        let (head, body) = response.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| body.to_owned())
    }

    /// The sum of an Envoy's counters with this end.
    fn counted(&self, end: &str) -> u64 {
        let stats = self.get(0, "127.0.0.1", 9901, "localhost", "/stats?format=text").unwrap();
        let lines = stats.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(name, _)| name.ends_with(end)).filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The program nft with the folder of its libraries, if it is not installed in the system.
fn nft() -> Option<(PathBuf, Option<PathBuf>)> {
    let installed = ["/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"].map(PathBuf::from);
    if let Some(program) = installed.into_iter().find(|program| program.is_file()) {
        return Some((program, None));
    }
    let unpacked = Path::new(ROOT).join(".local/nftables");
    let program = unpacked.join("usr/sbin/nft");
    program.is_file().then(|| (program, Some(unpacked.join("usr/lib/x86_64-linux-gnu"))))
}

/// The reason why this machine cannot run the test, or nft.
fn prerequisites() -> Result<(PathBuf, Option<PathBuf>), &'static str> {
    let user = succeed(Command::new("id").arg("-u"));
    if user.stdout != b"0\n" {
        return Err("only root may create network namespaces");
    }
    if !Envoy::is_there() {
        return Err("Envoy is missing; `cargo xtask setup` installs it");
    }
    let nft = nft().ok_or("nft is missing; install the package nftables")?;
    let probe = format!("mw{}p", std::process::id());
    let made = Command::new("ip").args(["netns", "add", &probe]).stderr(Stdio::null()).status();
    if !made.is_ok_and(|made| made.success()) {
        return Err("network namespaces are not available");
    }
    drop(Namespace(probe));
    Ok(nft)
}

/// Waits for a condition with a deadline.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Two namespaces that reach each other, with the rules of the sidecar definitions.
fn connected((nft, libraries): &(PathBuf, Option<PathBuf>)) -> (Namespace, Namespace) {
    let (a, b) = (Namespace::new("a"), Namespace::new("b"));
    let peer = ["link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns"];
    succeed(a.command("ip").args(peer).arg(&b.0));
    for (namespace, address) in [(&a, "10.77.0.1/24"), (&b, "10.77.0.2/24")] {
        succeed(namespace.command("ip").args(["address", "add", address, "dev", "veth0"]));
        succeed(namespace.command("ip").args(["link", "set", "veth0", "up"]));
        let mut rules = namespace.command(nft);
        if let Some(libraries) = libraries {
            rules.env("LD_LIBRARY_PATH", libraries);
        }
        succeed(rules.args(["--define", "app_ports={ 8080 }", "--file", RULES]));
    }
    (a, b)
}

struct Plane {
    client: reqwest::Client,
    api: String,
    socket: String,
    folder: SharedFolder,
    _running: Running,
}

/// A folder that Envoy's user can write, removed with the test.
struct SharedFolder(PathBuf);

impl Drop for SharedFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Plane {
    fn start() -> Self {
        let folder = SharedFolder(std::env::temp_dir().join(format!("mw-redirect-{}", std::process::id())));
        fs::create_dir_all(&folder.0).unwrap();
        chown(&folder.0, Some(0), Some(ENVOY)).unwrap();
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o2770)).unwrap();
        let socket = format!("unix:{}", folder.0.join("xds.sock").display());
        let mut child = Command::new(env!("CARGO_BIN_EXE_control-plane"))
            .args(["--xds", &socket, "--xds-auth", "unix", "--xds-unix-uid", &ENVOY.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let api = line.trim_end().strip_prefix("api ").unwrap().to_owned();
        Self { client: reqwest::Client::new(), api, socket, folder, _running: Running(child) }
    }

    async fn put(&self, path: &str, body: Value) {
        let answer = self.client.put(format!("{}/v20190125{path}", self.api)).body(body.to_string()).send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200, "{path}: {}", answer.text().await.unwrap());
    }

    /// Starts the Envoy of a node in a namespace, by the user of the sidecar definitions and from the bootstrap that
    /// their init container writes.
    fn envoy(&self, namespace: &Namespace, node: &str) -> Running {
        let bootstrap = self.folder.0.join(format!("{node}.json"));
        succeed(
            Command::new(env!("CARGO_BIN_EXE_control-plane"))
                .args(["bootstrap", "--xds", &self.socket, "--node", &format!("mesh/{MESH}/virtualNode/{node}")])
                .arg("--delta")
                .arg("--output")
                .arg(&bootstrap)
                .uid(ENVOY)
                .gid(ENVOY),
        );
        let log = fs::File::create(self.folder.0.join(format!("{node}.log"))).unwrap();
        let program = fs::canonicalize(Path::new(ROOT).join(".local/venv/bin/envoy")).unwrap();
        let mut command = namespace.command_of(ENVOY, program);
        command.arg("--config-path").arg(&bootstrap).args(["--concurrency", "1", "--log-level", "warning"]);
        command.args(["--use-dynamic-base-id"]).stdout(log.try_clone().unwrap()).stderr(log);
        Running(command.spawn().unwrap())
    }

    fn node(address: &str, backends: &Value) -> Value {
        json!({
            "listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}],
            "serviceDiscovery": {"dns": {"hostname": address}},
            "backends": backends,
        })
    }
}

#[tokio::test]
async fn applications_call_each_other_through_both_proxies_and_the_egress_filter() {
    let nft = match prerequisites() {
        Ok(nft) => nft,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let (a, b) = connected(&nft);
    let plane = Plane::start();
    plane.put("/meshes", json!({"meshName": MESH, "spec": {"egressFilter": {"type": "DROP_ALL"}}})).await;
    let nodes = format!("/meshes/{MESH}/virtualNodes");
    let back = Plane::node("10.77.0.2", &json!([]));
    plane.put(&nodes, json!({"virtualNodeName": "back", "spec": back})).await;
    let service = json!({"provider": {"virtualNode": {"virtualNodeName": "back"}}});
    let services = format!("/meshes/{MESH}/virtualServices");
    plane.put(&services, json!({"virtualServiceName": "back.local", "spec": service})).await;
    let backends = json!([{"virtualService": {"virtualServiceName": "back.local"}}]);
    plane.put(&nodes, json!({"virtualNodeName": "front", "spec": Plane::node("10.77.0.1", &backends)})).await;
    let _back = b.serve(8080);
    let _stranger = b.serve(9090);
    let _envoys = (plane.envoy(&a, "front"), plane.envoy(&b, "back"));

    // Through both proxies: the server is called by its own Envoy, with the headers of an Envoy.
    let call = || a.get(APPLICATION, "10.77.0.2", 8080, "back.local", "/");
    until("the service is called through both proxies", || call().is_some());
    let body = call().unwrap();
    let json = body.split_once('{').map(|(_, rest)| format!("{{{rest}")).unwrap();
    let seen: Value = serde_json::from_str(json.trim_end_matches(|end: char| end != '}')).unwrap();
    assert_eq!(seen["peer"], "127.0.0.1", "{seen}");
    assert!(seen["head"].as_str().unwrap().contains("x-forwarded-proto"), "{seen}");
    for (namespace, what) in [(&a, "the caller's"), (&b, "the server's")] {
        assert!(namespace.counted("downstream_rq_2xx") >= 1, "{what} Envoy has counted the request");
    }

    // The egress filter: only Envoy's user reaches an address that is not part of the mesh.
    let direct = |user| a.get(user, "10.77.0.2", 9090, "stranger", "/");
    assert!(direct(ENVOY).is_some(), "the address is reachable");
    assert_eq!(direct(APPLICATION), None, "the egress filter refuses it");
    plane.put(&format!("/meshes/{MESH}"), json!({"spec": {"egressFilter": {"type": "ALLOW_ALL"}}})).await;
    until("the mesh allows it", || direct(APPLICATION).is_some());
    plane.put(&format!("/meshes/{MESH}"), json!({"spec": {"egressFilter": {"type": "DROP_ALL"}}})).await;
    until("the mesh refuses it again", || direct(APPLICATION).is_none());
}

#[test]
fn sidecar_definitions_have_the_tested_rules() {
    let rules: Vec<String> = lines(&fs::read_to_string(RULES).unwrap());
    for file in ["kubernetes.yaml", "ecs-task.yaml"] {
        let text = fs::read_to_string(Path::new(ROOT).join("infra/deploy/sidecar").join(file)).unwrap();
        let text = lines(&text);
        assert!(text.windows(rules.len()).any(|part| part == rules), "{file} has other rules than redirect.nft");
    }
}

/// The lines without their indentation, and without empty ones.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}
