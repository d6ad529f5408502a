//! The list of failure metrics: metrics that report a failing target when they breach on a given side.
//!
//! An alarm on load is not an alarm on a failure, although it has the same dimensions. The metric's name and the side
//! of the breach decide: too few requests are a failure, too many are not.

use std::collections::BTreeMap;

use serde::Serialize;

use super::label;
use mesh::alarm::{Direction, LabelMatcher};
use policy::{Breach, FailureMetricsPolicy};

/// The kind of quantity that a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    /// Errors, timeouts, failed checks: too many are a failure.
    Failures,
    /// A duration: too long is a failure. Its fixtures count is the number of requests.
    Duration,
    /// Successes: too few are a failure, also if they are subtracted or a divisor.
    Successes,
    /// Requests or healthy hosts: too few are a failure, except in a divisor, where they only measure load.
    Presence,
}

use Quantity::{Duration, Failures, Presence, Successes};

/// Namespace pattern, name pattern, quantity. Names are compared in the normal form of [`plain`]. The first matching
/// entry applies.
const BUILT_IN: &[(&str, &str, Quantity)] = &[
    // App Mesh, and VPC Lattice and load balancers where they share the names.
    ("*", "httpcode_target_5xx_count", Failures),
    ("*", "httpcode_5xx_count", Failures),
    ("*", "httpcode_target_2xx_count", Successes),
    ("*", "httpcode_2xx_count", Successes),
    ("*", "targetresponsetime", Duration),
    ("*", "requestcount", Presence),
    ("*", "requestcountpertarget", Presence),
    ("*", "grpcrequestcount", Presence),
    // Load balancers and VPC Lattice.
    ("*", "unhealthyhostcount", Failures),
    ("*", "healthyhostcount", Presence),
    ("*", "targetconnectionerrorcount", Failures),
    ("*", "targettlsnegotiationerrorcount", Failures),
    ("aws/vpclattice", "connectionerrorcount", Failures),
    ("aws/vpclattice", "connectiontimeoutcount", Failures),
    ("aws/vpclattice", "tlsconnectionerrorcount", Failures),
    ("aws/vpclattice", "requesttime", Duration),
    // Envoy. The name of the cluster or of the listener may precede the name.
    ("*", "*upstream_rq_5*", Failures),
    ("*", "*upstream_rq_timeout", Failures),
    ("*", "*upstream_rq_per_try_timeout", Failures),
    ("*", "*upstream_rq_rx_reset", Failures),
    ("*", "*upstream_rq_retry_limit_exceeded", Failures),
    ("*", "*upstream_rq_pending_failure_eject", Failures),
    ("*", "*upstream_cx_connect_fail", Failures),
    ("*", "*upstream_cx_connect_timeout", Failures),
    ("*", "*upstream_cx_none_healthy", Failures),
    ("*", "*upstream_cx_destroy_remote_with_active_rq", Failures),
    ("*", "*outlier_detection_ejections_active", Failures),
    ("*", "*health_check_failure", Failures),
    ("*", "*health_check_healthy", Presence),
    ("*", "*membership_healthy", Presence),
    ("*", "*ssl_connection_error", Failures),
    ("*", "*ssl_fail_verify_*", Failures),
    ("*", "*upstream_rq_time", Duration),
    ("*", "*upstream_rq_2*", Successes),
    ("*", "*upstream_rq_completed", Presence),
    ("*", "*upstream_rq_total", Presence),
    ("*", "*upstream_rq_xx", Presence),
    ("*", "*upstream_rq", Presence),
    ("*", "*downstream_rq_5*", Failures),
    ("*", "*downstream_rq_timeout", Failures),
    ("*", "*downstream_rq_time", Duration),
    ("*", "*downstream_rq_2*", Successes),
    ("*", "*downstream_rq_completed", Presence),
    ("*", "*downstream_rq_xx", Presence),
    ("*", "*downstream_rq_total", Presence),
    // The semantic conventions of OpenTelemetry, stable and earlier names.
    ("*", "http_server_request_duration", Duration),
    ("*", "http_client_request_duration", Duration),
    ("*", "http_server_duration", Duration),
    ("*", "http_client_duration", Duration),
    ("*", "rpc_server_duration", Duration),
    ("*", "rpc_client_duration", Duration),
    ("*", "rpc_server_call_duration", Duration),
    ("*", "rpc_client_call_duration", Duration),
    ("*", "http_requests", Presence),
    ("*", "http_server_requests", Presence),
    ("*", "grpc_server_handled", Presence),
    ("*", "grpc_client_handled", Presence),
    // Common names of custom metrics.
    ("*", "error", Failures),
    ("*", "errors", Failures),
    ("*", "*errorrate*", Failures),
    ("*", "*error_rate*", Failures),
    ("*", "*errorratio*", Failures),
    ("*", "*error_ratio*", Failures),
    ("*", "*errorcount*", Failures),
    ("*", "*error_count*", Failures),
    ("*", "*_errors", Failures),
    ("*", "fault", Failures),
    ("*", "faults", Failures),
    ("*", "*faultrate*", Failures),
    ("*", "*5xx*", Failures),
    ("*", "failures", Failures),
    ("*", "*_failures", Failures),
    ("*", "*failurerate*", Failures),
    ("*", "*failure_rate*", Failures),
    ("*", "statuscheckfailed*", Failures),
    ("*", "*latency*", Duration),
    ("*", "*responsetime*", Duration),
    ("*", "*response_time*", Duration),
    ("*", "*successrate*", Successes),
    ("*", "*success_rate*", Successes),
    ("*", "*availability*", Successes),
    ("*", "healthcheckstatus", Presence),
    ("*", "*heartbeat*", Presence),
    ("*", "up", Presence),
];

