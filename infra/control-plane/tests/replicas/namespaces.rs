//! Replicas in network namespaces, each of which can be cut off from the store and from nothing else.
//!
//! ```text
//!  this process                            namespace of a replica             namespace of the store
//!  127.0.0.1:PORT ── socket file ── relay ── 127.0.0.1 replica ══ link ══ relay ── socket file ── MiniStack
//! ```
//!
//! A cut takes the link down: packets are lost, and no connection is closed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener as PortListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::cluster::{ReplicaProcess, command};
use crate::ministack::MiniStack;

/// The variable with the task of [`relay`]: `serve SOCKET ADDRESS`, or `call SOCKET`.
const TASK: &str = "MESHWARDEN_TEST_RELAY";

/// What the output of a relay begins with once it listens.
const LISTENING: &str = "listening ";

/// Passes connections on, between a socket file and an address of its namespace. This program starts itself with it.
#[test]
#[ignore = "part of the other tests of this file, which start it with a task"]
fn relay() {
    let task = std::env::var(TASK).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match task.split(' ').collect::<Vec<_>>().as_slice() {
            ["serve", socket, address] => {
                let listener = UnixListener::bind(socket).unwrap();
                println!("{LISTENING}0");
                to_address(listener, (*address).to_owned()).await;
            }
            ["call", socket] => {
                let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
                println!("{LISTENING}{}", listener.local_addr().unwrap().port());
                to_socket(listener, socket.into()).await;
            }
            _ => {}
        }
    });
}

/// Passes connections to a socket file on to an address.
async fn to_address(listener: UnixListener, address: String) {
    while let Ok((mut inside, _)) = listener.accept().await {
        let address = address.clone();
        tokio::spawn(async move {
            if let Ok(mut outside) = TcpStream::connect(address).await {
                drop(copy_bidirectional(&mut inside, &mut outside).await);
            }
        });
    }
}

/// Passes connections to an address on to a socket file.
async fn to_socket(listener: TcpListener, socket: PathBuf) {
    while let Ok((mut inside, _)) = listener.accept().await {
        let socket = socket.clone();
        tokio::spawn(async move {
            if let Ok(mut outside) = UnixStream::connect(socket).await {
                drop(copy_bidirectional(&mut inside, &mut outside).await);
            }
        });
    }
}

/// A program that runs until it is dropped.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network namespace, deleted when it is dropped.
#[derive(Debug)]
struct Namespace(String);

impl Namespace {
    fn new(end: &str) -> Self {
        let name = format!("mwr{}{end}", std::process::id());
        succeed(Command::new("ip").args(["netns", "add", &name]));
        let namespace = Self(name);
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    /// Runs `ip` in the namespace.
    fn ip(&self, args: &[&str]) {
        succeed(Command::new("ip").args(["-n", &self.0]).args(args));
    }

    /// A program in the namespace.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program).stdin(Stdio::null());
        command
    }

    /// Starts a relay in the namespace. Returns it with the port at which it listens, if it listens at one.
    fn relay(&self, task: &str) -> (Running, u16) {
        let mut command = self.command(std::env::current_exe().unwrap());
        command.args(["namespaces::relay", "--exact", "--ignored", "--nocapture"]).env(TASK, task);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| line.split_once(LISTENING)?.1.parse().ok());
        (Running(child), port.unwrap_or_else(|| panic!("the relay does not start: {task}")))
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

/// The reason why this machine cannot run these tests.
pub(crate) fn prerequisites() -> Result<(), &'static str> {
    if succeed(Command::new("id").arg("-u")).stdout != b"0\n" {
        return Err("only root may create network namespaces");
    }
    let probe = format!("mwr{}p", std::process::id());
    let made = Command::new("ip").args(["netns", "add", &probe]).stderr(Stdio::null()).status();
    if !made.is_ok_and(|made| made.success()) {
        return Err("network namespaces are not available");
    }
    drop(Namespace(probe));
    Ok(())
}

/// The namespace of the store.
#[derive(Debug)]
pub(crate) struct Network {
    hub: Namespace,
    folder: Folder,
    port: u16,
    _relay: Running,
}

