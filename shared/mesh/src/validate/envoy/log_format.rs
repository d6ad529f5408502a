//! Formats of access logs, as Envoy parses them. Envoy refuses the whole listener for a format that it cannot parse.
//!
//! Each table below was verified with Envoy 1.40. `CEL` and `COALESCE` are separate languages and are not included. The
//! App Mesh images did not support them, so a format with one of them counts as one that cannot be parsed.

/// Why Envoy refuses a format; `None` for a format that it accepts.
pub(super) fn fault(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        // Two percent signs are one percent sign in the log line.
        rest = match after.strip_prefix('%') {
            Some(after) => after,
            None => match Operator::read(after) {
                Ok((operator, after)) => match operator.fault() {
                    Some(why) => return Some(format!("operator %{}% {why}", operator.name)),
                    None => after,
                },
                Err(why) => return Some(why),
            },
        };
    }
    None
}

/// The operator `%NAME(BRACKETS):LENGTH%`; only the name is required.
#[derive(Debug, Clone, Copy)]
struct Operator<'t> {
    name: &'t str,
    brackets: &'t str,
    has_length: bool,
}

impl<'t> Operator<'t> {
    /// Reads an operator after its first percent sign; also returns the text after its last one.
    fn read(text: &'t str) -> Result<(Self, &'t str), String> {
        let in_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let (name, after) = text.split_at(text.find(|c| !in_name(c)).unwrap_or(text.len()));
        if name.is_empty() {
            return Err("a percent sign begins no operator (write `%%` for a percent sign)".to_owned());
        }
        let (brackets, after) = match after.strip_prefix('(') {
            Some(brackets) => {
                brackets.split_once(')').ok_or_else(|| format!("operator %{name}% has no closing bracket"))?
            }
            None => ("", after),
        };
        if brackets.contains('\n') {
            return Err(format!("operator %{name}% has a line break in its brackets"));
        }
        let (length, after) = match after.strip_prefix(':') {
            Some(length) => {
                let end = length.find(|c: char| !c.is_ascii_digit()).unwrap_or(length.len());
                let (length, after) = length.split_at(end);
                (Some(length), after)
            }
            None => (None, after),
        };
        if length.is_some_and(|length| length.parse::<u32>().is_err()) {
            return Err(format!("operator %{name}% has no number of 32 bits after its colon"));
        }
        let after = after.strip_prefix('%').ok_or_else(|| format!("operator %{name}% has no closing percent sign"))?;
        Ok((Self { name, brackets, has_length: length.is_some() }, after))
    }

    fn fault(&self) -> Option<String> {
        let Self { name, brackets, has_length } = *self;
        let takes_length = TAKE_LENGTH.contains(&name);
        if has_length && !takes_length {
            return Some("takes no length".to_owned());
        }
        if PLAIN.contains(&name) {
            return (!brackets.is_empty()).then(|| "takes nothing in brackets".to_owned());
        }
        if BRACKETS.contains(&name) {
            return None;
        }
        if HEADERS.contains(&name) {
            return header_fault(brackets);
        }
        if NEED_BRACKETS.contains(&name) {
            return brackets.is_empty().then(|| "needs a value in brackets".to_owned());
        }
        let mut words = brackets.split(':');
        let first = words.next().unwrap_or_default();
        match name {
            "FILTER_STATE" | "UPSTREAM_FILTER_STATE" if first.is_empty() => Some("needs a key in brackets".to_owned()),
            "FILTER_STATE" | "UPSTREAM_FILTER_STATE" => match (words.next(), words.next(), words.next()) {
                (None | Some("PLAIN" | "TYPED"), None, None) | (Some("FIELD"), Some(_), None) => None,
                _ => Some("takes only PLAIN, TYPED, or FIELD with a name after its key".to_owned()),
            },
            "METADATA" => one_of(first, METADATA),
            "GRPC_STATUS" => one_of(brackets, &["", "CAMEL_STRING", "SNAKE_STRING", "NUMBER"]),
            "QUERY_PARAMS" => one_of(brackets, &["", "ORIG", "DECODED"]),
            "PATH" => {
                let second = brackets.strip_prefix(first).unwrap_or_default();
                one_of(first, &["", "WQ", "NQ"]).or_else(|| one_of(second, &["", ":ORIG", ":PATH", ":ORIG_OR_PATH"]))
            }
            "REQUESTED_SERVER_NAME" => {
                let second = brackets.strip_prefix(first).unwrap_or_default();
                one_of(first, &["", "SNI_ONLY", "SNI_FIRST", "HOST_FIRST"])
                    .or_else(|| one_of(second, &["", ":ORIG", ":HOST"]))
            }
            _ => Some("is not one of Envoy's operators".to_owned()),
        }
    }
}

