//! Access logs.

use std::collections::BTreeSet;

use crate::pack::context::RuleContext;
use crate::pack::controls::{LOGS, SECRETS};
use crate::pack::finding::{RuleFindings, facts};
use crate::pack::rule::{Group, Profile, Rule, Severity};
use mesh::change::Change;
use mesh::name::{ResourceKind, ResourcePath};
use mesh::spec::{AccessLog, FileAccessLog, Logging, LoggingFormat};

const LOG: Rule = Rule {
    id: "",
    profile: Profile::Recommended,
    group: Group::Observability,
    severity: Severity::Medium,
    on: &[ResourceKind::VirtualNode, ResourceKind::VirtualGateway],
    title: "",
    why: "",
    remedy: "",
    managed: &[],
    controls: LOGS,
    rests_on_certificates: false,
    check: node_without,
};

/// The log file that the container runtime collects.
const STANDARD_OUTPUT: &str = "/dev/stdout";

/// Headers that contain credentials, in lower case.
const SECRET_HEADERS: [&str; 9] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-amz-security-token",
    "x-api-key",
    "x-auth-token",
    "x-csrf-token",
    "x-session-token",
];

pub(super) const RULES: &[Rule] = &[
    Rule {
        id: "node-without-access-log",
        profile: Profile::Strict,
        on: &[ResourceKind::VirtualNode],
        title: "A virtual node logs no requests",
        why: "After an incident, the calls and their responses can't be reconstructed.",
        remedy: "Log to `/dev/stdout`, from which the container runtime collects it. That is the remediation.",
        managed: &["appmesh-virtual-node-logging-file-path-exists"],
        check: node_without,
        ..LOG
    },
    Rule {
        id: "gateway-without-access-log",
        profile: Profile::Strict,
        on: &[ResourceKind::VirtualGateway],
        title: "A virtual gateway logs no requests",
        why: "Outside traffic enters at the gateway; without a log it is not recorded.",
        remedy: "Log to `/dev/stdout`, from which the container runtime collects it. That is the remediation.",
        managed: &["appmesh-virtual-gateway-logging-file-path-exists"],
        check: gateway_without,
        ..LOG
    },
    Rule {
        id: "log-with-secret-header",
        severity: Severity::High,
        title: "An access log contains a header with credentials",
        why: "Every reader of the logs can use the tokens and session cookies in them, for as long as logs are kept.",
        remedy: "Remove the header from the format, and revoke the credentials that were logged.",
        controls: SECRETS,
        check: secret,
        ..LOG
    },
    Rule {
        id: "log-on-disk",
        severity: Severity::Low,
        title: "An access log goes to a file that is neither collected nor rotated",
        why: "The file is in the proxy's container: it is deleted with the task, and until then it grows until the \
              disk is full. A path that cannot be opened makes the proxy refuse its whole listener.",
        remedy: "Log to `/dev/stdout` or `/dev/stderr`, or waive the finding where the file is collected.",
        check: on_disk,
        ..LOG
    },
    Rule {
        id: "log-without-request-id",
        profile: Profile::Strict,
        severity: Severity::Info,
        title: "An access log cannot be correlated between proxies",
        why: "Its format has neither the request id nor a trace header, so the lines of one request in the logs of \
              several proxies cannot be joined.",
        remedy: "Add `%REQ(X-REQUEST-ID)%` to the format.",
        check: no_request_id,
        ..LOG
    },
];

fn file(logging: Option<&Logging>) -> Option<&FileAccessLog> {
    match logging?.access_log.as_ref()? {
        AccessLog::File(file) => Some(file),
        AccessLog::Unrecognised(_) => None,
    }
}

fn logs_somewhere(logging: Option<&Logging>) -> bool {
    logging.is_some_and(|logging| logging.access_log.is_some())
}

fn node_without(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    let has_proxy = context.nodes().filter(|(name, _)| !context.is_outside(name));
    for (name, _) in has_proxy.filter(|(_, node)| !logs_somewhere(node.logging.as_ref())) {
        without(found, context.node_path(name));
    }
}

