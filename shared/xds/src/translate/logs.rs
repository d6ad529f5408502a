//! Access logs.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::accesslog::v3::{AccessLog, access_log};
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::FileAccessLog;
use envoy_types::pb::google::protobuf::{Any, Value, value};
use mesh::spec::{AccessLog as AccessLogSpec, Logging, LoggingFormat};
use prost::{Message as _, Name as _};

use super::draft::Draft;
use super::finding;
use super::proto::inline;

impl Draft<'_> {
    /// The logs that a spec asks for. A format that Envoy can't read would cost the whole listener, so Envoy's own
    /// format stands in for it.
    pub(super) fn access_logs(&mut self, logging: Option<&Logging>) -> Vec<AccessLog> {
        let Some(AccessLogSpec::File(file)) = logging.and_then(|logging| logging.access_log.as_ref()) else {
            return Vec::new();
        };
        let log_format = file.format.as_ref().and_then(|format| self.format(format));
        let log = FileLog { path: file.path.to_string(), log_format };
        vec![AccessLog {
            name: "envoy.access_loggers.file".to_owned(),
            config_type: Some(access_log::ConfigType::TypedConfig(log.packed())),
            ..AccessLog::default()
        }]
    }

    fn format(&mut self, format: &LoggingFormat) -> Option<LogFormat> {
        let (texts, format) = match format {
            LoggingFormat::Text(text) => {
                // Envoy writes lines only where the format has their ends.
                let line = if text.as_str().ends_with('\n') { text.to_string() } else { format!("{text}\n") };
                (vec![text.to_string()], LogFormat { json: None, text: Some(inline(&line)) })
            }
            LoggingFormat::Json(members) => {
                let texts = members.iter().map(|member| member.value.to_string()).collect();
                let fields = members.iter().map(|member| {
                    let text = Value { kind: Some(value::Kind::StringValue(member.value.to_string())) };
                    (member.key.to_string(), text)
                });
                (texts, LogFormat { json: Some(Fields { fields: fields.collect() }), text: None })
            }
            LoggingFormat::Unrecognised(_) => return None,
        };
        if let Some(why) = texts.iter().find_map(|text| fault(text)) {
            let path = self.path();
            let message = format!("the access log format {why}; Envoy's own format is used");
            self.find(finding::BAD_LOG_FORMAT, path, message);
            return None;
        }
        Some(format)
    }
}

/// `envoy.extensions.access_loggers.file.v3.FileAccessLog`, as far as it is used here.
///
/// The generated type holds a format's members in a map without order, and so would have another encoding, and another
/// version, each time it is made: every proxy would be sent its listeners anew with every change of the mesh.
#[derive(Clone, PartialEq, prost::Message)]
struct FileLog {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(message, optional, tag = "5")]
    log_format: Option<LogFormat>,
}

/// `envoy.config.core.v3.SubstitutionFormatString`: one of the two.
#[derive(Clone, PartialEq, prost::Message)]
struct LogFormat {
    #[prost(message, optional, tag = "2")]
    json: Option<Fields>,
    #[prost(message, optional, tag = "5")]
    text: Option<DataSource>,
}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, prost::Message)]
struct Fields {
    #[prost(btree_map = "string, message", tag = "1")]
    fields: BTreeMap<String, Value>,
}

impl FileLog {
    fn packed(&self) -> Any {
        Any { type_url: FileAccessLog::type_url(), value: self.encode_to_vec() }
    }
}

