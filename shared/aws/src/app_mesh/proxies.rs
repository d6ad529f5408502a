//! Reads the proxies that are connected to the control plane. This is not part of the App Mesh API. The request uses
//! the same client, endpoint and signature, through an operation that has no body.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_appmesh::Client;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use jiff::Timestamp;
use mesh::name::ResourcePath;
use ports::certificates::{
    AcknowledgedSecrets, ProxyEvidence, ProxyReport, ProxyStream, SeenCertificate, SeenSecret, UnknownProxies,
};
use ports::{PortError, PortErrorKind};
use serde_json::Value;

use super::AppMesh;
use super::raw::KeepBody;
use crate::call::call;

/// The path of the SDK operation that carries this request.
const SIGNED_PATH: &str = "/v20190125/meshes";

/// The path of the proxies.
const PROXIES: &str = "/proxies";

/// The header with the format of evidence that this client understands: `unknown` members since 2. Without it, a control
/// plane with several replicas refuses an incomplete answer.
const EVIDENCE: (&str, &str) = ("x-meshwarden-evidence", "2");

/// The reason of a disconnected instance.
const LEFT: &str = "left";

#[async_trait]
impl ProxyEvidence for AppMesh {
    async fn proxies(&self) -> Result<Vec<ProxyStream>, PortError> {
        self.report().await?.complete()
    }

    async fn report(&self) -> Result<ProxyReport, PortError> {
        let what = || "list the proxies".to_owned();
        let unreadable = |why: String| {
            PortError::new(
                what(),
                PortErrorKind::Other,
                format!("the response of the control plane can't be read: {why}"),
            )
        };
        let body = get(&self.client, what).await?;
        let body: Value = serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
        // A list of some proxies must not look like the list of all.
        if body.get("filtered").and_then(Value::as_bool) == Some(true) {
            let why = "the rights of this caller do not include every proxy; grant it the level read on meshes *";
            return Err(PortError::new(what(), PortErrorKind::Denied, why));
        }
        let streams = body.get("proxies").and_then(Value::as_array);
        let streams = streams.ok_or_else(|| unreadable("it has no `proxies`".to_owned()))?;
        // A stream that cannot be read must not look like a missing stream.
        let missing = |member: &'static str| unreadable(format!("no `{member}`"));
        let streams = streams.iter().map(stream).collect::<Result<_, _>>().map_err(missing)?;
        let unknown = match body.get("unknown") {
            // A control plane of one process, or of an earlier release.
            None => Vec::new(),
            Some(unknown) => {
                let unknown = unknown.as_array().ok_or_else(|| missing("unknown"))?;
                unknown.iter().map(unknown_proxies).collect::<Result<_, _>>().map_err(missing)?
            }
        };
        let is_complete = body.get("complete").is_none_or(|complete| *complete == Value::Bool(true));
        if !is_complete && unknown.is_empty() {
            return Err(unreadable("it is incomplete, and does not name the unknown proxies".to_owned()));
        }
        Ok(ProxyReport { streams, unknown })
    }
}

async fn get(client: &Client, what: impl Fn() -> String) -> Result<bytes::Bytes, PortError> {
    let kept = KeepBody::default();
    let request = client.list_meshes().customize().map_request(redirected).interceptor(kept.clone());
    call(what, request.send()).await?;
    Ok(kept.body())
}

/// The request of the signed operation has an unexpected URI. It must not be sent: its answer would be another one.
#[derive(Debug, thiserror::Error)]
#[error("invalid URI `{uri}`: expected an endpoint with the path {SIGNED_PATH}")]
struct UnexpectedUri {
    uri: String,
}

/// The request with the path of the proxies. The endpoint may have a path, so only the last segment is replaced.
fn redirected(mut request: HttpRequest) -> Result<HttpRequest, UnexpectedUri> {
    let uri = request.uri().to_owned();
    request.headers_mut().insert(EVIDENCE.0, EVIDENCE.1);
    let moved = uri.strip_suffix(SIGNED_PATH).map(|endpoint| request.set_uri(format!("{endpoint}{PROXIES}")));
    if matches!(moved, Some(Ok(()))) { Ok(request) } else { Err(UnexpectedUri { uri }) }
}

