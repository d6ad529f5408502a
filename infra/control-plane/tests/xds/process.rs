//! The command: what it prints, refuses and leaves behind.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::plane::{Folder, PATIENCE};

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
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().expect("an exit code");
            }
            assert!(Instant::now() < deadline, "still running");
            std::thread::yield_now();
        }
    }
}

#[test]
fn it_says_where_envoys_are_served_and_leaves_no_socket() {
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
fn settings_that_would_not_do_what_they_say_are_refused() {
    for (args, says) in [
        (["--xds", "0.0.0.0:0", "--api", "127.0.0.1:0"], "not a loopback address"),
        (["--xds", "here", "--api", "127.0.0.1:0"], "127.0.0.1:18000"),
        (["--xds", "127.0.0.1:0", "--xds-client-ca", "ca.pem"], "--xds-auth mtls"),
        (["--xds", "127.0.0.1:0", "--xds-unix-uid", "0"], "--xds-auth unix"),
        (["--xds", "127.0.0.1:0", "--xds-auth", "mtls"], "--xds-client-ca"),
        (["--xds", "127.0.0.1:0", "--xds-tls-cert", "c.pem"], "--xds-tls-key"),
        (["--xds", "127.0.0.1:0", "--listeners", "explicit:9-8"], "explicit:20000-20999"),
        (["--xds", "127.0.0.1:0,auth=none", "--xds-auth", "mtls"], "is about no listener"),
        (["--xds", "127.0.0.1:0,auth=none", "--xds-auth", "unix"], "is about no listener"),
        (["--xds", "127.0.0.1:0,auth=mtls", "--xds", "127.0.0.1:0"], "--xds-client-ca"),
        (["--xds", "127.0.0.1:0,auth=none", "--xds", "0.0.0.0:0"], "not a loopback address"),
        (["--xds", "127.0.0.1:0", "--xds", "0.0.0.0:0,auth=none"], "not a loopback address"),
        (["--xds", "127.0.0.1:0,auth=unix", "--api", "127.0.0.1:0"], "only a socket"),
        (["--xds", "127.0.0.1:0,auth=MTLS", "--api", "127.0.0.1:0"], "none of auth=none, auth=mtls and auth=unix"),
        (["--xds", "127.0.0.1:0,auth", "--api", "127.0.0.1:0"], "none of auth=none, auth=mtls and auth=unix"),
        (["--xds", "unix:x.sock,atuh=unix", "--api", "127.0.0.1:0"], "none of auth=none, auth=mtls and auth=unix"),
        (["--xds", "unix:x.sock,auth=unix,auth=none", "--api", "127.0.0.1:0"], "none of auth=none"),
    ] {
        let mut running = Running(command(&args).spawn().unwrap());
        assert_ne!(running.wait(), 0, "{args:?}");
        let mut said = String::new();
        running.0.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains(says), "{args:?}: {said}");
    }
}

fn bootstrap(args: &[&str]) -> Output {
    command(&[&["bootstrap"], args].concat()).output().unwrap()
}

#[test]
fn a_bootstrap_leads_to_the_control_plane() {
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
fn a_bootstrap_of_nothing_is_refused() {
    for args in
        [["--xds", "127.0.0.1:18000", "--node", "front"], ["--xds", "nowhere", "--node", "mesh/shop/virtualNode/front"]]
    {
        assert!(!bootstrap(&args).status.success(), "{args:?}");
    }
}
