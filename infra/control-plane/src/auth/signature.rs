//! AWS signature version 4, in the header form, as SDKs make it for services other than S3. The signature that the
//! request should have is made by the SDK's own signer.

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
/// What the names of headers begin with by which a request says more than App Mesh's do.
const OWN: &str = "x-meshwarden-";
const SERVICE: &str = "appmesh";
/// How far the clocks may be apart, either way: AWS's own tolerance.
pub(super) const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What a request says of its signature. The scope and the time are right; the signature is not checked yet.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    key_id: &'a str,
    /// The headers that are signed, with their values.
    signed: Vec<(&'a str, &'a str)>,
    signature: [u8; 32],
    at: Timestamp,
}

impl<'a> Claim<'a> {
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

    /// Until when the signature is good.
    pub(super) fn until(&self) -> Timestamp {
        self.at.saturating_add(SKEW).unwrap_or(self.at)
    }

    pub(super) const fn signature(&self) -> [u8; 32] {
        self.signature
    }

    /// Whether the request was signed with this secret. Takes as long for any signature.
    pub(super) fn matches(&self, secret: &str, parts: &Parts, body: &[u8], region: &str) -> Result<bool, Denial> {
        let identity = Credentials::new(self.key_id, secret, None, None, "key file").into();
        let mut settings = SigningSettings::default();
        // What is signed is what the request says is signed, and the path is taken as it will be understood.
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

/// The headers in a list of names, each with the one value that it has. The API must not heed a header that isn't among
/// them, so its own have to be, whichever they are.
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
            // HTTP/2 has it beside the headers.
            (None, Some(authority)) if name == HOST => authority.as_str(),
            (None, _) => return None,
        };
        values.next().is_none().then_some((name, value))
    };
    names.into_iter().map(value).collect::<Option<_>>().ok_or(Denial::Headers)
}

/// The time that a date such as `20260102T030405Z` tells.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let at = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok().filter(|_| text.len() == 16)?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The bytes that 64 hexadecimal digits, in lower case, stand for.
pub(super) fn digest(text: &str) -> Option<[u8; 32]> {
    if !text.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit)) {
        return None;
    }
    let bytes: Option<Vec<u8>> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    bytes?.try_into().ok()
}
