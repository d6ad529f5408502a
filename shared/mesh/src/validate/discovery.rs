//! Rules about host names and AWS Cloud Map attributes.

use std::net::IpAddr;

use super::Refusal;
use super::found::FoundViolations;
use crate::spec::{HostnameFault, HostnameMatch, ServiceDiscovery};

/// The prefix of attribute keys that AWS Cloud Map sets itself, such as `AWS_INSTANCE_PORT`.
const RESERVED_ATTRIBUTES: &str = "AWS_";

/// The maximum length of a host name's label, in characters.
const MAX_LABEL: usize = 63;

/// The maximum length of a host name, in bytes and without a dot at the end: DNS cannot transport a longer one.
const MAX_NAME: usize = 253;

pub(super) fn service_discovery(discovery: &ServiceDiscovery, found: &mut FoundViolations) {
    match discovery {
        ServiceDiscovery::Dns(dns) => {
            refuse_hostname("spec.serviceDiscovery.dns.hostname", &dns.hostname, hostname(&dns.hostname), found);
        }
        ServiceDiscovery::AwsCloudMap(cloud_map) => {
            for (index, attribute) in cloud_map.attributes.iter().flatten().enumerate() {
                let key = attribute.key.as_str();
                found.refuse_if(
                    key.starts_with(RESERVED_ATTRIBUTES),
                    format_args!("spec.serviceDiscovery.awsCloudMap.attributes[{index}].key"),
                    || Refusal::AttributeReserved { key: key.to_owned() },
                );
            }
        }
        ServiceDiscovery::Unrecognised(_) => {}
    }
}

/// Checks the host names of a gateway route: one exact name, or all names with the same suffix.
pub(super) fn matched_hostname(at: &str, wanted: Option<&HostnameMatch>, found: &mut FoundViolations) {
    match wanted {
        Some(HostnameMatch::Exact(name)) => {
            refuse_hostname(&format!("{at}.hostname.exact"), name.as_str(), hostname(name.as_str()), found);
        }
        Some(HostnameMatch::Suffix(text)) => {
            refuse_hostname(&format!("{at}.hostname.suffix"), text.as_str(), suffix(text.as_str()), found);
        }
        Some(HostnameMatch::Unrecognised(_)) | None => {}
    }
}

fn refuse_hostname(at: &str, given: &str, checked: Result<(), HostnameFault>, found: &mut FoundViolations) {
    if let Err(fault) = checked {
        found.refuse(at, Refusal::Hostname { given: given.to_owned(), fault });
    }
}

/// Checks a whole host name: labels separated by dots, with an optional dot at the end, or an IP address.
fn hostname(name: &str) -> Result<(), HostnameFault> {
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if address.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    if name.is_empty() {
        return Err(HostnameFault::Empty);
    }
    characters(name)?;
    let labels = name.strip_suffix('.').unwrap_or(name);
    if labels.len() > MAX_NAME {
        return Err(HostnameFault::Length);
    }
    if labels.split('.').all(|label| (1..=MAX_LABEL).contains(&label.len())) {
        Ok(())
    } else {
        Err(HostnameFault::Label)
    }
}

/// Checks a suffix of host names. It may begin within a label, as in `-pr.example.com`, and may have one leading `*`
/// for the preceding part.
fn suffix(text: &str) -> Result<(), HostnameFault> {
    let rest = text.strip_prefix('*').unwrap_or(text);
    if rest.is_empty() {
        return Err(if text.is_empty() { HostnameFault::Empty } else { HostnameFault::Wildcard });
    }
    characters(rest)?;
    let labels = rest.strip_prefix('.').unwrap_or(rest);
    let labels = labels.strip_suffix('.').unwrap_or(labels);
    if labels.len() > MAX_NAME {
        return Err(HostnameFault::Length);
    }
    if labels.split('.').all(|label| (1..=MAX_LABEL).contains(&label.len())) {
        Ok(())
    } else {
        Err(HostnameFault::Label)
    }
}

fn characters(text: &str) -> Result<(), HostnameFault> {
    if let Some((_, port)) = text.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(HostnameFault::Port);
    }
    // Some tools write names beyond ASCII unencoded, and resolvers that support such names accept them.
    let allowed = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.') || !character.is_ascii()
    };
    match text.chars().find(|character| !allowed(*character) || character.is_whitespace() || character.is_control()) {
        Some('*') => Err(HostnameFault::Wildcard),
        Some(character) => Err(HostnameFault::Character(character)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_have_no_space_port_or_wildcard() {
        use HostnameFault::{Character, Empty, Label, Length, Port, Wildcard};
        let long = "a".repeat(64);
        let longest = ["a".repeat(49).as_str(); 5].join(".");
        assert_eq!(longest.len(), 249);
        let (longest, too_long) = (format!("{longest}.abc."), format!("{longest}.abcd"));
        for (name, expected) in [
            ("orders.shop.local", Ok(())),
            ("orders", Ok(())),
            ("orders.shop.local.", Ok(())),
            ("_tcp.orders_v1.shop.local", Ok(())),
            ("10.0.0.1", Ok(())),
            ("::1", Ok(())),
            ("[::1]", Ok(())),
            ("", Err(Empty)),
            ("sp ace.local", Err(Character(' '))),
            ("a.local\t", Err(Character('\t'))),
            ("http://a.local", Err(Character(':'))),
            ("a/b", Err(Character('/'))),
            ("a.local:8080", Err(Port)),
            ("a.local:", Err(Port)),
            ("[::1]:80", Err(Port)),
            ("*", Err(Wildcard)),
            ("*.a.local", Err(Wildcard)),
            ("a.*.local", Err(Wildcard)),
            ("a..local", Err(Label)),
            (".a.local", Err(Label)),
            (long.as_str(), Err(Label)),
            (longest.as_str(), Ok(())),
            (too_long.as_str(), Err(Length)),
        ] {
            assert_eq!(hostname(name), expected, "{name:?}");
        }
    }

    #[test]
    fn suffixes_may_begin_within_a_label() {
        use HostnameFault::{Character, Label, Length, Port, Wildcard};
        let too_long = format!(".{}", ["a".repeat(50).as_str(); 5].join("."));
        for (text, expected) in [
            (".example.com", Ok(())),
            ("*.example.com", Ok(())),
            ("-pr.example.com", Ok(())),
            ("*-pr.example.com", Ok(())),
            ("com", Ok(())),
            ("*", Err(Wildcard)),
            ("**.example.com", Err(Wildcard)),
            ("a*.example.com", Err(Wildcard)),
            (".exa mple.com", Err(Character(' '))),
            (".example.com:443", Err(Port)),
            ("..example.com", Err(Label)),
            (too_long.as_str(), Err(Length)),
        ] {
            assert_eq!(suffix(text), expected, "{text:?}");
        }
    }
}
