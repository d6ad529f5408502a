//! The built command under attack, and a well-behaved client.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningParams, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::certificates::{Ca, Leaf};

/// The timeout of awaited conditions. Only a failing test reaches it.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The time in which a well-behaved client has to be served during an attack.
pub(crate) const PROMPT: Duration = Duration::from_secs(1);

/// The most memory of the process during an attack of unknown clients, in bytes.
pub(crate) const MAX_MEMORY: u64 = 256 * 1024 * 1024;

pub(crate) const FRONT: &str = "mesh/shop/virtualNode/front";

/// The factor by which the suite multiplies its load.
pub(crate) fn rounds() -> usize {
    std::env::var("ATTACK_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

/// Prints a figure of an attack, and records it for `cargo xtask attack`.
pub(crate) fn figure(figure: &str, value: &str) {
    eprintln!("{figure}: {value}");
    let Some(path) = std::env::var_os("ATTACK_FIGURES") else { return };
    let line = serde_json::json!({ "figure": figure, "value": value });
    let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    // One write, so that the lines of other processes do not get between.
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The memory of a process as a figure.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// A folder that is removed with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("meshwarden-attack-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file with mode 0600.
    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let path = self.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The running command.
pub(crate) struct Plane {
    pub(crate) child: Child,
    pub(crate) api: SocketAddr,
    pub(crate) xds: Vec<String>,
    tls: Option<Arc<ClientConfig>>,
}

impl Drop for Plane {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A response.
#[derive(Debug)]
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Plane {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
        command.args(args).stderr(Stdio::null());
        Self::listening(command, None)
    }

    /// Runs a command until it prints its addresses.
    pub(crate) fn listening(mut command: Command, tls: Option<ClientConfig>) -> Self {
        let mut child = command.stdout(Stdio::piped()).env_remove("MESHWARDEN_LOG").spawn().unwrap();
        let expected = command.get_args().filter(|arg| *arg == "--xds").count();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(|line| line.unwrap());
        let api = lines.next().expect("the command prints its addresses");
        let api = api.split_once("://").unwrap().1.parse().unwrap();
        let xds = (0..expected).map(|_| lines.next().unwrap().strip_prefix("xds ").unwrap().to_owned()).collect();
        Self { child, api, xds, tls: tls.map(Arc::new) }
    }

    /// The resident memory of the process, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
    }

    /// Sends an unsigned request on a new connection.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(String, String)], body: &str) -> RawResponse {
        let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| name == "host") {
            text.push_str("host: localhost\r\n");
        }
        for (name, value) in headers {
            text = format!("{text}{name}: {value}\r\n");
        }
        self.exchange(format!("{text}\r\n{body}").as_bytes())
    }

    /// Sends bytes on a new connection, and reads until the server closes it.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> RawResponse {
        let stream = TcpStream::connect(self.api).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut response = Vec::new();
        // The server may close before it has read everything, so errors are ignored.
        match &self.tls {
            None => {
                let mut stream = stream;
                let _ = stream.write_all(bytes);
                let _ = stream.read_to_end(&mut response);
            }
            Some(config) => {
                let name = ServerName::try_from("xds.local").unwrap();
                let mut config = ClientConfig::clone(config);
                config.alpn_protocols.clear();
                let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream);
                let _ = stream.write_all(bytes);
                let _ = stream.read_to_end(&mut response);
            }
        }
        let text = String::from_utf8_lossy(&response).into_owned();
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0);
        RawResponse { status, text }
    }

    /// Sends a request that is signed with a key.
    pub(crate) fn signed(&self, key: &str, method: &str, path: &str, body: &str) -> RawResponse {
        self.send(method, path, &signature(key, method, path, body), body)
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.send("GET", "/healthz", &[], "").status == 200
    }

    /// The value of a metric; the key signs the request if the API requires keys.
    pub(crate) fn metric(&self, key: Option<&str>, series: &str) -> u64 {
        let response = match key {
            Some(key) => self.signed(key, "GET", "/metrics", ""),
            None => self.send("GET", "/metrics", &[], ""),
        };
        assert_eq!(response.status, 200, "{}", response.text);
        let line = response.text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {}", response.text)).trim().parse().unwrap()
    }
}

/// The headers of a signed request. The secret of a key is `secret-` followed by its id.
pub(crate) fn signature(key: &str, method: &str, path: &str, body: &str) -> Vec<(String, String)> {
    let identity = Credentials::new(key, format!("secret-{key}"), None, None, "tests").into();
    let mut settings = SigningSettings::default();
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("appmesh")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .unwrap();
    let uri = format!("http://localhost{path}");
    let request =
        SignableRequest::new(method, &uri, [("host", "localhost")].into_iter(), SignableBody::Bytes(body.as_bytes()));
    let (signed, _) = sign(request.unwrap(), &SigningParams::V4(params)).unwrap().into_parts();
    let headers = signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
    [("host".to_owned(), "localhost".to_owned())].into_iter().chain(headers).collect()
}