/// Parses the unknown proxies. The error is the name of the missing member. An entry about no proxy is one about all of them.
fn unknown_proxies(value: &Value) -> Result<UnknownProxies, &'static str> {
    let text = |member: &str| value.get(member).and_then(Value::as_str);
    let kind = text("reason").ok_or("reason")?;
    let named: Vec<&str> = match (value.get("resources").and_then(Value::as_array), text("resource")) {
        (Some(resources), _) => resources.iter().filter_map(Value::as_str).collect(),
        (None, Some(resource)) => vec![resource],
        (None, None) => Vec::new(),
    };
    // A resource that cannot be read is any resource.
    let proxies: Option<Vec<ResourcePath>> = named.iter().map(|resource| ResourcePath::parse(resource).ok()).collect();
    let proxies = proxies.filter(|proxies| !proxies.is_empty());
    let disconnected = kind == LEFT;
    let reason = match (text("replica"), text("instance")) {
        (Some(replica), _) => format!("the state at replica {replica} of the control plane is unknown ({kind})"),
        (None, Some(instance)) if disconnected => format!("instance `{instance}` disconnected and has not returned"),
        (None, _) => format!("its state is unknown ({kind})"),
    };
    Ok(UnknownProxies { proxies, disconnected, reason })
}

/// Parses a stream. The error is the name of the missing member.
fn stream(value: &Value) -> Result<ProxyStream, &'static str> {
    let text = |member: &'static str| value.get(member).and_then(Value::as_str).ok_or(member);
    let secrets = match value.get("certificates").and_then(Value::as_object) {
        None => AcknowledgedSecrets::Unknown,
        Some(secrets) => {
            let secrets = secrets.iter().map(|(name, value)| secret(value).map(|seen| (name.clone(), seen)));
            AcknowledgedSecrets::Known(secrets.collect::<Result<BTreeMap<_, _>, _>>()?)
        }
    };
    Ok(ProxyStream {
        proxy: ResourcePath::parse(text("resource")?).map_err(|_| "resource")?,
        peer: text("peer")?.to_owned(),
        since: text("since")?.parse::<Timestamp>().map_err(|_| "since")?,
        up_to_date: value.get("upToDate").and_then(Value::as_bool).ok_or("upToDate")?,
        rejected: rejected(value),
        secrets,
    })
}

/// The message of the first rejected part of the snapshot.
fn rejected(stream: &Value) -> Option<String> {
    let types = stream.get("types")?.as_object()?;
    let message = types.values().find_map(|status| status.get("nack")?.get("message")?.as_str());
    message.map(str::to_owned)
}

fn secret(value: &Value) -> Result<SeenSecret, &'static str> {
    let source = value.get("source").and_then(Value::as_str).ok_or("source")?;
    match source {
        "besideProxy" => Ok(SeenSecret::BesideProxy),
        "missing" => Ok(SeenSecret::Missing),
        "sent" => {
            let certificates = value.get("certificates").and_then(Value::as_array).ok_or("certificates")?;
            let certificates = certificates.iter().map(certificate).collect::<Result<_, _>>()?;
            if value.get("acknowledged").and_then(Value::as_bool).ok_or("acknowledged")? {
                Ok(SeenSecret::Acknowledged { certificates })
            } else {
                Ok(SeenSecret::Outstanding { certificates })
            }
        }
        other => Ok(SeenSecret::Unrecognised(other.to_owned())),
    }
}

fn certificate(value: &Value) -> Result<SeenCertificate, &'static str> {
    let text = |member: &'static str| value.get(member).and_then(Value::as_str).ok_or(member);
    Ok(SeenCertificate {
        fingerprint: text("fingerprint")?.to_owned(),
        not_after: text("notAfter")?.parse().map_err(|_| "notAfter")?,
    })
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[test]
    fn a_request_with_an_unexpected_uri_fails() {
        for (uri, expected) in [
            ("http://mesh.internal/v20190125/meshes", Some("http://mesh.internal/proxies")),
            (
                "http://mesh.internal/v20190125/meshes/v20190125/meshes",
                Some("http://mesh.internal/v20190125/meshes/proxies"),
            ),
            ("http://mesh.internal/v20190125/meshes?limit=1", None),
            ("http://mesh.internal/proxies", None),
        ] {
            let mut request = HttpRequest::new(SdkBody::empty());
            request.set_uri(uri).unwrap();
            let found = redirected(request).map(|request| request.uri().to_owned());
            assert_eq!(found.as_deref().ok(), expected, "{uri}: {found:?}");
        }
    }
}