/// The command operators of Envoy 1.40, from its documentation of access logging.
const OPERATORS: &[&str] = &[
    "ACCESS_LOG_TYPE",
    "BYTES_RECEIVED",
    "BYTES_RETRANSMITTED",
    "BYTES_SENT",
    "CEL",
    "CLUSTER_METADATA",
    "COMMON_DURATION",
    "CONNECTION_ID",
    "CONNECTION_TERMINATION_DETAILS",
    "COALESCE",
    "CUSTOM_FLAGS",
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS",
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_DIRECT_LOCAL_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_PORT",
    "DOWNSTREAM_HANDSHAKE_DURATION",
    "DOWNSTREAM_HEADER_BYTES_RECEIVED",
    "DOWNSTREAM_HEADER_BYTES_SENT",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_LOCAL_DNS_SAN",
    "DOWNSTREAM_LOCAL_EMAIL_SAN",
    "DOWNSTREAM_LOCAL_IP_SAN",
    "DOWNSTREAM_LOCAL_OTHERNAME_SAN",
    "DOWNSTREAM_LOCAL_PORT",
    "DOWNSTREAM_LOCAL_SUBJECT",
    "DOWNSTREAM_LOCAL_URI_SAN",
    "DOWNSTREAM_PEER_CERT",
    "DOWNSTREAM_PEER_CERT_V_END",
    "DOWNSTREAM_PEER_CERT_V_START",
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1",
    "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256",
    "DOWNSTREAM_PEER_CHAIN_SERIALS",
    "DOWNSTREAM_PEER_DNS_SAN",
    "DOWNSTREAM_PEER_EMAIL_SAN",
    "DOWNSTREAM_PEER_FINGERPRINT_1",
    "DOWNSTREAM_PEER_FINGERPRINT_256",
    "DOWNSTREAM_PEER_IP_SAN",
    "DOWNSTREAM_PEER_ISSUER",
    "DOWNSTREAM_PEER_OTHERNAME_SAN",
    "DOWNSTREAM_PEER_SERIAL",
    "DOWNSTREAM_PEER_SUBJECT",
    "DOWNSTREAM_PEER_URI_SAN",
    "DOWNSTREAM_REMOTE_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_REMOTE_PORT",
    "DOWNSTREAM_TLS_CIPHER",
    "DOWNSTREAM_TLS_SESSION_ID",
    "DOWNSTREAM_TLS_VERSION",
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
    "DOWNSTREAM_WIRE_BYTES_RECEIVED",
    "DOWNSTREAM_WIRE_BYTES_SENT",
    "DURATION",
    "DYNAMIC_METADATA",
    "EMIT_TIME",
    "ENVIRONMENT",
    "FILTER_CHAIN_NAME",
    "FILTER_STATE",
    "GRPC_STATUS",
    "GRPC_STATUS_NUMBER",
    "HOSTNAME",
    "LISTENER_METADATA",
    "LOCAL_CLOSE_REASON",
    "LOCAL_REPLY_BODY",
    "METADATA",
    "PATH",
    "PROTOCOL",
    "QUERY_PARAM",
    "QUERY_PARAMS",
    "REQ",
    "REQUESTED_SERVER_NAME",
    "REQUEST_DURATION",
    "REQUEST_HEADER_BYTES",
    "REQUEST_TX_DURATION",
    "REQUEST_HEADERS_BYTES",
    "RESP",
    "RESPONSE_CODE",
    "RESPONSE_CODE_DETAILS",
    "RESPONSE_DURATION",
    "RESPONSE_FLAGS",
    "RESPONSE_FLAGS_LONG",
    "RESPONSE_HEADERS_BYTES",
    "RESPONSE_TRAILERS_BYTES",
    "RESPONSE_TX_DURATION",
    "ROUNDTRIP_DURATION",
    "ROUTE_METADATA",
    "ROUTE_NAME",
    "SPAN_ID",
    "START_TIME",
    "START_TIME_LOCAL",
    "STREAM_ID",
    "TLS_JA3_FINGERPRINT",
    "TLS_JA4_FINGERPRINT",
    "TRACE_ID",
    "TRAILER",
    "UNIQUE_ID",
    "UPSTREAM_CLUSTER",
    "UPSTREAM_CLUSTER_RAW",
    "UPSTREAM_CONNECTION_ID",
    "UPSTREAM_CONNECTION_POOL_READY_DURATION",
    "UPSTREAM_DETECTED_CLOSE_TYPE",
    "UPSTREAM_FILTER_STATE",
    "UPSTREAM_HEADER_BYTES_RECEIVED",
    "UPSTREAM_HEADER_BYTES_SENT",
    "UPSTREAM_HOST",
    "UPSTREAM_HOST_NAME",
    "UPSTREAM_HOST_NAME_WITHOUT_PORT",
    "UPSTREAM_HOSTS_ATTEMPTED",
    "UPSTREAM_LOCAL_ADDRESS",
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_LOCAL_CLOSE_REASON",
    "UPSTREAM_LOCAL_DNS_SAN",
    "UPSTREAM_LOCAL_IP_SAN",
    "UPSTREAM_LOCAL_PORT",
    "UPSTREAM_LOCAL_SUBJECT",
    "UPSTREAM_LOCAL_URI_SAN",
    "UPSTREAM_METADATA",
    "UPSTREAM_PEER_CERT",
    "UPSTREAM_PEER_CERT_V_END",
    "UPSTREAM_PEER_CERT_V_START",
    "UPSTREAM_PEER_DNS_SAN",
    "UPSTREAM_PEER_IP_SAN",
    "UPSTREAM_PEER_ISSUER",
    "UPSTREAM_PEER_SUBJECT",
    "UPSTREAM_PEER_URI_SAN",
    "UPSTREAM_PROTOCOL",
    "UPSTREAM_REMOTE_ADDRESS",
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_REMOTE_PORT",
    "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    "UPSTREAM_TLS_CIPHER",
    "UPSTREAM_TLS_SESSION_ID",
    "UPSTREAM_TLS_VERSION",
    "UPSTREAM_TRANSPORT_FAILURE_REASON",
    "UPSTREAM_WIRE_BYTES_RECEIVED",
    "UPSTREAM_WIRE_BYTES_SENT",
    "VIRTUAL_CLUSTER_NAME",
];

/// What is wrong with a format, if anything.
fn fault(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        // Two are one in the line.
        if let Some(after) = after.strip_prefix('%') {
            rest = after;
            continue;
        }
        let in_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let name_end = after.find(|c| !in_name(c)).unwrap_or(after.len());
        let (name, after) = after.split_at(name_end);
        if !OPERATORS.contains(&name) {
            return Some(format!("has %{name}..., which is no operator of Envoy's (a percent sign is written %%)"));
        }
        let after = match after.strip_prefix('(') {
            Some(arguments) => match arguments.split_once(')') {
                Some((_, after)) => after,
                None => return Some(format!("has no closing bracket after %{name}(")),
            },
            None => after,
        };
        let after =
            after.strip_prefix(':').map_or(after, |length| length.trim_start_matches(|c: char| c.is_ascii_digit()));
        rest = match after.strip_prefix('%') {
            Some(rest) => rest,
            None => return Some(format!("has no closing percent sign after %{name}")),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn formats_are_judged() {
        for good in
            ["", "plain", "%START_TIME%", "%REQ(:METHOD)% %REQ(X-A?X-B):20%\n", "100 %%", "%RESPONSE_CODE%%PROTOCOL%"]
        {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in ["%NONSENSE%", "%REQ(:METHOD%", "%RESPONSE_CODE", "100 % sure", "%%%"] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