/// One use of a metric by an alarm.
#[derive(Clone, Debug)]
pub(super) struct Usage<'a> {
    pub(super) namespace: &'a str,
    pub(super) metric: &'a str,
    /// The statistic, for example `Sum`; empty if there is none.
    pub(super) stat: &'a str,
    /// The dimensions, or the labels as matchers.
    pub(super) labels: Vec<LabelMatcher>,
    pub(super) direction: Direction,
    pub(super) is_measured: bool,
}

/// The entry by which a metric counts as a failure metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureEntry {
    /// The metric.
    pub metric: String,
    /// The pattern of the list that matches it.
    pub entry: String,
    /// Whether the entry comes from the policy.
    pub from_policy: bool,
}

/// The entry of the list by which this use of a metric reports a failure.
pub(super) fn failure(usage: &Usage<'_>, policy: &FailureMetricsPolicy) -> Option<FailureEntry> {
    let name = plain(usage.metric);
    let namespace = usage.namespace.to_lowercase();
    let found = |entry: &str, from_policy| {
        Some(FailureEntry { metric: usage.metric.to_owned(), entry: entry.to_owned(), from_policy })
    };
    for added in &policy.add {
        let in_namespace = added.namespace.as_ref().is_none_or(|wanted| matches(&wanted.to_lowercase(), &namespace));
        let quantity = match added.breach {
            Breach::Above => Failures,
            Breach::Below => Successes,
        };
        if in_namespace && matches(&plain(&added.metric), &name) {
            return if fails(quantity, usage) { found(&added.metric, true) } else { None };
        }
    }
    if !policy.built_in || policy.remove.iter().any(|removed| matches(&plain(removed), &name)) {
        return None;
    }
    let matching =
        |(wanted, pattern, _): &&(&str, &str, Quantity)| matches(wanted, &namespace) && matches(pattern, &name);
    let (_, entry, quantity) = BUILT_IN.iter().find(matching)?;
    if fails(*quantity, usage) { found(entry, false) } else { None }
}

fn fails(quantity: Quantity, usage: &Usage<'_>) -> bool {
    let is_error = usage.labels.iter().any(is_error);
    let counts_samples = usage.stat.eq_ignore_ascii_case("SampleCount");
    let quantity = match quantity {
        Presence | Duration if is_error => Failures,
        Duration if counts_samples || usage.metric.ends_with("_count") => Presence,
        Failures | Duration | Successes | Presence => quantity,
    };
    match (quantity, usage.direction) {
        // Outside an anomaly band: errors and durations exceed the upper bound when a target fails.
        (Failures | Duration, Direction::Above | Direction::Either) | (Successes, Direction::Below) => true,
        (Presence, Direction::Below) => usage.is_measured,
        (Failures | Duration, Direction::Below) | (Successes | Presence, Direction::Above | Direction::Either) => false,
    }
}

