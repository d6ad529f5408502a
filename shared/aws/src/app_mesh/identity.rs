//! Proves the caller's IAM role to a control plane. Each request carries a presigned `GetCallerIdentity`, which the
//! control plane sends to STS.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_runtime::auth::sigv4::SigV4AuthScheme;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningParams, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::{AuthScheme, AuthSchemeEndpointConfig, AuthSchemeId, Sign};
use aws_smithy_runtime_api::client::identity::{Identity, SharedIdentityResolver};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::{GetIdentityResolver, RuntimeComponents};
use aws_smithy_types::config_bag::ConfigBag;
use http::{Request, Uri};
use sha2::{Digest as _, Sha256};

use super::raw::IF_VERSION;

const IDENTITY: &str = "x-meshwarden-identity";
const AUDIENCE: &str = "x-meshwarden-audience";
const REQUEST: &str = "x-meshwarden-request";

/// The validity of a presigned identity. A client that intercepts one for reads can read for as long.
const LIFE: Duration = Duration::from_mins(5);

/// The age at which the identity for reads is replaced: early enough that clocks may differ by two minutes.
const RENEWED_AFTER: Duration = Duration::from_mins(2);

/// Signs as the SDK does, and adds the identity to every attempt. An interceptor cannot do this: the SDK gives the
/// credentials to the signer only.
#[derive(Debug)]
pub(crate) struct PresentIdentity {
    sdk: SigV4AuthScheme,
    audience: String,
    region: String,
    sts: String,
    last_read_identity: Mutex<Option<PresignedIdentity>>,
}

/// The presigned identity of the last read, with the credentials that signed it.
struct PresignedIdentity {
    identity: String,
    made: SystemTime,
    key: String,
    token: Option<String>,
}

impl std::fmt::Debug for PresignedIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PresignedIdentity").field("made", &self.made).field("key", &self.key).finish_non_exhaustive()
    }
}

impl PresentIdentity {
    /// Creates the scheme for a control plane with this audience. `sts` is the endpoint of STS; the default is AWS's
    /// endpoint of the region.
    pub(crate) fn new(audience: &str, region: &str, sts: Option<&str>) -> Self {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let sts =
            sts.map_or_else(|| format!("https://sts.{region}.{domain}"), |sts| sts.trim_end_matches('/').to_owned());
        Self {
            sdk: SigV4AuthScheme::new(),
            audience: audience.to_owned(),
            region: region.to_owned(),
            sts,
            last_read_identity: Mutex::default(),
        }
    }

    /// The identity for reads. It is the same for two minutes, so that the control plane calls STS once for
    /// all of them.
    fn for_reads(&self, identity: &Identity, now: SystemTime) -> Result<String, BoxError> {
        let credentials = identity.data::<Credentials>().ok_or("the identity contains no AWS credentials")?;
        let (key, token) = (credentials.access_key_id(), credentials.session_token());
        let mut last = self.last_read_identity.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = &*last {
            let fresh = now.duration_since(last.made).is_ok_and(|age| age < RENEWED_AFTER);
            if fresh && last.key == key && last.token.as_deref() == token {
                return Ok(last.identity.clone());
            }
        }
        let made = self.presign(identity, now, None)?;
        let token = token.map(str::to_owned);
        *last = Some(PresignedIdentity { identity: made.clone(), made: now, key: key.to_owned(), token });
        Ok(made)
    }

    fn presign(&self, identity: &Identity, now: SystemTime, request: Option<&str>) -> Result<String, BoxError> {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(LIFE);
        let params = v4::SigningParams::builder()
            .identity(identity)
            .region(&self.region)
            .name("sts")
            .time(now)
            .settings(settings)
            .build()?;
        let url = format!("{}/?Action=GetCallerIdentity&Version=2011-06-15", self.sts);
        let headers = [(AUDIENCE, self.audience.as_str())].into_iter().chain(request.map(|request| (REQUEST, request)));
        let signable = SignableRequest::new("GET", url.as_str(), headers, SignableBody::Bytes(b""))?;
        let (instructions, _) = sign(signable, &SigningParams::V4(params))?.into_parts();
        let mut presigned = Request::get(&url).body(())?;
        instructions.apply_to_request_http1x(&mut presigned);
        Ok(presigned.uri().to_string())
    }
}

impl AuthScheme for PresentIdentity {
    fn scheme_id(&self) -> AuthSchemeId {
        self.sdk.scheme_id()
    }

    fn identity_resolver(&self, resolvers: &dyn GetIdentityResolver) -> Option<SharedIdentityResolver> {
        self.sdk.identity_resolver(resolvers)
    }

    fn signer(&self) -> &dyn Sign {
        self
    }
}

impl Sign for PresentIdentity {
    fn sign_http_request(
        &self,
        request: &mut HttpRequest,
        identity: &Identity,
        endpoint: AuthSchemeEndpointConfig<'_>,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        refuse_plain_http(request.uri())?;
        let now = components.time_source().unwrap_or_default().now();
        let presigned = match request.method() {
            "GET" => self.for_reads(identity, now)?,
            _ => self.presign(identity, now, Some(&fingerprint(request)?))?,
        };
        request.headers_mut().try_insert(IDENTITY, presigned)?;
        self.sdk.signer().sign_http_request(request, identity, endpoint, components, config)
    }
}

/// Refuses to send an identity in plain text beyond this machine: an intercepted one is a credential for its validity.
fn refuse_plain_http(uri: &str) -> Result<(), BoxError> {
    let uri: Uri = uri.parse()?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    if uri.scheme_str() == Some("https") || is_loopback {
        return Ok(());
    }
    Err(format!(
        "refused to send the caller's identity to {host} without TLS: use an https:// endpoint for App Mesh, or unset MESHWARDEN_CONTROL_PLANE_AUDIENCE"
    )
    .into())
}

/// The fingerprint that binds an identity to one write; the control plane computes the same. It is the SHA-256 of four
/// lines, in hexadecimal digits. The lines are the method, the path with query, the version in
/// `x-meshwarden-if-version`, and the SHA-256 of the body.
fn fingerprint(request: &HttpRequest) -> Result<String, BoxError> {
    let uri: Uri = request.uri().parse()?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let version = request.headers().get(IF_VERSION).unwrap_or_default();
    let body = request.body().bytes().ok_or("the request's body is a stream")?;
    let text = format!("{}\n{path}\n{version}\n{}", request.method(), hex(&Sha256::digest(body)));
    Ok(hex(&Sha256::digest(text)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_sent_only_over_tls() {
        for allowed in [
            "https://mesh.internal/v20190125/meshes",
            "https://10.0.0.7:9443/",
            "http://127.0.0.1:9080/",
            "http://[::1]:9080/",
            "http://localhost:9080/",
        ] {
            assert!(refuse_plain_http(allowed).is_ok(), "{allowed}");
        }
        for refused in ["http://mesh.internal/v20190125/meshes", "http://10.0.0.7:9080/", "http://localhost.internal/"]
        {
            let error = refuse_plain_http(refused).unwrap_err().to_string();
            assert!(error.contains("without TLS") && error.contains("https://"), "{refused}: {error}");
        }
    }
}
