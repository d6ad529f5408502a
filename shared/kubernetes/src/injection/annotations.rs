//! The annotations of a pod for its sidecar.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::rules::Ipv4Network;

const PREFIX: &str = "appmesh.k8s.aws/";

/// The annotation of a pod, and the label of a namespace, that enables injection.
pub(super) const INJECT: &str = "appmesh.k8s.aws/sidecarInjectorWebhook";

/// The valid annotations of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Annotations {
    /// Whether the pod enables or disables injection.
    pub(super) inject: Option<bool>,
    /// The name of the mesh in App Mesh.
    pub(super) mesh: Option<String>,
    /// The name of a virtual node of the namespace.
    pub(super) virtual_node: Option<String>,
    /// The name of a virtual gateway of the namespace.
    pub(super) virtual_gateway: Option<String>,
    /// The ports with redirected incoming traffic, instead of those of the listeners.
    pub(super) ports: Option<Vec<u16>>,
    pub(super) ignored_networks: Vec<Ipv4Network>,
    pub(super) ignored_ports: Vec<u16>,
    /// Requests of CPU and memory, limits of CPU and memory.
    pub(super) resources: [Option<String>; 4],
    /// Secrets that Envoy gets as folders: name and path.
    pub(super) secrets: Vec<(String, String)>,
    /// Whether the image of a virtual gateway's Envoy stays.
    pub(super) keeps_image: bool,
}

impl Annotations {
    /// Parses the annotations. The error names each one that is invalid or not supported.
    pub(super) fn parse(given: &BTreeMap<String, String>) -> Result<Self, Vec<String>> {
        let mut parsed = Self::default();
        let mut problems = Vec::new();
        for (key, value) in given {
            let Some(name) = key.strip_prefix(PREFIX) else { continue };
            if let Err(problem) = parsed.set(name, value.trim()) {
                problems.push(format!("metadata.annotations[{key}]: is `{value}`, {problem}"));
            }
        }
        if problems.is_empty() { Ok(parsed) } else { Err(problems) }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "sidecarInjectorWebhook" => self.inject = Some(switch(value)?),
            "mesh" => self.mesh = Some(value.to_owned()),
            "virtualNode" => self.virtual_node = Some(value.to_owned()),
            "virtualGateway" => self.virtual_gateway = Some(value.to_owned()),
            "ports" => self.ports = Some(ports(value)?),
            "egressIgnoredPorts" => self.ignored_ports = ports(value)?,
            "egressIgnoredIPs" => {
                self.ignored_networks = list(value).map(network).collect::<Result<_, _>>()?;
            }
            "cpuRequest" => self.resources[0] = Some(quantity(value)?),
            "memoryRequest" => self.resources[1] = Some(quantity(value)?),
            "cpuLimit" => self.resources[2] = Some(quantity(value)?),
            "memoryLimit" => self.resources[3] = Some(quantity(value)?),
            "secretMounts" => self.secrets = list(value).map(secret).collect::<Result<_, _>>()?,
            "virtualGatewaySkipImageOverride" => self.keeps_image = switch(value)?,
            "appmeshCNI" if switch(value)? => {
                return Err("and redirection by a CNI plugin is not supported; remove it".to_owned());
            }
            "preview" if switch(value)? => {
                return Err("and there was a preview only in the App Mesh service; remove it".to_owned());
            }
            "appmeshCNI" | "preview" => {}
            "ignoredUID" => fixed(value, "1337", "Envoy runs as this user")?,
            "proxyEgressPort" => fixed(value, "15001", "Envoy listens on this port")?,
            "proxyIngressPort" => fixed(value, "15000", "Envoy listens on this port")?,
            "ignoredGID" => return Err("and the rules except a user, not a group; remove it".to_owned()),
            _ => return Err("and the injector does not support it; remove it".to_owned()),
        }
        Ok(())
    }
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn switch(value: &str) -> Result<bool, String> {
    match value {
        "enabled" => Ok(true),
        "disabled" => Ok(false),
        _ => Err("expected `enabled` or `disabled`".to_owned()),
    }
}

fn fixed(value: &str, only: &str, reason: &str) -> Result<(), String> {
    if value == only { Ok(()) } else { Err(format!("must be {only}: {reason}")) }
}

fn ports(value: &str) -> Result<Vec<u16>, String> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let mut ports: Vec<u16> =
        list(value).map(port).collect::<Option<_>>().ok_or("expected ports from 1 to 65535, such as `8080, 8081`")?;
    ports.sort_unstable();
    ports.dedup();
    Ok(ports)
}

fn network(text: &str) -> Result<Ipv4Network, String> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
    let network = address.parse::<Ipv4Addr>().ok().zip(prefix.parse::<u8>().ok().filter(|prefix| *prefix <= 32));
    let (address, prefix) = network.ok_or("expected IPv4 addresses or networks, such as `10.0.0.0/8, 192.0.2.1`")?;
    Ok(Ipv4Network { address, prefix })
}

/// A quantity of Kubernetes, such as `100m` or `64Mi`.
fn quantity(value: &str) -> Result<String, String> {
    let number = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = value.get(number.len()..).unwrap_or_default();
    let is_number =
        number.parse::<f64>().is_ok_and(|number| number > 0.0) && number.starts_with(|c: char| c.is_ascii_digit());
    let units = ["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"];
    if is_number && units.contains(&unit) {
        Ok(value.to_owned())
    } else {
        Err("expected a quantity, such as `100m` or `64Mi`".to_owned())
    }
}

fn secret(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, path)) if !name.trim().is_empty() && path.trim().starts_with('/') => {
            Ok((name.trim().to_owned(), path.trim().to_owned()))
        }
        _ => Err("expected secrets with paths, such as `front-tls:/certificates`".to_owned()),
    }
}
