//! The command: its output, its addresses, its end.

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

/// Runs the command until it prints its address.
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
            return status.code().expect("the process has an exit code and was not killed by a signal");
        }
        assert!(Instant::now() < deadline, "still running");
        std::thread::yield_now();
    }
}

#[test]
fn the_server_listens_and_ends_on_either_signal() {
    for name in ["TERM", "INT"] {
        let mut running = start(&[]);
        assert!(running.addr.starts_with("127.0.0.1:"), "{}", running.addr);
        signal(&running.child, name);
        assert_eq!(wait(&mut running.child), 0);
        assert!(TcpStream::connect(&running.addr).is_err(), "the address is closed");
    }
}

#[test]
fn account_and_region_are_settings() {
    let running = start(&["--account", "210987654321", "--region", "eu-north-1", "--api", "localhost:0"]);
    let body = r#"{"meshName": "shop"}"#;
    let response = exchange(&running.addr, body);
    assert!(response.contains("arn:aws:appmesh:eu-north-1:210987654321:mesh/shop"), "{response}");
}

#[test]
fn a_request_in_progress_is_answered_before_the_end() {
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
    let mut interim = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut interim).unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"), "the server has read the head");
    stream.write_all(first.as_bytes()).unwrap();
    signal(&running.child, "TERM");
    wait_until_closed(&running.addr);
    stream.write_all(rest.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert_eq!(wait(&mut running.child), 0);
}

/// Waits until the address refuses connections.
fn wait_until_closed(addr: &str) {
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
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// Starts the command with settings that it must refuse, and returns its error output.
pub(crate) fn refused(args: &[&str]) -> String {
    let child = command(args).spawn().unwrap();
    let mut running = Running { child, addr: String::new() };
    assert_ne!(wait(&mut running.child), 0);
    let (mut out, mut error) = (String::new(), String::new());
    running.child.stdout.as_mut().unwrap().read_to_string(&mut out).unwrap();
    running.child.stderr.as_mut().unwrap().read_to_string(&mut error).unwrap();
    assert_eq!(out, "");
    error
}

#[test]
fn an_address_beyond_loopback_is_refused_without_authentication() {
    for addr in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let error = refused(&["--api", addr]);
        assert!(error.contains(addr) && error.contains("not authenticated"), "{error}");
        assert!(error.contains("use 127.0.0.1"), "{error}");
    }
}

const ROLE: &str = "arn:aws:iam::123456789012:role/mesh";

#[test]
fn an_incomplete_authentication_is_refused() {
    for (args, text) in [
        (&["--api-auth", "keys"][..], "--api-keys"),
        (&["--api-keys", "keys.json"], "without --api-auth keys"),
        (&["--api-auth", "none", "--api-keys", "keys.json"], "without --api-auth keys"),
        (&["--api-auth", "keys", "--api-keys", "/nowhere/keys.json"], "/nowhere/keys.json"),
        (&["--api-auth", "sts"], "--auth-audience"),
        (&["--api-auth", "sts", "--auth-audience", "a"], "--allow-role"),
        (&["--auth-audience", "a"], "without --api-auth sts"),
        (&["--allow-role", ROLE], "without --api-auth sts"),
        (&["--api-auth", "keys", "--api-keys", "k", "--sts-endpoint", "https://sts.example"], "without --api-auth sts"),
        (&["--api-auth", "sts", "--auth-audience", "a b", "--allow-role", ROLE], "invalid audience"),
        (
            &["--api-auth", "sts", "--auth-audience", "a", "--allow-role", "arn:aws:iam::*:role/x"],
            "invalid role pattern",
        ),
        (&["--sts-endpoint", "http://sts.example"], "invalid STS endpoint"),
        (
            &[
                "--api",
                "192.0.2.1:0",
                "--api-auth",
                "sts",
                "--auth-audience",
                "a",
                "--allow-role",
                ROLE,
                "--rights",
                "r",
            ],
            "pass --api-tls-cert and --api-tls-key",
        ),
        (&["--api-tls-cert", "api.pem"], "--api-tls-key"),
        (&["--api-tls-cert", "/nowhere/api.pem", "--api-tls-key", "/nowhere/api.key"], "/nowhere/api"),
        (&["--api-auth", "sts", "--auth-audience", "a", "--allow-role", ROLE], "needs --rights FILE"),
        (&["--rights", "r"], "without --api-auth keys or sts"),
        (&["--api-auth", "keys", "--api-keys", "k", "--write-rate", "0"], "--write-rate"),
        (&["--api-auth", "any"], "none, keys, sts"),
    ] {
        let error = refused(args);
        assert!(error.contains(text), "{args:?}: {error}");
    }
}

#[test]
fn invalid_settings_are_refused() {
    for (args, text) in [
        (["--api", "here"], "127.0.0.1:9080"),
        (["--account", "12"], "12 digits"),
        (["--region", "EU"], "eu-west-1"),
        (["--quota", "routes=1"], "routes-per-virtual-router"),
        (["--quotas", "gcp"], "none, aws"),
    ] {
        let error = refused(&args);
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn an_address_in_use_is_reported() {
    let running = start(&[]);
    let error = refused(&["--api", &running.addr]);
    assert!(error.contains(&running.addr) && error.to_lowercase().contains("in use"), "{error}");
}