fn one_of(word: &str, known: &[&str]) -> Option<String> {
    (!known.contains(&word)).then(|| format!("does not take {word:?} in brackets"))
}

/// Checks the header names in brackets: one, or two of which the second is used if the first header is absent.
fn header_fault(brackets: &str) -> Option<String> {
    let in_header = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:".contains(c);
    if brackets.is_empty() {
        return Some("needs a header in brackets".to_owned());
    }
    if brackets.split('?').count() > 2 {
        return Some("takes at most two headers".to_owned());
    }
    let fine = brackets.split('?').all(|header| header.chars().all(in_header));
    (!fine).then(|| format!("has {brackets:?} in brackets, which is not a header"))
}

/// Operators with header names in brackets.
const HEADERS: &[&str] = &["REQ", "RESP", "TRAILER"];

/// Operators that need a value in brackets and accept any value.
const NEED_BRACKETS: &[&str] =
    &["CLUSTER_METADATA", "DYNAMIC_METADATA", "ENVIRONMENT", "QUERY_PARAM", "UPSTREAM_METADATA"];

/// Operators that accept a colon and a number, which limit the length of the text.
const TAKE_LENGTH: &[&str] = &[
    "DYNAMIC_METADATA",
    "ENVIRONMENT",
    "FILTER_STATE",
    "METADATA",
    "PATH",
    "QUERY_PARAM",
    "QUERY_PARAMS",
    "REQ",
    "RESP",
    "TRAILER",
    "UPSTREAM_FILTER_STATE",
];

/// The sources of `METADATA`.
const METADATA: &[&str] =
    &["CLUSTER", "DYNAMIC", "LISTENER", "LISTENER_FILTER_CHAIN", "ROUTE", "UPSTREAM_HOST", "VIRTUAL_HOST"];

