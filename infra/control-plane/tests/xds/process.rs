//! The command: its output, its errors, and the files that it removes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::plane::{Folder, TIMEOUT};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("MESHWARDEN_LOG");
    command
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn wait(&mut self) -> i32 {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().expect("the process has an exit code");
            }
            assert!(Instant::now() < deadline, "still running");
            std::thread::yield_now();
        }
    }
}

#[test]
fn xds_addresses_are_printed_and_the_socket_is_removed_at_the_end() {
    let folder = Folder::new();
    let socket = format!("unix:{}", folder.join("xds.sock").display());
    let mut running =
        Running(command(&["--xds", "127.0.0.1:0", "--xds", &socket]).stderr(Stdio::null()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    assert!(line().starts_with("api http://127.0.0.1:"));
    let tcp = line();
    assert!(tcp.starts_with("xds 127.0.0.1:") && !tcp.ends_with(":0"), "{tcp}");
    assert_eq!(line(), format!("xds {socket}"));
    assert!(folder.join("xds.sock").exists());
    let sent = Command::new("kill").args(["-s", "TERM", &running.0.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(running.wait(), 0);
    assert!(!folder.join("xds.sock").exists());
}

#[test]
fn options_without_effect_are_refused() {
    for (args, text) in [
        (["--xds", "0.0.0.0:0", "--api", "127.0.0.1:0"], "not a loopback address"),
        (["--xds", "here", "--api", "127.0.0.1:0"], "127.0.0.1:18000"),
        (["--xds", "127.0.0.1:0", "--xds-client-ca", "ca.pem"], "--xds-auth mtls"),
        (["--xds", "127.0.0.1:0", "--xds-unix-uid", "0"], "--xds-auth unix"),
        (["--xds", "127.0.0.1:0", "--xds-auth", "mtls"], "--xds-client-ca"),
        (["--xds", "127.0.0.1:0", "--xds-tls-cert", "c.pem"], "--xds-tls-key"),
        (["--xds", "127.0.0.1:0", "--listeners", "explicit:9-8"], "explicit:20000-20999"),
        (["--xds", "127.0.0.1:0,auth=none", "--xds-auth", "mtls"], "--xds-auth has no effect"),
        (["--xds", "127.0.0.1:0,auth=none", "--xds-auth", "unix"], "--xds-auth has no effect"),
        (["--xds", "127.0.0.1:0,auth=mtls", "--xds", "127.0.0.1:0"], "--xds-client-ca"),
        (["--xds", "127.0.0.1:0,auth=none", "--xds", "0.0.0.0:0"], "not a loopback address"),
        (["--xds", "127.0.0.1:0", "--xds", "0.0.0.0:0,auth=none"], "not a loopback address"),
        (["--xds", "127.0.0.1:0,auth=unix", "--api", "127.0.0.1:0"], "only a socket"),
        (
            ["--xds", "127.0.0.1:0,auth=MTLS", "--api", "127.0.0.1:0"],
            "expected auth=none, auth=mtls, auth=token or auth=unix",
        ),
        (
            ["--xds", "127.0.0.1:0,auth", "--api", "127.0.0.1:0"],
            "expected auth=none, auth=mtls, auth=token or auth=unix",
        ),
        (
            ["--xds", "unix:x.sock,atuh=unix", "--api", "127.0.0.1:0"],
            "expected auth=none, auth=mtls, auth=token or auth=unix",
        ),
        (["--xds", "unix:x.sock,auth=unix,auth=none", "--api", "127.0.0.1:0"], "expected auth=none"),
    ] {
        let mut running = Running(command(&args).spawn().unwrap());
        assert_ne!(running.wait(), 0, "{args:?}");
        let mut error = String::new();
        running.0.stderr.as_mut().unwrap().read_to_string(&mut error).unwrap();
        assert!(error.contains(text), "{args:?}: {error}");
    }
}

fn bootstrap(args: &[&str]) -> Output {
    command(&[&["bootstrap"], args].concat()).output().unwrap()
}

#[test]
fn a_bootstrap_has_the_address_of_the_control_plane() {
    let node = "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/front";
    let output = bootstrap(&["--xds", "127.0.0.1:18000", "--node", node]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let config: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(config["node"]["id"], "mesh/shop@123456789012/virtualNode/front");
    assert_eq!(config["admin"]["address"]["socket_address"]["address"], "127.0.0.1");
    let cluster = &config["static_resources"]["clusters"][0];
    let named = &config["dynamic_resources"]["ads_config"]["grpc_services"][0]["envoy_grpc"]["cluster_name"];
    assert_eq!(cluster["name"], *named);
    let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"];
    assert_eq!(endpoint["socket_address"]["port_value"], 18000);

    let args = ["--xds", "unix:/run/xds.sock", "--node", "mesh/shop/virtualGateway/web", "--tls-ca", "ca.pem"];
    let output =
        bootstrap(&[&args[..], &["--tls-server-name", "10.0.0.1", "--tls-cert", "c", "--tls-key", "k"]].concat());
    let config: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cluster = &config["static_resources"]["clusters"][0];
    let endpoint = &cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"];
    assert_eq!(endpoint["pipe"]["path"], "/run/xds.sock");
    let tls = &cluster["transport_socket"]["typed_config"]["common_tls_context"];
    assert_eq!(tls["validation_context"]["match_typed_subject_alt_names"][0]["san_type"], "IP_ADDRESS");
    assert_eq!(tls["tls_certificates"][0]["private_key"]["filename"], "k");
}

#[test]
fn an_invalid_bootstrap_is_refused() {
    for args in
        [["--xds", "127.0.0.1:18000", "--node", "front"], ["--xds", "nowhere", "--node", "mesh/shop/virtualNode/front"]]
    {
        assert!(!bootstrap(&args).status.success(), "{args:?}");
    }
}
