//! AWS signature version 4 in the Authorization header, as SDKs sign requests to services other than S3. The SDK's
//! own signer computes the expected signature.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningParams, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use axum::http::HeaderName;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use subtle::ConstantTimeEq as _;

use super::Denial;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: &str = "x-amz-date";
/// The prefix of Meshwarden's own headers, which extend the App Mesh API.
const OWN: &str = "x-meshwarden-";
const SERVICE: &str = "appmesh";
/// The accepted difference between the clocks, in either direction: AWS's own tolerance.
pub(super) const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// The signature that a request claims. Its scope and time have been checked, the signature itself has not.
#[derive(Debug)]
pub(crate) struct SignatureClaim<'a> {
    key_id: &'a str,
    /// The signed headers with their values.
    signed: Vec<(&'a str, &'a str)>,
    signature: [u8; 32],
    at: Timestamp,
}

impl<'a> SignatureClaim<'a> {
    pub(super) fn read(parts: &'a Parts, region: &str, now: Timestamp) -> Result<Self, Denial> {
        let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
        let header = headers.next().ok_or(Denial::Unsigned)?.to_str().map_err(|_| Denial::Malformed)?;
        let fields = header.strip_prefix(ALGORITHM).filter(|_| headers.next().is_none()).ok_or(Denial::Malformed)?;
        let fields = fields.strip_prefix(' ').ok_or(Denial::Malformed)?;
        let field = |name: &str| {
            let mut values = fields.split(',').filter_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
            values.next().filter(|_| values.next().is_none()).ok_or(Denial::Malformed)
        };
        let (key_id, scope) = field("Credential")?.split_once('/').ok_or(Denial::Malformed)?;
        let signature = digest(field("Signature")?).ok_or(Denial::Malformed)?;
        let signed = signed_headers(parts, field("SignedHeaders")?)?;
        let date = signed.iter().find(|(name, _)| *name == DATE).map(|(_, date)| *date).ok_or(Denial::Headers)?;
        let at = time(date).ok_or(Denial::Headers)?;
        if date.get(..8).is_none_or(|day| scope != format!("{day}/{region}/{SERVICE}/aws4_request")) {
            return Err(Denial::Scope);
        }
        let age = now.duration_since(at);
        if age > SKEW {
            return Err(Denial::Expired);
        }
        if age < -SKEW {
            return Err(Denial::Future);
        }
        Ok(Self { key_id, signed, signature, at })
    }

    pub(super) const fn key_id(&self) -> &'a str {
        self.key_id
    }

    /// The end of the signature's validity.
    pub(super) fn until(&self) -> Timestamp {
        self.at.saturating_add(SKEW).unwrap_or(self.at)
    }

    pub(super) const fn signature(&self) -> [u8; 32] {
        self.signature
    }

    /// Whether the request was signed with this secret. The time that this takes does not depend on the signature.
    pub(super) fn matches(&self, secret: &str, parts: &Parts, body: &[u8], region: &str) -> Result<bool, Denial> {
        let identity = Credentials::new(self.key_id, secret, None, None, "key file").into();
        let mut settings = SigningSettings::default();
        // Sign exactly the headers that the request names, and the path as the API will read it.
        settings.excluded_headers = None;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(SERVICE)
            .time(SystemTime::from(self.at))
            .settings(settings)
            .build()
            .map_err(|_| Denial::Mismatch)?;
        let uri = parts.uri.path_and_query().map_or("/", |uri| uri.as_str());
        let signed = self.signed.iter().copied();
        let request = SignableRequest::new(parts.method.as_str(), uri, signed, SignableBody::Bytes(body));
        let request = request.map_err(|_| Denial::Mismatch)?;
        let made = sign(request, &SigningParams::V4(params)).map_err(|_| Denial::Mismatch)?;
        let expected = digest(made.signature()).ok_or(Denial::Mismatch)?;
        Ok(expected.ct_eq(&self.signature).into())
    }
}

/// The headers in a list of names, each with its single value. The API must ignore headers outside the list, so all
/// of Meshwarden's own headers have to be in it.
fn signed_headers<'a>(parts: &'a Parts, names: &'a str) -> Result<Vec<(&'a str, &'a str)>, Denial> {
    let names: Vec<&str> = names.split(';').collect();
    let own = parts.headers.keys().map(HeaderName::as_str).filter(|name| name.starts_with(OWN));
    if ![HOST.as_str(), DATE].into_iter().chain(own).all(|name| names.contains(&name))
        || !names.is_sorted_by(|a, b| a < b)
    {
        return Err(Denial::Headers);
    }
    let value = |name: &'a str| {
        let mut values = parts.headers.get_all(name).iter();
        let value = match (values.next(), &parts.uri.authority()) {
            (Some(value), _) => value.to_str().ok()?,
            // HTTP/2 carries the host in `:authority`, outside the headers.
            (None, Some(authority)) if name == HOST => authority.as_str(),
            (None, _) => return None,
        };
        values.next().is_none().then_some((name, value))
    };
    names.into_iter().map(value).collect::<Option<_>>().ok_or(Denial::Headers)
}

/// Parses a time such as `20260102T030405Z`.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let at = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok().filter(|_| text.len() == 16)?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Parses 64 lower-case hexadecimal digits.
pub(super) fn digest(text: &str) -> Option<[u8; 32]> {
    if !text.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit)) {
        return None;
    }
    let bytes: Option<Vec<u8>> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    bytes?.try_into().ok()
}
