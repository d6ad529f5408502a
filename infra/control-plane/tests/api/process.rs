//! The command: what it prints, where it listens, how it ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) addr: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("MESHWARDEN_LOG");
    command
}

pub(crate) fn start(args: &[&str]) -> Running {
    let mut command = command(args);
    command.stderr(Stdio::null());
    listening(command)
}

/// Runs the command until it says where it listens.
pub(crate) fn listening(mut command: Command) -> Running {
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let addr = line.strip_prefix("api http://").and_then(|rest| rest.strip_suffix('\n'));
    let addr = addr.unwrap_or_else(|| unreachable!("the first line is {line:?}")).to_owned();
    Running { child, addr }
}

pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

pub(crate) fn wait(child: &mut Child) -> i32 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().expect("an exit code, not an end by the signal");
        }
        assert!(Instant::now() < deadline, "still running");
        std::thread::yield_now();
    }
}

#[test]
fn it_listens_and_ends_on_either_signal() {
    for name in ["TERM", "INT"] {
        let mut running = start(&[]);
        assert!(running.addr.starts_with("127.0.0.1:"), "{}", running.addr);
        signal(&running.child, name);
        assert_eq!(wait(&mut running.child), 0);
        assert!(TcpStream::connect(&running.addr).is_err(), "nobody listens any more");
    }
}

#[test]
fn the_realm_is_a_setting() {
    let running = start(&["--account", "210987654321", "--region", "eu-north-1", "--api", "localhost:0"]);
    let body = r#"{"meshName": "shop"}"#;
    let answer = exchange(&running.addr, body);
    assert!(answer.contains("arn:aws:appmesh:eu-north-1:210987654321:mesh/shop"), "{answer}");
}

#[test]
fn a_request_under_way_is_answered_before_the_end() {
    let mut running = start(&[]);
    let body = r#"{"meshName": "shop"}"#;
    let mut stream = TcpStream::connect(&running.addr).unwrap();
    let (first, rest) = body.split_at(5);
    write!(
        stream,
        "PUT /v20190125/meshes HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "the server is at it");
    stream.write_all(first.as_bytes()).unwrap();
    signal(&running.child, "TERM");
    refuses(&running.addr);
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(wait(&mut running.child), 0);
}

/// Waits until nobody listens.
fn refuses(addr: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(addr).is_ok() {
        assert!(Instant::now() < deadline, "still listening");
        std::thread::yield_now();
    }
}

fn exchange(addr: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    write!(
        stream,
        "PUT /v20190125/meshes HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Starts the command with settings that it must not accept, and gives what it says.
pub(crate) fn refused(args: &[&str]) -> String {
    let child = command(args).spawn().unwrap();
    let mut running = Running { child, addr: String::new() };
    assert_ne!(wait(&mut running.child), 0);
    let (mut out, mut said) = (String::new(), String::new());
    running.child.stdout.as_mut().unwrap().read_to_string(&mut out).unwrap();
    running.child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(out, "");
    said
}

#[test]
fn anything_but_loopback_is_refused() {
    for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let said = refused(&["--api", addr]);
        assert!(said.contains(addr) && said.contains("not authenticated"), "{said}");
        assert!(said.contains("use 127.0.0.1"), "{said}");
    }
}

const ROLE: &str = "arn:aws:iam::123456789012:role/mesh";

#[test]
fn a_protection_that_is_only_half_asked_for_is_refused() {
    for (args, says) in [
        (&["--api-auth", "keys"][..], "--api-keys"),
        (&["--api-keys", "keys.json"], "without --api-auth keys"),
        (&["--api-auth", "none", "--api-keys", "keys.json"], "without --api-auth keys"),
        (&["--api-auth", "keys", "--api-keys", "/nowhere/keys.json"], "/nowhere/keys.json"),
        (&["--api-auth", "sts"], "--auth-audience"),
        (&["--api-auth", "sts", "--auth-audience", "a"], "--allow-role"),
        (&["--auth-audience", "a"], "without --api-auth sts"),
        (&["--allow-role", ROLE], "without --api-auth sts"),
        (&["--api-auth", "keys", "--api-keys", "k", "--sts-endpoint", "https://sts.example"], "without --api-auth sts"),
        (&["--api-auth", "sts", "--auth-audience", "a b", "--allow-role", ROLE], "names no server"),
        (&["--api-auth", "sts", "--auth-audience", "a", "--allow-role", "arn:aws:iam::*:role/x"], "names no roles"),
        (&["--sts-endpoint", "http://sts.example"], "no endpoint for STS"),
        (
            &["--api", "192.0.2.1:0", "--api-auth", "sts", "--auth-audience", "a", "--allow-role", ROLE],
            "give --api-tls-cert and --api-tls-key",
        ),
        (&["--api-tls-cert", "api.pem"], "--api-tls-key"),
        (&["--api-tls-cert", "/nowhere/api.pem", "--api-tls-key", "/nowhere/api.key"], "/nowhere/api"),
        (&["--api-auth", "any"], "none, keys, sts"),
    ] {
        let said = refused(args);
        assert!(said.contains(says), "{args:?}: {said}");
    }
}

#[test]
fn settings_that_mean_nothing_are_refused() {
    for (args, says) in [
        (["--api", "here"], "127.0.0.1:9080"),
        (["--account", "12"], "12 digits"),
        (["--region", "EU"], "eu-west-1"),
        (["--quota", "routes=1"], "routes-per-virtual-router"),
        (["--quotas", "gcp"], "none, aws"),
    ] {
        let said = refused(&args);
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_taken_address_is_told() {
    let running = start(&[]);
    let said = refused(&["--api", &running.addr]);
    assert!(said.contains(&running.addr) && said.to_lowercase().contains("in use"), "{said}");
}