/// The content of a key file.
pub(crate) fn keys(ids: &[&str]) -> String {
    let keys: Vec<_> =
        ids.iter().map(|id| serde_json::json!({"id": id, "secret": format!("secret-{id}"), "name": id})).collect();
    serde_json::json!({"keys": keys}).to_string()
}

/// The command as in production: keys and TLS on the API, and mTLS for proxies.
pub(crate) struct Guarded {
    pub(crate) plane: Plane,
    pub(crate) ca: Ca,
    pub(crate) leaf: Leaf,
    pub(crate) server: Leaf,
    pub(crate) folder: Folder,
}

pub(crate) const KEY: &str = "AKIDFUNCTIONS";

impl Guarded {
    /// `files` limits the open files of the process.
    pub(crate) fn start(files: Option<u32>, more: &[&str]) -> Self {
        let ca = Ca::new();
        let clients = ca.pem.clone();
        Self::start_in(Folder::new(), ca, &clients, files, more)
    }

    /// The clients have a CA of their own, and some of its certificates are revoked.
    pub(crate) fn with_clients(clients: &str, revoked: &str) -> Self {
        let folder = Folder::new();
        let list = folder.write("revoked.pem", revoked);
        Self::start_in(folder, Ca::new(), clients, None, &["--xds-client-crl", &list])
    }

    fn start_in(folder: Folder, ca: Ca, clients: &str, files: Option<u32>, more: &[&str]) -> Self {
        let server = ca.server();
        let (certificate, key) =
            (folder.write("server.pem", &server.certificate), folder.write("server.key", &server.key));
        let client_ca = folder.write("clients.pem", clients);
        let keys = folder.write("keys.json", &keys(&[KEY, "AKIDOTHER"]));
        let binary = env!("CARGO_BIN_EXE_control-plane");
        let mut command = match files {
            None => Command::new(binary),
            Some(files) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\""), binary]);
                command
            }
        };
        command.stderr(fs::File::create(folder.join("log")).unwrap());
        command.args([
            "--api-auth",
            "keys",
            "--api-keys",
            &keys,
            "--api-tls-cert",
            &certificate,
            "--api-tls-key",
            &key,
        ]);
        command.args(["--xds", "127.0.0.1:0,auth=mtls", "--xds-client-ca", &client_ca]);
        command.args(["--xds-tls-cert", &certificate, "--xds-tls-key", &key]).args(more);
        let leaf = ca.uri(FRONT);
        let plane = Plane::listening(command, Some(ca.client(None)));
        let guarded = Self { plane, ca, leaf, server, folder };
        guarded.write("/v20190125/meshes", r#"{"meshName": "shop"}"#);
        let front = r#"{"virtualNodeName": "front", "spec": {"listeners": [{"portMapping": {"port": 80, "protocol": "http"}}], "serviceDiscovery": {"dns": {"hostname": "front.local"}}}}"#;
        guarded.write("/v20190125/meshes/shop/virtualNodes", front);
        guarded
    }

    pub(crate) fn write(&self, path: &str, body: &str) {
        let response = self.plane.signed(KEY, "PUT", path, body);
        assert_eq!(response.status, 200, "{}", response.text);
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// Asserts that a well-behaved client is served, each time within a second.
    pub(crate) async fn serves(&self) {
        prompt("a signed request", || {
            let response = self.plane.signed(KEY, "GET", "/v20190125/meshes", "");
            assert_eq!(response.status, 200, "{}", response.text);
        });
        prompt("/healthz", || assert!(self.plane.is_healthy()));
        let begun = Instant::now();
        let channel = crate::envoy::tls(&self.plane.xds[0], self.ca.client(Some(&self.leaf))).await.unwrap();
        crate::envoy::Envoy::connect(channel, FRONT).await.take(xds::ResourceType::Cluster).await;
        assert!(begun.elapsed() < PROMPT, "a new Envoy received its clusters after {:?}", begun.elapsed());
    }
}

pub(crate) fn prompt<T>(operation: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    assert!(begun.elapsed() < PROMPT, "{operation} took {:?}", begun.elapsed());
    done
}

/// Polls until a condition is met.
pub(crate) fn until(condition: &str, mut is_met: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !is_met() {
        assert!(Instant::now() < deadline, "not in time: {condition}");
        std::thread::yield_now();
    }
}