/// Whether a label restricts a metric to failed requests.
fn is_error(found: &LabelMatcher) -> bool {
    let name = label::plain(&found.label);
    let (selects, value) = (!found.operator.starts_with('!'), found.value.as_str());
    match name.as_str() {
        "error_type" | "error" | "exception_type" => {
            (selects && !matches!(value, "" | "false")) || (!selects && value.is_empty())
        }
        "status"
        | "code"
        | "status_code"
        | "http_status_code"
        | "http_response_status_code"
        | "response_code"
        | "response_code_class"
        | "envoy_response_code"
        | "envoy_response_code_class"
        | "http_code" => selects && value.trim_start_matches(['^', '(']).starts_with('5'),
        "grpc_code" | "grpc_status" | "rpc_grpc_status_code" => {
            if selects {
                !matches!(value, "" | "0" | "OK" | ".*" | ".+")
            } else {
                matches!(value, "0" | "OK" | "0|OK")
            }
        }
        _ => false,
    }
}

/// The dimensions, as label matchers.
pub(super) fn matchers(dimensions: &BTreeMap<String, String>) -> Vec<LabelMatcher> {
    let matcher = |(label, value): (&String, &String)| LabelMatcher {
        label: label.clone(),
        operator: "=".to_owned(),
        value: value.clone(),
    };
    dimensions.iter().map(matcher).collect()
}

/// The normal form of a metric's name: lower case, underscores, without the prefixes and suffixes that exporters add.
fn plain(metric: &str) -> String {
    let mut name: String = metric
        .chars()
        .map(|character| if matches!(character, '.' | '-' | ' ' | '/') { '_' } else { character })
        .collect::<String>()
        .to_lowercase();
    for prefix in ["envoy_", "appmesh_", "cluster_", "aws_appmesh_"] {
        if let Some(rest) = name.strip_prefix(prefix) {
            name = rest.to_owned();
        }
    }
    for suffix in ["_total", "_bucket", "_sum", "_count", "_seconds", "_milliseconds", "_ms"] {
        if let Some(rest) = name.strip_suffix(suffix)
            // These suffixes are part of the name.
            && !name.ends_with("xx_count")
            && !name.ends_with("error_count")
            && !name.ends_with("rq_total")
        {
            name = rest.to_owned();
        }
    }
    name
}

