//! The presigned request of a caller. Only known parameters are accepted, each once, and the request to STS is built
//! from them again: STS receives exactly the checked values.

use std::fmt;

use axum::http::Uri;
use axum::http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::endpoint::StsEndpoint;
use crate::auth::Denial;
use crate::auth::signature::{self, SKEW};
use crate::percent;

/// The header that carries the presigned request.
const IDENTITY: &str = "x-meshwarden-identity";

/// The longest header that is read, in bytes. Session tokens have up to about two thousand characters.
const MAX_HEADER: usize = 8 * 1024;

/// The longest lifetime of an identity: that of a presigned request in STS.
pub(super) const MAX_LIFETIME: SignedDuration = SignedDuration::from_mins(15);

/// All parameters of a presigned `GetCallerIdentity`; the last one only with session credentials.
const PARAMETERS: [&str; 9] = [
    "Action",
    "Version",
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
];

/// A presigned request that is valid as far as this server can check without STS.
pub(crate) struct Presigned {
    uri: Uri,
    /// The id of the access key that signed it.
    credentials: String,
    signature: [u8; 32],
    expires: Timestamp,
}

/// Omits the signed query.
impl fmt::Debug for Presigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presigned").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Presigned {
    pub(super) fn read(parts: &Parts, configured: Option<&StsEndpoint>, now: Timestamp) -> Result<Self, Denial> {
        let mut headers = parts.headers.get_all(IDENTITY).iter();
        let header = headers.next().ok_or(Denial::NoIdentity)?;
        let text = header.to_str().ok().filter(|text| headers.next().is_none() && text.len() <= MAX_HEADER);
        let text = text.ok_or(Denial::NotAnIdentity)?;
        let (scheme, rest) = text.split_once("://").ok_or(Denial::NotAnIdentity)?;
        let (authority, query) = rest.split_once("/?").ok_or(Denial::NotAnIdentity)?;
        let endpoint = StsEndpoint::allowed(scheme, authority, configured).ok_or(Denial::StsHost)?;
        let query = PresignedQuery::read(query).ok_or(Denial::NotAnIdentity)?;
        query.is_get_caller_identity().ok_or(Denial::NotAnIdentity)?;
        let headers = if parts.method.is_safe() {
            "host;x-meshwarden-audience"
        } else {
            "host;x-meshwarden-audience;x-meshwarden-request"
        };
        if query.value("X-Amz-SignedHeaders").as_deref() != Some(headers) {
            return Err(Denial::Audience);
        }
        let (at, life) = query.validity().ok_or(Denial::NotAnIdentity)?;
        let expires = at.saturating_add(life).unwrap_or(now);
        if life > MAX_LIFETIME || now >= expires {
            return Err(Denial::IdentityExpired);
        }
        if at.duration_since(now) > SKEW {
            return Err(Denial::IdentityFuture);
        }
        let signature = query.value("X-Amz-Signature").and_then(|text| signature::digest(&text));
        let signature = signature.ok_or(Denial::NotAnIdentity)?;
        let scope = query.value("X-Amz-Credential").ok_or(Denial::NotAnIdentity)?;
        let credentials = scope.split('/').next().unwrap_or_default().to_owned();
        let uri = endpoint.uri(&query.text()).ok_or(Denial::NotAnIdentity)?;
        Ok(Self { uri, credentials, signature, expires })
    }

    pub(super) fn credentials(&self) -> &str {
        &self.credentials
    }

    pub(super) const fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(crate) const fn signature(&self) -> [u8; 32] {
        self.signature
    }

    pub(crate) const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Identifies this request among all others.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.uri.to_string()).into()
    }
}

/// The known parameters in their original encoding and order.
struct PresignedQuery<'a>(Vec<(&'static str, &'a str)>);

impl<'a> PresignedQuery<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut pairs: Vec<(&'static str, &str)> = Vec::new();
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=')?;
            let name = PARAMETERS.into_iter().find(|known| *known == name)?;
            let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b));
            if !plain || pairs.iter().any(|(other, _)| *other == name) {
                return None;
            }
            pairs.push((name, value));
        }
        Some(Self(pairs))
    }

    fn value(&self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter().find(|(known, _)| *known == name)?;
        percent::decode(value)
    }

    fn is_get_caller_identity(&self) -> Option<()> {
        let date = self.value("X-Amz-Date")?;
        let credential = self.value("X-Amz-Credential")?;
        let [_, day, _, "sts", "aws4_request"] = credential.split('/').collect::<Vec<_>>()[..] else { return None };
        let right = self.value("Action")? == "GetCallerIdentity"
            && self.value("Version")? == "2011-06-15"
            && self.value("X-Amz-Algorithm")? == "AWS4-HMAC-SHA256"
            && date.starts_with(day)
            && day.len() == 8;
        right.then_some(())
    }

    fn validity(&self) -> Option<(Timestamp, SignedDuration)> {
        let at = signature::time(&self.value("X-Amz-Date")?)?;
        let seconds: u32 = self.value("X-Amz-Expires")?.parse().ok()?;
        Some((at, SignedDuration::from_secs(seconds.into())))
    }

    fn text(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }
}
