//! Durations that cannot be read, in every member that has one.

use crate::pack::context::RuleContext;
use crate::pack::controls::AVAILABILITY;
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::name::ResourceKind;
use mesh::spec::{Duration, GrpcTimeout, HttpTimeout, Listener, ListenerTimeout, RouteRule, TcpTimeout};

pub(super) const RULES: &[Rule] = &[Rule {
    id: "duration-incomplete",
    profile: Profile::Recommended,
    group: Group::Retries,
    severity: Severity::Low,
    on: &[ResourceKind::Route, ResourceKind::VirtualNode],
    title: "A time limit has no unit or no value",
    why: "The API accepts it, but its meaning is undefined; the data plane ignores it and uses the default. This applies \
          to the timeouts of routes and listeners, to retry policies and to outlier detection.",
    remedy: "Give both `unit` and `value`.",
    managed: &[],
    controls: AVAILABILITY,
    rests_on_certificates: false,
    check: incomplete,
}];

/// The durations of a spec, each with its member.
type Durations<'a> = Vec<(&'static str, Option<&'a Duration>)>;

fn of_http(timeout: Option<&HttpTimeout>) -> Durations<'_> {
    vec![
        ("timeout.perRequest", timeout.and_then(|timeout| timeout.per_request.as_ref())),
        ("timeout.idle", timeout.and_then(|timeout| timeout.idle.as_ref())),
    ]
}

fn of_grpc(timeout: Option<&GrpcTimeout>) -> Durations<'_> {
    vec![
        ("timeout.perRequest", timeout.and_then(|timeout| timeout.per_request.as_ref())),
        ("timeout.idle", timeout.and_then(|timeout| timeout.idle.as_ref())),
    ]
}

fn of_tcp(timeout: Option<&TcpTimeout>) -> Durations<'_> {
    vec![("timeout.idle", timeout.and_then(|timeout| timeout.idle.as_ref()))]
}

fn of_route(rule: &RouteRule) -> Durations<'_> {
    const PER_TRY: &str = "retryPolicy.perRetryTimeout";
    match rule {
        RouteRule::Http(route) | RouteRule::Http2(route) => {
            let mut all = of_http(route.timeout.as_ref());
            all.push((PER_TRY, route.retry_policy.as_ref().map(|policy| &policy.per_retry_timeout)));
            all
        }
        RouteRule::Grpc(route) => {
            let mut all = of_grpc(route.timeout.as_ref());
            all.push((PER_TRY, route.retry_policy.as_ref().map(|policy| &policy.per_retry_timeout)));
            all
        }
        RouteRule::Tcp(route) => of_tcp(route.timeout.as_ref()),
        RouteRule::Unrecognised(_) => Vec::new(),
    }
}

/// The durations of a listener, with the member of its protocol where there is one.
fn of_listener(listener: &Listener) -> Vec<(String, Option<&Duration>)> {
    let (protocol, timeouts) = match listener.timeout.as_ref() {
        Some(ListenerTimeout::Http(timeout)) => ("http", of_http(Some(timeout))),
        Some(ListenerTimeout::Http2(timeout)) => ("http2", of_http(Some(timeout))),
        Some(ListenerTimeout::Grpc(timeout)) => ("grpc", of_grpc(Some(timeout))),
        Some(ListenerTimeout::Tcp(timeout)) => ("tcp", of_tcp(Some(timeout))),
        Some(ListenerTimeout::Unrecognised(_)) | None => ("", Vec::new()),
    };
    let ejection = listener.outlier_detection.iter().flat_map(|detection| {
        [
            ("outlierDetection.interval", &detection.interval),
            ("outlierDetection.baseEjectionDuration", &detection.base_ejection_duration),
        ]
    });
    let timeouts = timeouts.into_iter().map(|(member, given)| {
        let member = member.replace("timeout.", &format!("timeout.{protocol}."));
        (member, given)
    });
    timeouts.chain(ejection.map(|(member, given)| (member.to_owned(), Some(given)))).collect()
}

fn is_unreadable(given: Option<&Duration>) -> bool {
    given.is_some_and(|given| given.length().is_none())
}

fn incomplete(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (router, name, route) in context.routes() {
        for (member, _) in of_route(&route.rule).into_iter().filter(|(_, given)| is_unreadable(*given)) {
            let message = format!("its {member} cannot be read: unit or value is missing");
            found.on_part(context.route_path(router, name), member.to_owned(), message, facts! {"member": member});
        }
    }
    for (name, node) in context.nodes() {
        for listener in node.listeners() {
            let port = listener.port_mapping.port;
            for (member, _) in of_listener(listener).into_iter().filter(|(_, given)| is_unreadable(*given)) {
                let message = format!("listener {port}: its {member} cannot be read: unit or value is missing");
                let of_listener = format!("listener {port} {member}");
                found.on_part(context.node_path(name), of_listener, message, facts! {"member": member, "port": port});
            }
        }
    }
}
