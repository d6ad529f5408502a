//! AWS signature version 4, in the header form, as SDKs make it for services other than S3.

use std::fmt::Write as _;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Denial;
use crate::http::percent;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: &str = "x-amz-date";
/// How far the clocks may be apart, either way.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What a request says of its signature. The scope and the time are right; the signature is not checked yet.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    key_id: &'a str,
    scope: &'a str,
    signed: Vec<&'a str>,
    signature: [u8; 32],
    date: &'a str,
    at: Timestamp,
}

impl<'a> Claim<'a> {
    pub(super) fn read(parts: &'a Parts, region: &str, now: Timestamp) -> Result<Self, Denial> {
        let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
        let header = headers.next().ok_or(Denial::Unsigned)?.to_str().map_err(|_| Denial::Malformed)?;
        let fields = header.strip_prefix(ALGORITHM).filter(|_| headers.next().is_none()).ok_or(Denial::Malformed)?;
        let field = |name: &str| {
            let mut values = fields.split(',').filter_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
            values.next().filter(|_| values.next().is_none()).ok_or(Denial::Malformed)
        };
        let (key_id, scope) = field("Credential")?.split_once('/').ok_or(Denial::Malformed)?;
        let signature = digest(field("Signature")?).ok_or(Denial::Malformed)?;
        let signed: Vec<&str> = field("SignedHeaders")?.split(';').collect();
        if !signed.contains(&HOST.as_str()) || !signed.contains(&DATE) || !signed.is_sorted_by(|a, b| a < b) {
            return Err(Denial::Headers);
        }
        let date = parts.headers.get(DATE).and_then(|date| date.to_str().ok()).ok_or(Denial::Headers)?;
        let at = time(date).ok_or(Denial::Headers)?;
        if date.get(..8).is_none_or(|day| scope != format!("{day}/{region}/appmesh/aws4_request")) {
            return Err(Denial::Scope);
        }
        let age = now.duration_since(at);
        if age > SKEW {
            return Err(Denial::Expired);
        }
        if age < -SKEW {
            return Err(Denial::Future);
        }
        Ok(Self { key_id, scope, signed, signature, date, at })
    }

    pub(super) const fn key_id(&self) -> &'a str {
        self.key_id
    }

    pub(super) const fn signature(&self) -> [u8; 32] {
        self.signature
    }

    /// When it is too old.
    pub(super) fn expires(&self) -> Timestamp {
        self.at.saturating_add(SKEW).unwrap_or(Timestamp::MAX)
    }

    /// Whether the request was signed with this secret. Takes as long for any signature.
    pub(super) fn matches(&self, secret: &str, parts: &Parts, body: &[u8]) -> Result<bool, Denial> {
        let request = Sha256::digest(self.canonical(parts, body)?);
        let text = format!("{ALGORITHM}\n{}\n{}\n{}", self.date, self.scope, hex(&request));
        let mut key = Zeroizing::new(format!("AWS4{secret}").into_bytes());
        for part in self.scope.split('/') {
            key = Zeroizing::new(mac(&key, part)?.finalize().into_bytes().to_vec());
        }
        Ok(mac(&key, &text)?.verify_slice(&self.signature).is_ok())
    }

    fn canonical(&self, parts: &Parts, body: &[u8]) -> Result<String, Denial> {
        let mut text = format!("{}\n", parts.method);
        // The path on the wire is encoded already, and signed encoded once more.
        encode(&mut text, parts.uri.path(), true);
        text.push('\n');
        text.push_str(&query(parts.uri.query().unwrap_or_default())?);
        text.push('\n');
        for name in &self.signed {
            let mut values = Vec::new();
            for value in parts.headers.get_all(*name) {
                let value = value.to_str().map_err(|_| Denial::Headers)?;
                values.push(value.split_whitespace().collect::<Vec<_>>().join(" "));
            }
            if values.is_empty() {
                return Err(Denial::Headers);
            }
            let _ = writeln!(text, "{name}:{}", values.join(","));
        }
        let _ = write!(text, "\n{}\n{}", self.signed.join(";"), hex(&Sha256::digest(body)));
        Ok(text)
    }
}

fn mac(key: &[u8], text: &str) -> Result<Hmac<Sha256>, Denial> {
    // A key of any length is taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Denial::Mismatch)?;
    mac.update(text.as_bytes());
    Ok(mac)
}

fn query(text: &str) -> Result<String, Denial> {
    let mut pairs = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (mut left, mut right) = (String::new(), String::new());
        encode(&mut left, &percent::decode(name).ok_or(Denial::Mismatch)?, false);
        encode(&mut right, &percent::decode(value).ok_or(Denial::Mismatch)?, false);
        pairs.push((left, right));
    }
    pairs.sort();
    Ok(pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"))
}

fn encode(out: &mut String, text: &str, path: bool) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if path => out.push('/'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

fn time(text: &str) -> Option<Timestamp> {
    let at = DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok().filter(|_| text.len() == 16)?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn digest(text: &str) -> Option<[u8; 32]> {
    if !text.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit)) {
        return None;
    }
    let bytes: Option<Vec<u8>> =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    bytes?.try_into().ok()
}
