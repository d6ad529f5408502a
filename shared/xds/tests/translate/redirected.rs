//! The destinations of redirected connections in a real Envoy. A PROXY header gives each original destination, in place
//! of the kernel.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::envoy::{envoy, standalone};
use crate::goldens::cases;
use crate::printed::printed;

/// The time limit for each wait for Envoy.
const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// The first bytes that a client sends.
#[derive(Debug, Clone, Copy)]
enum FirstBytes {
    Nothing,
    Text,
    /// The beginning of a TLS handshake for a server name.
    ClientHello(&'static str),
}

/// The port of a connection, its first bytes, and the filter that accepts it; `None` if Envoy closes it.
type Connection = (u16, FirstBytes, Option<&'static str>);

#[test]
fn redirected_connections_reach_the_expected_filter() {
    use FirstBytes::{ClientHello, Nothing, Text};
    let Some(envoy) = envoy() else { return };
    let (aws, other) = (ClientHello("s3.eu-west-1.amazonaws.com"), ClientHello("www.example.com"));
    let expected: [(&str, &str, &[Connection]); 4] = [
        (
            "http",
            "virtualNode/web",
            &[
                (8080, Text, Some("http.egress.http.8080")),
                (443, aws, Some("tcp.egress.amazonaws")),
                (443, other, None),
                (9999, Text, None),
            ],
        ),
        (
            "let-out",
            "virtualNode/free",
            &[
                (443, aws, Some("tcp.egress.amazonaws")),
                (443, other, Some("tcp.egress.allow_all")),
                (3306, Nothing, Some("tcp.egress.allow_all")),
            ],
        ),
        (
            "let-out",
            "virtualNode/calls-https",
            &[
                (443, aws, Some("tcp.egress.amazonaws")),
                (443, other, Some("tcp.egress.tcp.443")),
                (443, Text, Some("tcp.egress.tcp.443")),
                (8080, Text, Some("tcp.egress.allow_all")),
            ],
        ),
        (
            "tcp",
            "virtualNode/client",
            &[
                (3306, Nothing, Some("tcp.egress.tcp.3306")),
                (3307, Text, None),
                (3308, Nothing, None),
                (5432, Nothing, Some("tcp.egress.tcp.5432")),
                (5433, Nothing, Some("tcp.egress.allow_all")),
            ],
        ),
    ];
    let cases = cases();
    for (name, proxy, connections) in expected {
        let (_, case) = cases.iter().find(|(case, _)| case == name).expect("is a golden");
        let running = RunningEnvoy::start(&envoy, &printed(&case.translate(proxy)));
        for (port, first, filter) in connections {
            let before = running.accepted_connections();
            let connection = running.connect(*port, *first);
            if let Some(filter) = filter {
                running.wait_until_accepted(filter, &before);
            } else {
                wait_until_closed(connection);
                assert_eq!(running.accepted_connections(), before, "{proxy}, {port}, {first:?}");
            }
        }
    }
}

/// An Envoy that runs until it is dropped.
struct RunningEnvoy {
    child: Child,
    folder: PathBuf,
    admin: String,
    egress: SocketAddr,
}

impl RunningEnvoy {
    fn start(envoy: &Path, translation: &Value) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("meshwarden-redirected-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).expect("is free");
        let mut bootstrap = standalone(translation, &folder.join("none"));
        bootstrap["admin"] = json!({"address": socket("127.0.0.1", 0)});
        bootstrap["dynamic_resources"] = json!({});
        let listeners = bootstrap["static_resources"]["listeners"].as_array_mut().expect("is a list");
        listeners.retain(|listener| listener["traffic_direction"] == "OUTBOUND");
        for listener in listeners {
            listener["address"] = socket("127.0.0.1", 0);
            listener["listener_filters"][0] = json!({"name": "proxy_protocol", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
            }});
        }
        let (config, admin) = (folder.join("bootstrap.json"), folder.join("admin"));
        std::fs::write(&config, bootstrap.to_string()).expect("is writable");
        let child = Command::new(envoy)
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin)
            .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "off"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Envoy runs");
        let mut running = Self { child, folder, admin: String::new(), egress: SocketAddr::from(([127, 0, 0, 1], 0)) };
        wait_until("Envoy starts", || {
            running.admin = std::fs::read_to_string(&admin).unwrap_or_default();
            !running.admin.is_empty() && running.admin_response("/ready").starts_with("HTTP/1.1 200")
        });
        // One listener is left. Envoy selected its port.
        let listeners = running.admin_response("/listeners");
        let address = listeners.lines().find_map(|line| line.split_once("::")).expect("has a listener").1;
        running.egress = address.trim().parse().expect("is an address");
        running
    }

