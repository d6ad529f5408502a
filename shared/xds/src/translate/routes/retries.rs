//! The retry policies of routes.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::route::v3::RetryPolicy;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{RetryHostPredicate, retry_host_predicate};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use mesh::name::ResourcePath;
use mesh::spec::{GrpcRetryEvent, GrpcRetryPolicy, HttpRetryPolicy, TcpRetryEvent};

use super::super::draft::Draft;
use super::super::finding;
use super::super::proto::{any, uint};

/// The number of attempts to find a host that was not tried, before a retry goes to one that was.
const HOST_ATTEMPTS: i64 = 5;

/// The retry policy of a spec, for every kind of route.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetrySpec<'a> {
    http: &'a [mesh::spec::bounded::Text<1, 25>],
    grpc: &'a [GrpcRetryEvent],
    tcp: &'a [TcpRetryEvent],
    most: i64,
    per_try: &'a mesh::spec::Duration,
}

impl<'a> From<&'a HttpRetryPolicy> for RetrySpec<'a> {
    fn from(policy: &'a HttpRetryPolicy) -> Self {
        Self {
            http: policy.http_retry_events.as_deref().unwrap_or_default(),
            grpc: &[],
            tcp: policy.tcp_retry_events.as_deref().unwrap_or_default(),
            most: policy.max_retries.get(),
            per_try: &policy.per_retry_timeout,
        }
    }
}

impl<'a> From<&'a GrpcRetryPolicy> for RetrySpec<'a> {
    fn from(policy: &'a GrpcRetryPolicy) -> Self {
        Self {
            http: policy.http_retry_events.as_deref().unwrap_or_default(),
            grpc: policy.grpc_retry_events.as_deref().unwrap_or_default(),
            tcp: policy.tcp_retry_events.as_deref().unwrap_or_default(),
            most: policy.max_retries.get(),
            per_try: &policy.per_retry_timeout,
        }
    }
}

/// The retry policy of each route without one, and of each node that provides a service: the last default that App Mesh
/// documented. `reset` covers an endpoint that disappears after it received the request. It therefore also repeats
/// requests that may have taken effect. A retry policy of the route can exclude it.
pub(in super::super) fn default_policy() -> RetryPolicy {
    RetryPolicy {
        retry_on: "unavailable,connect-failure,refused-stream,reset,retriable-status-codes".to_owned(),
        num_retries: uint(2),
        retriable_status_codes: vec![503],
        ..on_another_host()
    }
}

/// The retry policy of a spec, or the default policy if the spec has none. `None` disables retries.
pub(super) fn retry_policy(
    draft: &mut Draft<'_>,
    spec: Option<RetrySpec<'_>>,
    path: &ResourcePath,
) -> Option<RetryPolicy> {
    let Some(spec) = spec else { return Some(default_policy()) };
    // Without retries the events have no meaning, whether they are known or not.
    if spec.most == 0 {
        return None;
    }
    let mut conditions = BTreeSet::new();
    let mut codes = BTreeSet::new();
    for event in spec.http {
        match event.as_str() {
            "server-error" => {
                conditions.insert("reset");
                codes.extend((500..=508).chain([510, 511]));
            }
            "gateway-error" => {
                conditions.insert("reset");
                codes.extend(502..=504);
            }
            "client-error" => {
                codes.insert(409);
            }
            "stream-error" => {
                conditions.insert("refused-stream");
            }
            other => report_unknown_event(draft, path, other),
        }
    }
    for event in spec.grpc {
        match event {
            GrpcRetryEvent::Cancelled
            | GrpcRetryEvent::DeadlineExceeded
            | GrpcRetryEvent::Internal
            | GrpcRetryEvent::ResourceExhausted
            | GrpcRetryEvent::Unavailable => {
                conditions.insert(event.as_str());
            }
            GrpcRetryEvent::Unrecognised(other) => report_unknown_event(draft, path, other),
        }
    }
    for event in spec.tcp {
        match event {
            TcpRetryEvent::ConnectionError => {
                conditions.insert("connect-failure");
            }
            TcpRetryEvent::Unrecognised(other) => report_unknown_event(draft, path, other),
        }
    }
    if !codes.is_empty() {
        conditions.insert("retriable-status-codes");
    }
    if conditions.is_empty() {
        return None;
    }
    let per_try = draft.duration(Some(spec.per_try), path, "retryPolicy.perRetryTimeout");
    Some(RetryPolicy {
        retry_on: conditions.into_iter().collect::<Vec<_>>().join(","),
        num_retries: uint(u32::try_from(spec.most).unwrap_or(u32::MAX)),
        // 0 means unlimited, which Envoy expresses by an absent value.
        per_try_timeout: per_try.filter(|limit| limit.seconds > 0 || limit.nanos > 0),
        retriable_status_codes: codes.into_iter().collect(),
        ..on_another_host()
    })
}

fn report_unknown_event(draft: &mut Draft<'_>, path: &ResourcePath, event: &str) {
    let message = format!(
        "invalid retry event {event:?}: expected server-error, gateway-error, client-error, stream-error, connection-error \
         or a gRPC status"
    );
    draft.find(finding::UNKNOWN_RETRY_EVENT, path.clone(), message);
}

/// A retry goes to a host that was not tried, if there is one.
fn on_another_host() -> RetryPolicy {
    RetryPolicy {
        retry_host_predicate: vec![RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: Some(retry_host_predicate::ConfigType::TypedConfig(any(PreviousHostsPredicate::default()))),
        }],
        host_selection_retry_max_attempts: HOST_ATTEMPTS,
        ..RetryPolicy::default()
    }
}