/// Operators that accept no brackets.
const PLAIN: &[&str] = &[
    "ACCESS_LOG_TYPE",
    "BYTES_RECEIVED",
    "BYTES_RETRANSMITTED",
    "BYTES_SENT",
    "CONNECTION_ID",
    "CONNECTION_TERMINATION_DETAILS",
    "CUSTOM_FLAGS",
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS",
    "DOWNSTREAM_DIRECT_LOCAL_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    "DOWNSTREAM_DIRECT_REMOTE_PORT",
    "DOWNSTREAM_HANDSHAKE_DURATION",
    "DOWNSTREAM_HEADER_BYTES_RECEIVED",
    "DOWNSTREAM_HEADER_BYTES_SENT",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_LOCAL_DNS_SAN",
    "DOWNSTREAM_LOCAL_EMAIL_SAN",
    "DOWNSTREAM_LOCAL_IP_SAN",
    "DOWNSTREAM_LOCAL_OTHERNAME_SAN",
    "DOWNSTREAM_LOCAL_PORT",
    "DOWNSTREAM_LOCAL_SUBJECT",
    "DOWNSTREAM_LOCAL_URI_SAN",
    "DOWNSTREAM_PEER_CERT",
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
    "DOWNSTREAM_REMOTE_PORT",
    "DOWNSTREAM_TLS_CIPHER",
    "DOWNSTREAM_TLS_SESSION_ID",
    "DOWNSTREAM_TLS_VERSION",
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
    "DOWNSTREAM_WIRE_BYTES_RECEIVED",
    "DOWNSTREAM_WIRE_BYTES_SENT",
    "DURATION",
    "FILTER_CHAIN_NAME",
    "GRPC_STATUS_NUMBER",
    "HOSTNAME",
    "LOCAL_REPLY_BODY",
    "PROTOCOL",
    "REQUEST_DURATION",
    "REQUEST_HEADERS_BYTES",
    "REQUEST_TX_DURATION",
    "RESPONSE_CODE",
    "RESPONSE_DURATION",
    "RESPONSE_FLAGS",
    "RESPONSE_FLAGS_LONG",
    "RESPONSE_HEADERS_BYTES",
    "RESPONSE_TRAILERS_BYTES",
    "RESPONSE_TX_DURATION",
    "ROUNDTRIP_DURATION",
    "ROUTE_NAME",
    "SPAN_ID",
    "STREAM_ID",
    "TLS_JA3_FINGERPRINT",
    "TLS_JA4_FINGERPRINT",
    "TRACE_ID",
    "UNIQUE_ID",
    "UPSTREAM_CLUSTER",
    "UPSTREAM_CLUSTER_RAW",
    "UPSTREAM_CONNECTION_ID",
    "UPSTREAM_CONNECTION_POOL_READY_DURATION",
    "UPSTREAM_DETECTED_CLOSE_TYPE",
    "UPSTREAM_HEADER_BYTES_RECEIVED",
    "UPSTREAM_HEADER_BYTES_SENT",
    "UPSTREAM_HOST",
    "UPSTREAM_HOSTS_ATTEMPTED",
    "UPSTREAM_HOST_NAME",
    "UPSTREAM_HOST_NAME_WITHOUT_PORT",
    "UPSTREAM_LOCAL_ADDRESS",
    "UPSTREAM_LOCAL_CLOSE_REASON",
    "UPSTREAM_LOCAL_DNS_SAN",
    "UPSTREAM_LOCAL_IP_SAN",
    "UPSTREAM_LOCAL_PORT",
    "UPSTREAM_LOCAL_URI_SAN",
    "UPSTREAM_PEER_CERT",
    "UPSTREAM_PEER_DNS_SAN",
    "UPSTREAM_PEER_IP_SAN",
    "UPSTREAM_PEER_ISSUER",
    "UPSTREAM_PEER_SUBJECT",
    "UPSTREAM_PEER_URI_SAN",
    "UPSTREAM_PROTOCOL",
    "UPSTREAM_REMOTE_ADDRESS",
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

/// Operators that accept any value in brackets, such as a time format or the length of a prefix.
const BRACKETS: &[&str] = &[
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "DOWNSTREAM_PEER_CERT_V_END",
    "DOWNSTREAM_PEER_CERT_V_START",
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    "EMIT_TIME",
    "RESPONSE_CODE_DETAILS",
    "START_TIME",
    "START_TIME_LOCAL",
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_PEER_CERT_V_END",
    "UPSTREAM_PEER_CERT_V_START",
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
];

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn formats_are_judged_as_envoy_judges_them() {
        for good in [
            "",
            "plain",
            "100%% of %%%%",
            "%START_TIME%%PROTOCOL%",
            "[%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%\"\n",
            "%REQ(X-A?X-B):20% %RESP(a)% %TRAILER(b?c):1%",
            "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)% %BYTES_SENT()%",
            "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(16)%",
            "%PATH% %PATH(NQ):5% %PATH(WQ:ORIG)% %QUERY_PARAMS(DECODED):3% %QUERY_PARAM(a b)%",
            "%GRPC_STATUS% %GRPC_STATUS(NUMBER)% %REQUESTED_SERVER_NAME(SNI_FIRST:HOST)%",
            "%METADATA(ROUTE:a:b):5% %DYNAMIC_METADATA(a:b):9% %CLUSTER_METADATA(a)%",
            "%FILTER_STATE(a)% %FILTER_STATE(a:PLAIN):4% %UPSTREAM_FILTER_STATE(a:FIELD:b)%",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
    }

    #[test]
    fn formats_that_would_cost_the_listener_are_found() {
        for bad in [
            "%NONSENSE%",
            "%",
            "%%%",
            "100 % sure",
            "%a%",
            "%REQ%",
            "%REQ()%",
            "%REQ(:METHOD%",
            "%REQ(a)x%",
            "%REQ(a):%",
            "%REQ(a):99999999999%",
            "%REQ(a?b?c)%",
            "%REQ(a b)%",
            "%REQ(a,b)%",
            "%REQ(\u{e4})%",
            "%START_TIME(a\nb)%",
            "%START_TIME:5%",
            "%RESPONSE_CODE",
            "%RESPONSE_CODE(a)%",
            "%RESPONSE_CODE:3%",
            "%CLUSTER_METADATA%",
            "%UPSTREAM_METADATA(a):3%",
            "%PATH(a)%",
            "%PATH(WQ:PATH_OR_ORIG)%",
            "%QUERY_PARAMS(a)%",
            "%GRPC_STATUS(NUMBER):3%",
            "%METADATA(a)%",
            "%FILTER_STATE(:PLAIN)%",
            "%FILTER_STATE(a:XX)%",
            "%ROUTE_METADATA(a)%",
            "%LOCAL_CLOSE_REASON%",
            "%CEL(1+)%",
            "%COALESCE({})%",
        ] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