    /// A response of Envoy's admin interface.
    fn admin_response(&self, path: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(&self.admin) else { return String::new() };
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        let mut answer = String::new();
        // A failed read is repeated by the next poll.
        drop(stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)));
        answer
    }

    /// The number of connections that each filter has accepted.
    fn accepted_connections(&self) -> Vec<(String, u64)> {
        let answer = self.admin_response("/stats?filter=egress.*downstream_cx_total");
        let lines = answer.lines().filter_map(|line| line.split_once(".downstream_cx_total: "));
        lines.map(|(filter, count)| (filter.to_owned(), count.trim().parse().expect("is a number"))).collect()
    }

    fn wait_until_accepted(&self, filter: &str, before: &[(String, u64)]) {
        let of =
            |counts: &[(String, u64)]| counts.iter().find(|(name, _)| name == filter).map_or(0, |(_, count)| *count);
        wait_until(&format!("{filter} accepts the connection"), || {
            let now = self.accepted_connections();
            let others = |counts: &[(String, u64)]| -> u64 {
                counts.iter().filter(|(name, _)| name != filter).map(|(_, count)| count).sum()
            };
            assert_eq!(others(&now), others(before), "a filter other than {filter} accepted a connection: {now:?}");
            of(&now) == of(before) + 1
        });
    }

    /// A connection with an original destination port on an address without any listener.
    fn connect(&self, port: u16, first: FirstBytes) -> TcpStream {
        let mut stream = TcpStream::connect(self.egress).expect("Envoy listens");
        let mut bytes = format!("PROXY TCP4 127.0.0.1 127.255.255.254 40000 {port}\r\n").into_bytes();
        match first {
            FirstBytes::Nothing => {}
            FirstBytes::Text => bytes.extend(b"hello, this is text"),
            FirstBytes::ClientHello(name) => bytes.extend(hello(name)),
        }
        stream.write_all(&bytes).expect("Envoy reads");
        stream
    }
}

impl Drop for RunningEnvoy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_until_closed(mut stream: TcpStream) {
    stream.set_read_timeout(Some(WAIT_LIMIT)).expect("is not zero");
    match stream.read(&mut [0]) {
        Ok(count) => assert_eq!(count, 0, "Envoy sent data and did not close the connection"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

fn socket(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

/// The beginning of a TLS 1.2 handshake.
fn hello(name: &str) -> Vec<u8> {
    let sized = |bytes: &[u8]| [&u16::try_from(bytes.len()).expect("is short").to_be_bytes(), bytes].concat();
    let host = [&[0], sized(name.as_bytes()).as_slice()].concat();
    let server_name = [&[0, 0], sized(&sized(&host)).as_slice()].concat();
    let one_cipher = [0, 2, 0xc0, 0x2f];
    let body = [&[3, 3], [7; 32].as_slice(), &[0], &one_cipher, &[1, 0], &sized(&server_name)].concat();
    let handshake = [&[1, 0], sized(&body).as_slice()].concat();
    [&[0x16, 3, 1], sized(&handshake).as_slice()].concat()
}
