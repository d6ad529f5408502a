//! The hosts of gateway routes.

use mesh::name::ResourcePath;
use mesh::spec::HostnameMatch;

use super::super::draft::{Draft, member_names};
use super::super::finding;

/// Hosts by name, in lower case and without a port. A client may use the port of a load balancer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hosts {
    /// The host with this name.
    Exact(String),
    /// The hosts that end with this text and have at least one character before it.
    Suffix(String),
    /// All hosts.
    Any,
}

impl Hosts {
    fn new(name: &str) -> Self {
        let name = without_port(name).to_ascii_lowercase();
        match name.strip_prefix('*') {
            None => Self::Exact(name),
            Some("") => Self::Any,
            Some(suffix) => Self::Suffix(suffix.to_owned()),
        }
    }

    /// The hosts as a domain of an Envoy virtual host.
    pub(super) fn domain(&self) -> String {
        match self {
            Self::Exact(name) => name.clone(),
            Self::Suffix(suffix) => format!("*{suffix}"),
            Self::Any => "*".to_owned(),
        }
    }

    /// Whether these hosts include all of the other hosts.
    pub(super) fn include(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Suffix(suffix), Self::Exact(name)) => name.len() > suffix.len() && name.ends_with(suffix),
            (Self::Suffix(suffix), Self::Suffix(other)) => other.ends_with(suffix),
            (Self::Exact(name), Self::Exact(other)) => name == other,
            (Self::Exact(_) | Self::Suffix(_), Self::Any) | (Self::Exact(_), Self::Suffix(_)) => false,
        }
    }
}

fn without_port(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        Some(_) | None => name,
    }
}

impl Draft<'_> {
    /// The hosts of a match. `None`, with a finding, if Envoy cannot express them.
    pub(super) fn hosts(&mut self, wanted: Option<&HostnameMatch>, path: &ResourcePath) -> Option<Hosts> {
        let hosts = match wanted {
            None => Hosts::Any,
            Some(HostnameMatch::Exact(name)) => Hosts::new(name.as_str()),
            Some(HostnameMatch::Suffix(suffix)) => Hosts::new(&format!("*{}", suffix.as_str().trim_start_matches('*'))),
            Some(HostnameMatch::Unrecognised(kind)) => {
                let why = format!("hostname match {:?} is unknown", member_names(kind));
                return self.left_out(finding::UNRECOGNISED, &why, path);
            }
        };
        if hosts.domain().is_empty() || hosts.domain().contains(char::is_control) {
            let why = format!("{:?} is not a valid host name", hosts.domain());
            return self.left_out(finding::IMPOSSIBLE_MATCH, &why, path);
        }
        Some(hosts)
    }
}

#[cfg(test)]
mod tests {
    use super::Hosts;

    #[test]
    fn hosts_are_parsed_from_names() {
        for (name, expected) in [
            ("Shop.Example.com", Hosts::Exact("shop.example.com".to_owned())),
            ("shop.example.com:8080", Hosts::Exact("shop.example.com".to_owned())),
            ("[::1]", Hosts::Exact("[::1]".to_owned())),
            ("[::1]:80", Hosts::Exact("[::1]".to_owned())),
            ("shop:", Hosts::Exact("shop:".to_owned())),
            ("*.example.com", Hosts::Suffix(".example.com".to_owned())),
            ("*", Hosts::Any),
        ] {
            assert_eq!(Hosts::new(name), expected, "{name}");
        }
    }

    #[test]
    fn hosts_include_the_names_that_match_them() {
        for (these, other, expected) in [
            ("*", "*", true),
            ("*", "*.b.c", true),
            ("*", "a.b.c", true),
            ("*.c", "a.b.c", true),
            ("*.c", "*.b.c", true),
            ("*.c", ".c", false),
            ("*.b.c", "*.c", false),
            ("*.b.c", "b.c", false),
            ("*.c", "*", false),
            ("a.b.c", "A.b.c:80", true),
            ("a.b.c", "b.c", false),
            ("a.b.c", "*.b.c", false),
            ("a.b.c", "*", false),
        ] {
            assert_eq!(Hosts::new(these).include(&Hosts::new(other)), expected, "{these} {other}");
        }
    }
}
