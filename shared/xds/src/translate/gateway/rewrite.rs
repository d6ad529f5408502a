//! The rewrite of a request's host and path.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::HostRewriteSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction};
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;
use mesh::name::ResourcePath;
use mesh::spec::{DefaultRewrite, HttpGatewayRouteMatch, HttpRewrite, PrefixRewrite};
use mesh::validate::envoy::unsendable;

use super::super::draft::{Draft, member_names};
use super::super::finding;
use super::super::proto::regex;
use super::SERVICE_HEADER;

/// The rewrite of a request's path. The query does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rewrite {
    /// The path does not change.
    Keep,
    /// The matched part becomes this text: the prefix for a prefix match, the whole path for a path match.
    Matched(String),
    /// The whole path becomes this text, for every kind of match.
    Whole(String),
}

impl Draft<'_> {
    /// The path matches of an HTTP gateway route, each with its rewrite, in the order in which they are tried.
    pub(super) fn paths(
        &mut self,
        wanted: &HttpGatewayRouteMatch,
        rewrite: Option<&HttpRewrite>,
        path: &ResourcePath,
    ) -> Option<Vec<(PathSpecifier, Rewrite)>> {
        let of_prefix = rewrite.and_then(|rewrite| rewrite.prefix.as_ref());
        let of_path = rewrite.and_then(|rewrite| rewrite.path.as_ref()).and_then(|path| path.exact.as_ref());
        if let Some(whole) = &wanted.path {
            let specifier = self.path_match(whole, path)?;
            if matches!(of_prefix, Some(PrefixRewrite::Value(_))) {
                let message = "a prefix rewrite does not apply to a match of the whole path; the path is not rewritten";
                self.find(finding::IMPOSSIBLE_REWRITE, path.clone(), message);
            }
            let to = match of_path {
                Some(to) => Rewrite::Matched(self.sendable(to.as_str(), path)?),
                None => Rewrite::Keep,
            };
            return Some(vec![(specifier, to)]);
        }
        let to = match (of_path, of_prefix) {
            (Some(to), _) => Rewrite::Whole(self.sendable(to.as_str(), path)?),
            (None, Some(PrefixRewrite::Value(value))) => Rewrite::Matched(self.sendable(value.as_str(), path)?),
            (None, Some(PrefixRewrite::DefaultPrefix(DefaultRewrite::Disabled))) => Rewrite::Keep,
            (None, Some(PrefixRewrite::Unrecognised(kind))) => {
                let why = format!("rewrite {:?} is unknown", member_names(kind));
                return self.left_out(finding::UNRECOGNISED, &why, path);
            }
            // An unknown setting does not disable the default rewrite.
            (None, Some(PrefixRewrite::DefaultPrefix(_)) | None) => Rewrite::Matched("/".to_owned()),
        };
        Some(prefixes(wanted.prefix.as_deref().unwrap_or("/"), to))
    }

    /// Returns the path if it can be sent in a request; otherwise `None`, with a finding.
    fn sendable(&mut self, to: &str, path: &ResourcePath) -> Option<String> {
        if unsendable(to).is_some() {
            return self.left_out(finding::IMPOSSIBLE_REWRITE, &format!("{to:?} is not a valid path"), path);
        }
        Some(to.to_owned())
    }
}

/// The prefixes to match for the prefix of a spec. `/x` is matched as `/x/` and then as `/x`, so that `/x/y` becomes
/// `/y` and not `//y`. The second prefix matches `/x` itself, and also `/xy`, which becomes `/y`, as in App Mesh.
fn prefixes(prefix: &str, to: Rewrite) -> Vec<(PathSpecifier, Rewrite)> {
    let ends_a_segment = prefix.ends_with('/') || prefix.is_empty();
    let mut all = Vec::new();
    if matches!(to, Rewrite::Matched(_)) && !ends_a_segment {
        all.push((PathSpecifier::Prefix(format!("{prefix}/")), to.clone()));
    }
    all.push((PathSpecifier::Prefix(prefix.to_owned()), to));
    all
}

pub(super) fn rewrite_path(action: &mut RouteAction, rewrite: Rewrite) {
    match rewrite {
        Rewrite::Keep => {}
        Rewrite::Matched(to) => action.prefix_rewrite = to,
        Rewrite::Whole(to) => {
            action.regex_rewrite = Some(RegexMatchAndSubstitute {
                pattern: Some(regex("^.*$")),
                // A backslash starts a reference to a part of the match.
                substitution: to.replace('\\', r"\\"),
            });
        }
    }
}

/// Names the target for the egress side: by the host, or by a header if the client's host is kept.
pub(super) fn address_to(route: &mut Route, host: &str, keeps_host: bool) {
    if keeps_host {
        let header = HeaderValue {
            key: SERVICE_HEADER.to_owned(),
            // A percent sign starts an operator.
            value: host.replace('%', "%%"),
            ..HeaderValue::default()
        };
        route.request_headers_to_add.push(HeaderValueOption {
            header: Some(header),
            // A client must not choose the target.
            append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
            ..HeaderValueOption::default()
        });
        route.response_headers_to_remove.push(SERVICE_HEADER.to_owned());
    } else {
        // A client must not choose it here either: the egress side reads the header first.
        route.request_headers_to_remove.push(SERVICE_HEADER.to_owned());
        if let Some(Action::Route(action)) = route.action.as_mut() {
            action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(host.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PathSpecifier, Rewrite, prefixes};

    #[test]
    fn a_prefix_is_matched_with_its_slash_first() {
        let matched = Rewrite::Matched("/".to_owned());
        let whole = Rewrite::Whole("/all".to_owned());
        for (prefix, rewrite, expected) in [
            ("/", &matched, vec!["/"]),
            ("/x", &matched, vec!["/x/", "/x"]),
            ("/x/", &matched, vec!["/x/"]),
            ("/x/y", &matched, vec!["/x/y/", "/x/y"]),
            ("/x", &Rewrite::Keep, vec!["/x"]),
            ("/x", &whole, vec!["/x"]),
            ("", &matched, vec![""]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|prefix| (PathSpecifier::Prefix(prefix.to_owned()), rewrite.clone()))
                .collect();
            assert_eq!(prefixes(prefix, rewrite.clone()), expected, "{prefix}");
        }
    }
}