fn gateway_without(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (name, _) in context.gateways().filter(|(_, gateway)| !logs_somewhere(gateway.logging.as_ref())) {
        without(found, context.gateway_path(name));
    }
}

fn without(found: &mut RuleFindings<'_>, path: ResourcePath) {
    let change = Change::SetAccessLog { resource: path.clone(), path: STANDARD_OUTPUT.to_owned() };
    found.on(path, "it has no access log", facts! {}).remediation = Some(change);
}

fn logs<'a>(context: &RuleContext<'a>) -> Vec<(ResourcePath, &'a FileAccessLog)> {
    let nodes =
        context.nodes().filter_map(|(name, node)| Some((context.node_path(name), file(node.logging.as_ref())?)));
    let gateways = context
        .gateways()
        .filter_map(|(name, gateway)| Some((context.gateway_path(name), file(gateway.logging.as_ref())?)));
    nodes.chain(gateways).collect()
}

/// The texts of a format that may contain operators.
fn texts(format: &LoggingFormat) -> Vec<&str> {
    match format {
        LoggingFormat::Text(text) => vec![text.as_str()],
        LoggingFormat::Json(members) => members.iter().map(|member| member.value.as_str()).collect(),
        LoggingFormat::Unrecognised(_) => Vec::new(),
    }
}

/// The headers that a text logs, in lower case: those of `%REQ(...)%`, `%RESP(...)%` and `%TRAILER(...)%`, with the
/// alternative after the question mark.
fn headers(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for command in text.split('%').skip(1).step_by(2) {
        let Some((name, rest)) = command.split_once('(') else { continue };
        if !matches!(name, "REQ" | "RESP" | "TRAILER" | "REQ_WITHOUT_QUERY") {
            continue;
        }
        let named = rest.split(')').next().unwrap_or_default();
        found.extend(named.split('?').map(|header| header.trim().to_ascii_lowercase()));
    }
    found
}

fn secret(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (path, log) in logs(context) {
        let named = log.format.iter().flat_map(texts).flat_map(headers);
        let secrets: BTreeSet<String> = named.filter(|header| SECRET_HEADERS.contains(&header.as_str())).collect();
        if !secrets.is_empty() {
            let listed: Vec<&str> = secrets.iter().map(String::as_str).collect();
            found.on(path, format!("its log contains {}", listed.join(", ")), facts! {"headers": listed});
        }
    }
}

fn on_disk(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (path, log) in logs(context) {
        let file = log.path.as_str();
        if !matches!(file, STANDARD_OUTPUT | "/dev/stderr" | "/dev/null") {
            found.on(path, format!("it logs to {file}"), facts! {"path": file});
        }
    }
}

fn no_request_id(context: &RuleContext<'_>, found: &mut RuleFindings<'_>) {
    for (path, log) in logs(context) {
        // Envoy's default format contains the id.
        let Some(format) = &log.format else { continue };
        let known = matches!(format, LoggingFormat::Text(_) | LoggingFormat::Json(_));
        let follows = |header: String| {
            matches!(header.as_str(), "x-request-id" | "traceparent" | "x-amzn-trace-id" | "x-b3-traceid")
        };
        if known && !texts(format).into_iter().flat_map(headers).any(follows) {
            found.on(path, "its log format has no request id", facts! {});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_a_format_are_found() {
        for (text, expected) in [
            ("%REQ(Authorization)% x", vec!["authorization"]),
            ("[%START_TIME%] \"%REQ(:METHOD)% %RESP(Set-Cookie):20%\"", vec![":method", "set-cookie"]),
            ("%REQ(X-ID?Cookie)%", vec!["x-id", "cookie"]),
            ("100%% REQ(Cookie)", vec![]),
            ("REQ(Cookie)", vec![]),
            ("%REQ(", vec![""]),
            ("", vec![]),
        ] {
            assert_eq!(headers(text), expected, "{text}");
        }
    }
}
