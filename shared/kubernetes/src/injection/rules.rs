//! The redirect rules of a pod.

use std::net::Ipv4Addr;

/// The rules that redirect the traffic of a pod through its Envoy, for every pod.
pub const REDIRECT_RULES: &str = include_str!("../../../../infra/deploy/sidecar/redirect.nft");

/// The line of the rules for IPv4 after which exceptions are added: Envoy's own traffic.
const EXCEPTED_USER: &str = "meta skuid 1337 return";

/// The same line of the rules for IPv6.
const EXCEPTED_USER_V6: &str = "meta skuid 1337 accept";

/// An IPv4 network, as in the annotation `egressIgnoredIPs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ipv4Network {
    pub(crate) address: Ipv4Addr,
    pub(crate) prefix: u8,
}

/// The redirect rules with exceptions. Without ports no incoming traffic is redirected; without exceptions the rules are those of
/// the sidecar definitions.
#[must_use]
pub fn redirect_rules(has_ports: bool, ignored_networks: &[(Ipv4Addr, u8)], ignored_ports: &[u16]) -> String {
    let networks: Vec<String> =
        ignored_networks.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
    let ports: Vec<String> = ignored_ports.iter().map(ToString::to_string).collect();
    let (networks, ports) = (networks.join(", "), ports.join(", "));
    let mut rules = String::new();
    for line in REDIRECT_RULES.lines() {
        // A set without elements is invalid.
        let is_comment = line.trim_start().starts_with('#');
        if !has_ports && !is_comment && line.contains("$app_ports") {
            continue;
        }
        rules.push_str(line);
        rules.push('\n');
        let indent: String = line.chars().take_while(|letter| *letter == ' ').collect();
        let mut add = |rule: String| rules.extend([indent.as_str(), rule.as_str(), "\n"]);
        match line.trim_start() {
            EXCEPTED_USER => {
                if !networks.is_empty() {
                    add(format!("ip daddr {{ {networks} }} return"));
                }
                if !ports.is_empty() {
                    add(format!("tcp dport {{ {ports} }} return"));
                }
            }
            EXCEPTED_USER_V6 if !ports.is_empty() => add(format!("tcp dport {{ {ports} }} accept")),
            _ => {}
        }
    }
    rules
}
