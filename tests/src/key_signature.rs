//! Requests that a key of the control plane signs, without an SDK.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;

/// The secret of every key.
pub const SECRET: &str = "secret";

/// The content of a key file with these keys.
#[must_use]
pub fn key_file(ids: &[&str]) -> String {
    let key = |id: &&str| serde_json::json!({ "id": id, "secret": SECRET, "name": format!("key {id}") });
    serde_json::json!({ "keys": ids.iter().map(key).collect::<Vec<_>>() }).to_string()
}

/// The headers with which a key signs a request for this region.
#[must_use]
pub fn signed_headers(key: &str, region: &str, method: &str, url: &str, body: &[u8]) -> Vec<(String, String)> {
    let identity = Credentials::new(key, SECRET, None, None, "tests").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("appmesh")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap();
    let request = SignableRequest::new(method, url, std::iter::empty(), SignableBody::Bytes(body)).unwrap();
    let (instructions, _) = sign(request, &params.into()).unwrap().into_parts();
    instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