/// Whether a text matches a pattern in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = rest.split('*').collect();
    let Some((last, middle)) = parts.split_last() else { return true };
    for part in middle {
        match left.find(part) {
            Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::fixtures::policy;

    #[test]
    fn pattern_matches_with_stars() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*a", "ba", true),
            ("a*", "ab", true),
            ("*a*b*", "xaybz", true),
            ("*a*b", "ab", true),
            ("*a*b", "ba", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    fn counts(metric: &str, namespace: &str, stat: &str, labels: &[(&str, &str)], direction: Direction) -> bool {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let labels = matchers(&labels);
        let usage = Usage { namespace, metric, stat, labels, direction, is_measured: true };
        failure(&usage, &FailureMetricsPolicy::default()).is_some()
    }

    #[test]
    fn built_in_list_knows_names_and_directions() {
        use Direction::{Above, Below, Either};
        // metric, whether it counts above, below, and outside a band
        for (metric, above, below, outside) in [
            ("HTTPCode_Target_5XX_Count", true, false, true),
            ("envoy.appmesh.HTTPCode_Target_5XX_Count", true, false, true),
            ("envoy_appmesh_TargetResponseTime", true, false, true),
            ("HTTPCode_Target_4XX_Count", false, false, false),
            ("HTTPCode_Target_2XX_Count", false, true, false),
            ("RequestCount", false, true, false),
            ("envoy.appmesh.RequestCountPerTarget", false, true, false),
            ("ActiveConnectionCount", false, false, false),
            ("NewConnectionCount", false, false, false),
            ("ProcessedBytes", false, false, false),
            ("TargetProcessedBytes", false, false, false),
            ("CPUUtilization", false, false, false),
            ("upstream_rq_5xx", true, false, true),
            ("envoy_cluster_upstream_rq_5xx", true, false, true),
            ("envoy.cluster.upstream_rq_5xx", true, false, true),
            ("cluster.cds_egress_shop_catalog-v2_http_8080.upstream_rq_503", true, false, true),
            ("envoy_cluster_upstream_rq_timeout", true, false, true),
            ("cluster.upstream_cx_connect_fail", true, false, true),
            ("envoy_cluster_upstream_cx_active", false, false, false),
            ("envoy_cluster_upstream_rq_active", false, false, false),
            ("envoy_cluster_upstream_rq_total", false, true, false),
            ("envoy_cluster_upstream_rq_time_bucket", true, false, true),
            ("envoy_cluster_membership_healthy", false, true, false),
            ("envoy_http_downstream_rq_5xx", true, false, true),
            ("http.server.request.duration", true, false, true),
            ("http_client_request_duration_seconds_bucket", true, false, true),
            ("UnHealthyHostCount", true, false, true),
            ("HealthyHostCount", false, true, false),
            ("Errors", true, false, true),
            ("ErrorRate-catalog-v2", true, false, true),
            ("SuccessRate", false, true, false),
            ("Heartbeat", false, true, false),
        ] {
            let found = [Above, Below, Either].map(|side| counts(metric, "AppMesh", "Sum", &[], side));
            assert_eq!(found, [above, below, outside], "{metric}");
        }
    }

    #[test]
    fn sample_count_of_a_duration_counts_as_requests() {
        let duration = "http.server.request.duration";
        assert!(!counts(duration, "OTel", "SampleCount", &[], Direction::Above));
        assert!(counts(duration, "OTel", "SampleCount", &[], Direction::Below));
        assert!(!counts("http_server_request_duration_seconds_count", "", "", &[], Direction::Above));
        assert!(!counts("TargetResponseTime", "AppMesh", "SampleCount", &[], Direction::Above));
    }

    #[test]
    fn label_can_restrict_a_metric_to_failed_requests() {
        let duration = "http.client.request.duration";
        for (labels, expected) in [
            (vec![("http.response.status_code", "503")], true),
            (vec![("error.type", "timeout")], true),
            (vec![("http.response.status_code", "200")], false),
            (vec![("http.request.method", "GET")], false),
        ] {
            assert_eq!(counts(duration, "", "SampleCount", &labels, Direction::Above), expected, "{labels:?}");
        }
        let class = [("envoy_response_code_class", "5")];
        assert!(counts("envoy_cluster_upstream_rq_xx", "", "", &class, Direction::Above));
        assert!(!counts("envoy_cluster_upstream_rq_xx", "", "", &[], Direction::Above));
        assert!(counts("http_requests_total", "", "", &[("code", "5..")], Direction::Above));
    }

    #[test]
    fn names_of_lattice_count_in_their_namespace_only() {
        assert!(counts("RequestTime", "AWS/VpcLattice", "Average", &[], Direction::Above));
        assert!(!counts("RequestTime", "Custom", "Average", &[], Direction::Above));
    }

    #[test]
    fn policy_adds_and_removes_metrics() {
        let policy = policy(
            "failureMetrics:\n  add: [{metric: Queue.Depth, namespace: Custom}, {metric: GoodCalls, breach: below}]\n  \
             remove: [RequestCount, \"*5xx*\"]",
        );
        let failure_metrics = &policy.failover.failure_metrics;
        for (metric, namespace, direction, expected) in [
            ("Queue-Depth", "custom", Direction::Above, true),
            ("QueueDepth", "custom", Direction::Above, false),
            ("Queue.Depth", "Other", Direction::Above, false),
            ("GoodCalls", "", Direction::Below, true),
            ("GoodCalls", "", Direction::Above, false),
            ("RequestCount", "AppMesh", Direction::Below, false),
            ("HTTPCode_Target_5XX_Count", "AppMesh", Direction::Above, false),
            ("TargetResponseTime", "AppMesh", Direction::Above, true),
        ] {
            let labels = Vec::new();
            let usage = Usage { namespace, metric, stat: "Sum", labels, direction, is_measured: true };
            assert_eq!(failure(&usage, failure_metrics).is_some(), expected, "{metric} {namespace}");
        }
    }
}
