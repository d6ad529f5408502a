//! One Envoy of the data plane: its bootstrap and its process.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::servers::until_ready;
use crate::failure::{Failure, Result};
use crate::http::Client;
use crate::process::{Record, log_file};

/// The servers that the proxies use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upstream<'a> {
    /// The App Mesh API.
    pub(super) app_mesh: &'a str,
    /// The address of the control plane's ADS server.
    pub(super) xds: &'a str,
    /// The address to which proxies send their statistics.
    pub(super) statsd: &'a str,
    /// The DNS server of the proxies, `127.0.0.1:41236`; `None` for those of the machine.
    pub(super) resolver: Option<SocketAddr>,
}

/// A proxy of a virtual node or gateway.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// The virtual node or gateway.
    pub name: String,
    /// The address of its admin interface; empty until the proxy is ready.
    pub admin: String,
    envoy: PathBuf,
    bootstrap: PathBuf,
    folder: PathBuf,
    record: Record,
}

/// A shell that stays the parent of the program. An Envoy ends with its parent, which would be `cargo xtask up`, but
/// the stack outlives that command. The `exit` prevents the shell from replacing itself by the program.
const PARENT: &str = r#""$0" "$@"; exit $?"#;

impl Proxy {
    /// Starts an Envoy with a bootstrap; its record and its log are in `folder`.
    pub(super) fn start(envoy: PathBuf, bootstrap: PathBuf, folder: &Path, name: &str) -> Result<Self> {
        let record = start_envoy(&envoy, &bootstrap, folder, name)?;
        Ok(Self { name: name.to_owned(), admin: String::new(), envoy, bootstrap, folder: folder.to_path_buf(), record })
    }

    /// Waits until the proxy has its configuration and accepts requests.
    pub(super) fn wait_until_ready(&mut self, client: &Client) -> Result<()> {
        let admin_file = admin_file(&self.folder, &self.name);
        self.admin = until_ready(&self.record, &log_file(&self.folder, &self.record.name), || {
            let admin = fs::read_to_string(&admin_file).ok().filter(|text| !text.is_empty())?;
            let admin = format!("http://{}", admin.trim());
            (client.get(&format!("{admin}/ready")).ok()?.status == 200).then_some(admin)
        })?;
        Ok(())
    }

    /// Ends the process, as when a task dies: connections to it are refused from now on.
    pub fn stop(&self) -> Result<()> {
        self.record.end(&self.folder)
    }

    /// Starts the proxy again after a stop, and waits until it accepts requests.
    pub fn restart(&mut self, client: &Client) -> Result<()> {
        self.record = start_envoy(&self.envoy, &self.bootstrap, &self.folder, &self.name)?;
        self.wait_until_ready(client)
    }
}

/// Writes the bootstrap that the control plane prints for a node, and returns its path.
pub(super) fn write_bootstrap(
    folder: &Path,
    control_plane: &Path,
    upstream: Upstream<'_>,
    node: &str,
) -> Result<PathBuf> {
    let name = node.rsplit('/').next().unwrap_or(node);
    let path = folder.join(format!("envoy-{name}.json"));
    let output = Command::new(control_plane)
        .args(["bootstrap", "--xds", upstream.xds, "--node", node, "--admin", "127.0.0.1:0"])
        .args(["--statsd", upstream.statsd, "--statsd-interval", "1s"])
        .output()
        .map_err(|source| Failure::Start { command: "control-plane bootstrap".to_owned(), source })?;
    if !output.status.success() {
        let tail = String::from_utf8_lossy(&output.stderr).lines().map(ToOwned::to_owned).collect();
        let command = format!("control-plane bootstrap --node {node}");
        return Err(Failure::Command { command, status: output.status.to_string(), tail });
    }
    let configuration = with_handshakes(&output.stdout)
        .map(|bootstrap| with_resolver(bootstrap, upstream.resolver))
        .ok_or_else(|| Failure::Unreadable { path: path.clone(), why: "the bootstrap is not JSON".to_owned() })?;
    fs::write(&path, configuration.to_string()).map_err(Failure::file("write", &path))?;
    Ok(path)
}

/// The file to which an Envoy writes the address of its admin interface.
fn admin_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("envoy-{name}.admin"))
}

fn start_envoy(envoy: &Path, bootstrap: &Path, folder: &Path, name: &str) -> Result<Record> {
    let admin = admin_file(folder, name);
    // The file of an earlier run would be mistaken for this one's.
    fs::remove_file(&admin).ok();
    let mut command = Command::new("sh");
    command
        .args(["-c", PARENT])
        .arg(envoy)
        .arg("--config-path")
        .arg(bootstrap)
        .arg("--admin-address-path")
        .arg(&admin)
        // Many Envoys on one machine: without shared memory, and with one worker each.
        .args(["--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"]);
    Record::start(&format!("envoy-{name}"), command, folder)
}

/// A bootstrap with an Envoy that resolves names at this server.
fn with_resolver(mut bootstrap: Value, resolver: Option<SocketAddr>) -> Value {
    if let (Some(resolver), Some(members)) = (resolver, bootstrap.as_object_mut()) {
        let server = json!({"socket_address": {"address": resolver.ip().to_string(), "port_value": resolver.port()}});
        let kind = "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig";
        let config = json!({
            "@type": kind, "resolvers": [server], "dns_resolver_options": {"no_default_search_domain": true},
        });
        let resolver = json!({"name": "envoy.network.dns_resolver.cares", "typed_config": config});
        members.insert("typed_dns_resolver_config".to_owned(), resolver);
    }
    bootstrap
}

/// A bootstrap with an Envoy that also counts TLS handshakes, for the scenario on certificates. By default the Envoy
/// keeps only the statistics that alarms need.
fn with_handshakes(bootstrap: &[u8]) -> Option<Value> {
    let mut bootstrap: Value = serde_json::from_slice(bootstrap).ok()?;
    let kept = "/stats_config/stats_matcher/inclusion_list/patterns";
    if let Some(patterns) = bootstrap.pointer_mut(kept).and_then(Value::as_array_mut) {
        patterns.push(json!({"safe_regex": {"regex": ".*ssl\\.(handshake|connection_error|fail_verify.*)"}}));
    }
    Some(bootstrap)
}
