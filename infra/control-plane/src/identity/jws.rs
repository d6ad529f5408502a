//! JSON Web Signatures in compact form (RFC 7515), without any of its optional parts.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::token_refusal::TokenRefusal;

/// The longest token that is read, in bytes. Tokens of service accounts have about 1,200.
const MAX_TOKEN: usize = 8 * 1024;

/// The header of a token. A member that is not here is ignored, apart from `crit`, which would change the meaning.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct TokenHeader {
    pub(super) alg: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) typ: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// The parts of a token. Nothing in it is verified.
#[derive(Debug)]
pub(super) struct UnverifiedToken<'t> {
    pub(super) header: TokenHeader,
    /// The text that the signature covers.
    pub(super) signed: &'t str,
    pub(super) signature: Vec<u8>,
    payload: Vec<u8>,
}

impl<'t> UnverifiedToken<'t> {
    pub(super) fn parse(text: &'t str) -> Result<Self, TokenRefusal> {
        let parts = || {
            let (signed, signature) = text.rsplit_once('.').filter(|_| text.len() <= MAX_TOKEN)?;
            let (header, payload) = signed.split_once('.').filter(|(_, payload)| !payload.contains('.'))?;
            let header: TokenHeader = serde_json::from_slice(&decode(header)?).ok()?;
            header.crit.is_none().then_some(())?;
            Some(Self { header, signed, signature: decode(signature)?, payload: decode(payload)? })
        };
        parts().ok_or(TokenRefusal::Malformed)
    }

    /// The claims. Read them after the signature was verified.
    pub(super) fn claims<C: for<'c> Deserialize<'c>>(&self) -> Result<C, TokenRefusal> {
        serde_json::from_slice(&self.payload).map_err(|_| TokenRefusal::Claims)
    }
}

/// The text of a token before its signature.
pub(super) fn unsigned(alg: &str, typ: &str, kid: &str, claims: &impl Serialize) -> Result<String, serde_json::Error> {
    let header = TokenHeader { alg: alg.to_owned(), typ: Some(typ.to_owned()), kid: Some(kid.to_owned()), crit: None };
    Ok(format!("{}.{}", encode(&serde_json::to_vec(&header)?), encode(&serde_json::to_vec(claims)?)))
}

pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url without padding. Other characters, padding and trailing bits are refused.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
