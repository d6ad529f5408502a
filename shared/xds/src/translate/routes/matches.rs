//! The conditions of routes on requests.
//!
//! A route with a condition that Envoy cannot express is left out, with a finding. Without the condition, the route
//! would receive requests that are not meant for it.

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::{GrpcRouteMatchOptions, PathSpecifier};
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::v3::Int64Range;
use mesh::name::ResourcePath;
use mesh::spec::{
    Extra, GrpcRouteMatch, HeaderMatch, HttpMethod, HttpPathMatch, HttpRouteMatch, MetadataMatch, QueryParameterMatch,
    ValueMatch,
};
use mesh::validate::envoy::{LONGEST_PARAMETER, is_parameter_name, regex_fault, unsendable};

use super::super::draft::{Draft, member_names};
use super::super::finding;
use super::super::proto::{exact, regex, string};

impl Draft<'_> {
    pub(super) fn http_match(&mut self, wanted: &HttpRouteMatch, path: &ResourcePath) -> Option<RouteMatch> {
        self.knows_all_of("match", &wanted.extra, path)?;
        let path_specifier = match (&wanted.path, &wanted.prefix) {
            (Some(path_match), _) => self.path_match(path_match, path)?,
            (None, prefix) => PathSpecifier::Prefix(prefix.as_deref().unwrap_or("/").to_owned()),
        };
        let mut headers = self.header_matchers(wanted.headers.as_deref(), path)?;
        headers.extend(wanted.method.as_ref().map(method));
        headers.extend(wanted.scheme.as_ref().map(|scheme| header_is(":scheme", scheme.as_str())));
        Some(RouteMatch {
            path_specifier: Some(path_specifier),
            headers,
            query_parameters: self.query_matchers(wanted.query_parameters.as_deref(), path)?,
            ..RouteMatch::default()
        })
    }

    /// A match on the path, exact or by regular expression.
    pub(in super::super) fn path_match(
        &mut self,
        wanted: &HttpPathMatch,
        path: &ResourcePath,
    ) -> Option<PathSpecifier> {
        match wanted {
            HttpPathMatch::Exact(exact) => Some(PathSpecifier::Path(exact.to_string())),
            HttpPathMatch::Regex(expression) => {
                self.takes(expression.as_str(), path)?;
                Some(PathSpecifier::SafeRegex(regex(expression.as_str())))
            }
            HttpPathMatch::Unrecognised(kind) => {
                self.left_out(finding::UNRECOGNISED, &format!("path match {:?} is unknown", member_names(kind)), path)
            }
        }
    }

    pub(super) fn grpc_match(&mut self, wanted: &GrpcRouteMatch, path: &ResourcePath) -> Option<RouteMatch> {
        self.knows_all_of("match", &wanted.extra, path)?;
        let path_specifier = match (&wanted.service_name, &wanted.method_name) {
            (None, Some(_)) => {
                let why = "a gRPC method without its service can't be matched: add serviceName";
                return self.left_out(finding::IMPOSSIBLE_MATCH, why, path);
            }
            (Some(service), Some(method)) => PathSpecifier::Path(format!("/{service}/{method}")),
            (service, None) => grpc_service(service.as_deref()),
        };
        self.grpc_requests(path_specifier, wanted.metadata.as_deref(), path)
    }

    /// Matches gRPC requests, which have the content type of gRPC. Metadata entries are headers.
    pub(in super::super) fn grpc_requests(
        &mut self,
        path_specifier: PathSpecifier,
        metadata: Option<&[MetadataMatch]>,
        path: &ResourcePath,
    ) -> Option<RouteMatch> {
        let mut headers = Vec::new();
        for entry in metadata.unwrap_or_default() {
            let name = entry.name.as_str();
            self.knows_all_of("match of metadata", &entry.extra, path)?;
            if unsendable(name).is_some() {
                let why = format!("{name:?} is not a valid name of metadata");
                return self.left_out(finding::IMPOSSIBLE_MATCH, &why, path);
            }
            headers.push(self.header(name, entry.value.as_ref(), entry.invert, path)?);
        }
        Some(RouteMatch {
            path_specifier: Some(path_specifier),
            headers,
            grpc: Some(GrpcRouteMatchOptions {}),
            ..RouteMatch::default()
        })
    }

    pub(in super::super) fn header_matchers(
        &mut self,
        headers: Option<&[HeaderMatch]>,
        path: &ResourcePath,
    ) -> Option<Vec<HeaderMatcher>> {
        let mut matchers = Vec::new();
        for header in headers.unwrap_or_default() {
            self.knows_all_of("match of a header", &header.extra, path)?;
            matchers.push(self.header(header.name.as_str(), header.value.as_ref(), header.invert, path)?);
        }
        Some(matchers)
    }

    pub(in super::super) fn query_matchers(
        &mut self,
        parameters: Option<&[QueryParameterMatch]>,
        path: &ResourcePath,
    ) -> Option<Vec<QueryParameterMatcher>> {
        let mut matchers = Vec::new();
        for parameter in parameters.unwrap_or_default() {
            self.knows_all_of("match of a query parameter", &parameter.extra, path)?;
            if !is_parameter_name(&parameter.name) {
                let why = format!("a query parameter's name must have 1 to {LONGEST_PARAMETER} bytes");
                return self.left_out(finding::IMPOSSIBLE_MATCH, &why, path);
            }
            let mut specifier = QueryParameterMatchSpecifier::PresentMatch(true);
            if let Some(value) = &parameter.value {
                self.knows_all_of("value of a query parameter", &value.extra, path)?;
                if let Some(text) = &value.exact {
                    specifier = QueryParameterMatchSpecifier::StringMatch(exact(text));
                }
            }
            let name = parameter.name.clone();
            matchers.push(QueryParameterMatcher { name, query_parameter_match_specifier: Some(specifier) });
        }
        Some(matchers)
    }

    fn header(
        &mut self,
        name: &str,
        value: Option<&ValueMatch>,
        invert: Option<bool>,
        path: &ResourcePath,
    ) -> Option<HeaderMatcher> {
        let specifier = match value {
            Some(value) => self.value_match(value, path)?,
            None => HeaderMatchSpecifier::PresentMatch(true),
        };
        Some(HeaderMatcher {
            name: name.to_owned(),
            invert_match: invert.unwrap_or(false),
            header_match_specifier: Some(specifier),
            ..HeaderMatcher::default()
        })
    }

    fn value_match(&mut self, wanted: &ValueMatch, path: &ResourcePath) -> Option<HeaderMatchSpecifier> {
        let text = |pattern| Some(HeaderMatchSpecifier::StringMatch(string(pattern)));
        match wanted {
            ValueMatch::Exact(value) => text(MatchPattern::Exact(value.to_string())),
            ValueMatch::Prefix(value) => text(MatchPattern::Prefix(value.to_string())),
            ValueMatch::Suffix(value) => text(MatchPattern::Suffix(value.to_string())),
            ValueMatch::Regex(expression) => {
                self.takes(expression.as_str(), path)?;
                text(MatchPattern::SafeRegex(regex(expression.as_str())))
            }
            // Both ranges exclude the end.
            ValueMatch::Range(range) => {
                self.knows_all_of("range", &range.extra, path)?;
                let range = Int64Range { start: range.start.get(), end: range.end.get() };
                Some(HeaderMatchSpecifier::RangeMatch(range))
            }
            ValueMatch::Unrecognised(kind) => {
                self.left_out(finding::UNRECOGNISED, &format!("match {:?} isn't known", member_names(kind)), path)
            }
        }
    }

    /// Checks a regular expression. `None`, with a finding, if Envoy does not accept it.
    fn takes(&mut self, expression: &str, path: &ResourcePath) -> Option<()> {
        let Some(why) = regex_fault(expression) else { return Some(()) };
        let why = format!("{expression:?} is not an RE2 expression that Envoy accepts: {why}");
        self.left_out(finding::UNSUPPORTED_REGEX, &why, path)
    }

    /// Checks that a spec has no members of a newer API, which would be unknown conditions. `None`, with a finding, if
    /// it has any.
    pub(in super::super) fn knows_all_of(&mut self, what: &str, extra: &Extra, path: &ResourcePath) -> Option<()> {
        if extra.is_empty() {
            return Some(());
        }
        let why = format!("member {:?} of the {what} is unknown", member_names(extra));
        self.left_out(finding::UNRECOGNISED, &why, path)
    }

    /// Adds the finding for a route that is left out; returns `None`.
    pub(in super::super) fn left_out<T>(&mut self, id: &'static str, why: &str, path: &ResourcePath) -> Option<T> {
        self.find(id, path.clone(), format!("{why}; the route is left out"));
        None
    }
}

/// The paths of a gRPC service's methods; of all services if none is named.
pub(in super::super) fn grpc_service(service: Option<&str>) -> PathSpecifier {
    PathSpecifier::Prefix(service.map_or_else(|| "/".to_owned(), |service| format!("/{service}/")))
}

pub(in super::super) fn method(method: &HttpMethod) -> HeaderMatcher {
    header_is(":method", method.as_str())
}

fn header_is(name: &str, value: &str) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(exact(value))),
        ..HeaderMatcher::default()
    }
}
