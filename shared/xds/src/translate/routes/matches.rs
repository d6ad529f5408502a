//! What a request must look like.

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::{GrpcRouteMatchOptions, PathSpecifier};
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::v3::Int64Range;
use mesh::name::ResourcePath;
use mesh::spec::{
    GrpcRouteMatch, HeaderMatch, HttpMethod, HttpPathMatch, HttpRouteMatch, MetadataMatch, QueryParameterMatch,
    ValueMatch,
};

use super::super::draft::Draft;
use super::super::proto::{exact, regex, string};
use super::super::{finding, regex as expressions};

impl Draft<'_> {
    /// `None`, with a finding, for a match that Envoy would refuse: a route that took more than was asked for would send
    /// requests where nobody wanted them.
    pub(super) fn http_match(&mut self, matching: &HttpRouteMatch, path: &ResourcePath) -> Option<RouteMatch> {
        let path_specifier = match (&matching.path, &matching.prefix) {
            (Some(path_match), _) => self.path_match(path_match, path)?,
            (None, Some(prefix)) => PathSpecifier::Prefix(prefix.clone()),
            (None, None) => PathSpecifier::Prefix("/".to_owned()),
        };
        let mut headers = header_matchers(self, matching.headers.as_deref(), path)?;
        headers.extend(matching.method.as_ref().map(method));
        headers.extend(matching.scheme.as_ref().map(|scheme| header_is(":scheme", scheme.as_str())));
        Some(RouteMatch {
            path_specifier: Some(path_specifier),
            headers,
            query_parameters: query_matchers(matching.query_parameters.as_deref()),
            ..RouteMatch::default()
        })
    }

    /// A path, exact or by expression.
    pub(in super::super) fn path_match(
        &mut self,
        matching: &HttpPathMatch,
        path: &ResourcePath,
    ) -> Option<PathSpecifier> {
        match matching {
            HttpPathMatch::Exact(exact) => Some(PathSpecifier::Path(exact.to_string())),
            HttpPathMatch::Regex(expression) => {
                self.takes(expression.as_str(), path)?;
                Some(PathSpecifier::SafeRegex(regex(expression.as_str())))
            }
            HttpPathMatch::Unrecognised(kind) => {
                self.find(
                    finding::UNRECOGNISED,
                    path.clone(),
                    format!("path match {kind:?} isn't known; the route is left out"),
                );
                None
            }
        }
    }

    pub(super) fn grpc_match(&mut self, matching: &GrpcRouteMatch, path: &ResourcePath) -> Option<RouteMatch> {
        let path_specifier = match (&matching.service_name, &matching.method_name) {
            (Some(service), Some(method)) => PathSpecifier::Path(format!("/{service}/{method}")),
            (Some(service), None) => PathSpecifier::Prefix(format!("/{service}/")),
            (None, _) => PathSpecifier::Prefix("/".to_owned()),
        };
        Some(RouteMatch {
            path_specifier: Some(path_specifier),
            headers: metadata_matchers(self, matching.metadata.as_deref(), path)?,
            grpc: Some(GrpcRouteMatchOptions {}),
            ..RouteMatch::default()
        })
    }

    /// Passes an expression that Envoy takes.
    fn takes(&mut self, expression: &str, path: &ResourcePath) -> Option<()> {
        let Some(why) = expressions::fault(expression) else { return Some(()) };
        let message = format!("{expression:?} is no expression that Envoy (RE2) takes: {why}; the route is left out");
        self.find(finding::UNSUPPORTED_REGEX, path.clone(), message);
        None
    }

    fn value_match(&mut self, matching: &ValueMatch, path: &ResourcePath) -> Option<HeaderMatchSpecifier> {
        let specifier = match matching {
            ValueMatch::Exact(text) => HeaderMatchSpecifier::StringMatch(exact(text.as_str())),
            ValueMatch::Prefix(text) => {
                HeaderMatchSpecifier::StringMatch(string(MatchPattern::Prefix(text.to_string())))
            }
            ValueMatch::Suffix(text) => {
                HeaderMatchSpecifier::StringMatch(string(MatchPattern::Suffix(text.to_string())))
            }
            ValueMatch::Regex(text) => {
                self.takes(text.as_str(), path)?;
                HeaderMatchSpecifier::StringMatch(string(MatchPattern::SafeRegex(regex(text.as_str()))))
            }
            // Both leave the end out.
            ValueMatch::Range(range) => {
                HeaderMatchSpecifier::RangeMatch(Int64Range { start: range.start.get(), end: range.end.get() })
            }
            ValueMatch::Unrecognised(kind) => {
                let message = format!("match {kind:?} isn't known; the route is left out");
                self.find(finding::UNRECOGNISED, path.clone(), message);
                return None;
            }
        };
        Some(specifier)
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
}

/// `None` where one of them can't be sent.
pub(in super::super) fn header_matchers(
    draft: &mut Draft<'_>,
    headers: Option<&[HeaderMatch]>,
    path: &ResourcePath,
) -> Option<Vec<HeaderMatcher>> {
    let headers = headers.unwrap_or_default().iter();
    headers.map(|header| draft.header(header.name.as_str(), header.value.as_ref(), header.invert, path)).collect()
}

/// gRPC metadata are headers.
pub(in super::super) fn metadata_matchers(
    draft: &mut Draft<'_>,
    metadata: Option<&[MetadataMatch]>,
    path: &ResourcePath,
) -> Option<Vec<HeaderMatcher>> {
    let metadata = metadata.unwrap_or_default().iter();
    metadata.map(|entry| draft.header(entry.name.as_str(), entry.value.as_ref(), entry.invert, path)).collect()
}

pub(in super::super) fn query_matchers(parameters: Option<&[QueryParameterMatch]>) -> Vec<QueryParameterMatcher> {
    let matcher = |parameter: &QueryParameterMatch| {
        let value = parameter.value.as_ref().and_then(|value| value.exact.as_deref());
        let specifier = match value {
            Some(value) => QueryParameterMatchSpecifier::StringMatch(exact(value)),
            None => QueryParameterMatchSpecifier::PresentMatch(true),
        };
        QueryParameterMatcher { name: parameter.name.clone(), query_parameter_match_specifier: Some(specifier) }
    };
    parameters.unwrap_or_default().iter().map(matcher).collect()
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