/// A folder, removed when it is dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Network {
    /// A network with replicas that reach this MiniStack.
    pub(crate) fn start(stack: &MiniStack) -> Self {
        let folder = Folder(std::env::temp_dir().join(format!("mw-network-{}", std::process::id())));
        fs::create_dir_all(&folder.0).unwrap();
        let socket = folder.0.join("store");
        let listener = UnixListener::bind(&socket).unwrap();
        let store = stack.endpoint.strip_prefix("http://").unwrap().to_owned();
        tokio::spawn(to_address(listener, store));
        let hub = Namespace::new("s");
        let (relay, port) = hub.relay(&format!("call {}", socket.display()));
        Self { hub, folder, port, _relay: relay }
    }

    /// Starts a replica with a separate link to the store. The number is unique in the network.
    pub(crate) async fn replica(&self, stack: &MiniStack, number: usize, table: &str, more: &[&str]) -> LinkedReplica {
        let namespace = Namespace::new(&number.to_string());
        let link = format!("replica{number}");
        self.hub.ip(&["link", "add", &link, "type", "veth", "peer", "name", "store", "netns", &namespace.0]);
        for (side, end, host) in [(&self.hub, link.as_str(), 1), (&namespace, "store", 2)] {
            side.ip(&["address", "add", &format!("10.78.{number}.{host}/24"), "dev", end]);
            side.ip(&["link", "set", end, "up"]);
        }
        let store = format!("http://10.78.{number}.1:{}", self.port);
        let local = command(stack, table, &["--role", "replica", "--xds", "127.0.0.1:0"]);
        let mut command = namespace.command(local.get_program());
        command
            .args(local.get_args())
            .args(more)
            .envs(local.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("AWS_ENDPOINT_URL_DYNAMODB", &store).env("AWS_ENDPOINT_URL_SECRETS_MANAGER", &store);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let (child, api, xds) = listening(command);
        let (api, one) = self.reachable(&namespace, &format!("api{number}"), &api).await;
        let (xds, two) = self.reachable(&namespace, &format!("xds{number}"), &xds).await;
        let replica = ReplicaProcess { endpoint: format!("http://{api}"), child };
        LinkedReplica { replica, xds, _relays: vec![one, two], namespace: Some(namespace) }
    }

    /// Makes an address of a namespace reachable, and returns where.
    async fn reachable(&self, namespace: &Namespace, name: &str, address: &str) -> (String, Running) {
        let socket = self.folder.0.join(name);
        let (relay, _) = namespace.relay(&format!("serve {} {address}", socket.display()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let outside = listener.local_addr().unwrap().to_string();
        tokio::spawn(to_socket(listener, socket));
        (outside, relay)
    }
}

/// A replica that serves xDS, with its link to the store if it has a namespace.
#[derive(Debug)]
pub(crate) struct LinkedReplica {
    pub(crate) replica: ReplicaProcess,
    /// The address of its xDS server.
    pub(crate) xds: String,
    // Ended before the namespace is deleted.
    _relays: Vec<Running>,
    namespace: Option<Namespace>,
}

impl LinkedReplica {
    /// Starts a replica without a namespace.
    pub(crate) fn start(stack: &MiniStack, table: &str, more: &[&str]) -> Self {
        let mut command = command(stack, table, &["--role", "replica", "--xds", "127.0.0.1:0"]);
        command.args(more).env("AWS_ENDPOINT_URL_SECRETS_MANAGER", &stack.endpoint);
        let (child, api, xds) = listening(command);
        let replica = ReplicaProcess { endpoint: format!("http://{api}"), child };
        Self { replica, xds, _relays: Vec::new(), namespace: None }
    }

    /// Cuts the replica off from the store, or restores the link. A replica without a namespace is stopped instead (SIGSTOP).
    pub(crate) fn cut(&self, is_cut: bool) {
        match &self.namespace {
            Some(namespace) => namespace.ip(&["link", "set", "store", if is_cut { "down" } else { "up" }]),
            None => self.replica.signal(if is_cut { "STOP" } else { "CONT" }),
        }
    }
}

/// Starts a replica, and returns the addresses of its API and of xDS.
fn listening(mut command: Command) -> (Child, String, String) {
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let (api, xds) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let api = api.strip_prefix("api http://").unwrap_or_else(|| panic!("the first line is {api:?}")).to_owned();
    let xds = xds.strip_prefix("xds ").unwrap_or_else(|| panic!("the second line is {xds:?}")).to_owned();
    (child, api, xds)
}

/// Loopback ports for proxies. The listener reserves them against other tests.
pub(crate) struct PortBlock {
    first: u16,
    _reservation: PortListener,
}

impl PortBlock {
    /// The number of ports.
    const SIZE: u16 = 50;

    /// A block that no other test uses, below the ports of outgoing connections.
    pub(crate) fn take() -> Self {
        let mut candidates = (24_400..31_900).step_by(usize::from(Self::SIZE));
        let taken = candidates.find_map(|first| Some((first, PortListener::bind(("127.0.0.1", first)).ok()?)));
        let (first, reservation) = taken.unwrap();
        Self { first, _reservation: reservation }
    }

    /// The value of `--listeners`.
    pub(crate) fn setting(&self) -> String {
        format!("explicit:{}-{}", self.first + 1, self.first + Self::SIZE - 1)
    }
}

/// Whether Envoy is installed. Otherwise the reason is printed.
pub(crate) fn has_envoy() -> bool {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.local/venv/bin/envoy");
    if !program.is_file() {
        println!("skipped: {} does not exist; `cargo xtask setup` installs it", program.display());
    }
    program.is_file()
}
