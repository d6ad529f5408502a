//! The signatures were made by botocore's `SigV4Auth`, with the key AKID and `secret`, at 2026-01-02T03:04:05Z.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use axum::http::Request;
use jiff::{SignedDuration, Timestamp};

use super::*;

const SERVICE: &str = "/v20190125/meshes/shop/virtualServices/a%2Fb%20c?meshOwner=123456789012&limit=5";
const MESHES: &str = "/v20190125/meshes";
const READ: &str = "120943f3e1fdc23254af0e5847720e4fd99c8f44b362e31f5e383e7659aaac02";
const WRITE: &str = "551f9a4a6c27844b815d9fdb9446fcdeef609472702ec76244a61f5f8913d4f6";
const TOKEN_WRITE: &str = "defab9640fe99659b627dd9af5525fd3045978a6dd5651f65c235a8063f846e9";
const BODY: &str = r#"{"meshName":"shop"}"#;
const TOKEN_BODY: &str = r#"{"meshName":"shop","clientToken":"t"}"#;
const SCOPE: &str = "AKID/20260102/us-east-1/appmesh/aws4_request";
const SIGNED: &str = "host;x-amz-date";

fn guard(test: &str, secret: &str, read_only: bool) -> Guard {
    let path = std::env::temp_dir().join(format!("meshwarden-keys-{test}-{}", std::process::id()));
    let keys = serde_json::json!({"keys": [{"id": "AKID", "secret": secret, "name": "ci", "readOnly": read_only}]});
    fs::write(&path, keys.to_string()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let auth = ApiAuth::Keys(path.clone());
    let addr = SocketAddr::from(([127, 0, 0, 1], 9080));
    let region = || Region::parse("us-east-1").unwrap();
    assert!(matches!(Guard::new(&auth, addr, region()), Err(KeyFileError::Exposed { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let guard = Guard::new(&auth, addr, region()).unwrap();
    fs::remove_file(path).unwrap();
    guard
}

fn parts(method: &str, uri: &str, scope: &str, signed: &str, signature: &str) -> Parts {
    let header = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, Signature={signature}");
    let request = Request::builder().method(method).uri(uri).header("host", "127.0.0.1:9080");
    let request = request.header("x-amz-date", "20260102T030405Z").header("authorization", header);
    request.body(()).unwrap().into_parts().0
}

fn at(seconds: i64) -> Timestamp {
    "2026-01-02T03:04:05Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

#[test]
fn what_botocore_signs_passes_and_nothing_else() {
    let guard = guard("table", "secret", false);
    let altered = SERVICE.replace("a%2Fb", "a/b");
    let query = SERVICE.replace("limit=5", "limit=6");
    let swapped = format!("{}?limit=5&meshOwner=123456789012", SERVICE.split('?').next().unwrap());
    let region = SCOPE.replace("us-east-1", "eu-west-1");
    let service = SCOPE.replace("appmesh", "s3");
    let unknown = SCOPE.replace("AKID", "OTHER");
    for (method, uri, scope, signed, signature, body, seconds, expected) in [
        ("GET", SERVICE, SCOPE, SIGNED, READ, "", 300, Ok(())),
        ("GET", SERVICE, SCOPE, SIGNED, READ, "", -300, Ok(())),
        ("GET", &swapped, SCOPE, SIGNED, READ, "", 0, Ok(())),
        ("GET", SERVICE, SCOPE, SIGNED, READ, "", 301, Err(Denial::Expired)),
        ("GET", SERVICE, SCOPE, SIGNED, READ, "", -301, Err(Denial::Future)),
        ("GET", &altered, SCOPE, SIGNED, READ, "", 0, Err(Denial::Mismatch)),
        ("GET", &query, SCOPE, SIGNED, READ, "", 0, Err(Denial::Mismatch)),
        ("GET", SERVICE, SCOPE, SIGNED, READ, "{}", 0, Err(Denial::Mismatch)),
        ("DELETE", SERVICE, SCOPE, SIGNED, READ, "", 0, Err(Denial::Mismatch)),
        ("GET", SERVICE, &unknown, SIGNED, READ, "", 0, Err(Denial::Mismatch)),
        ("GET", SERVICE, &region, SIGNED, READ, "", 0, Err(Denial::Scope)),
        ("GET", SERVICE, &service, SIGNED, READ, "", 0, Err(Denial::Scope)),
        ("GET", SERVICE, SCOPE, "x-amz-date", READ, "", 0, Err(Denial::Headers)),
        ("GET", SERVICE, SCOPE, "host", READ, "", 0, Err(Denial::Headers)),
        ("GET", SERVICE, SCOPE, "host;x-amz-date;x-gone", READ, "", 0, Err(Denial::Headers)),
        ("GET", SERVICE, SCOPE, SIGNED, "12", "", 0, Err(Denial::Malformed)),
        ("PUT", MESHES, SCOPE, SIGNED, WRITE, TOKEN_BODY, 0, Err(Denial::Mismatch)),
        ("PUT", MESHES, SCOPE, SIGNED, WRITE, BODY, 0, Ok(())),
        ("PUT", MESHES, SCOPE, SIGNED, WRITE, BODY, 1, Err(Denial::Replayed)),
        ("PUT", MESHES, SCOPE, SIGNED, TOKEN_WRITE, TOKEN_BODY, 0, Ok(())),
        ("PUT", MESHES, SCOPE, SIGNED, TOKEN_WRITE, TOKEN_BODY, 1, Ok(())),
    ] {
        let found = guard.admit(&parts(method, uri, scope, signed, signature), body.as_bytes(), at(seconds));
        assert_eq!(found, expected, "{method} {uri} {scope} {signed} {body} {seconds}");
    }
    let unsigned = Request::get(SERVICE).body(()).unwrap().into_parts().0;
    assert_eq!(guard.admit(&unsigned, b"", at(0)), Err(Denial::Unsigned));
}

#[test]
fn another_secret_or_a_reading_key_does_not_write() {
    let write = parts("PUT", MESHES, SCOPE, SIGNED, WRITE);
    assert_eq!(guard("other", "guess", false).admit(&write, BODY.as_bytes(), at(0)), Err(Denial::Mismatch));
    let reader = guard("reader", "secret", true);
    assert_eq!(reader.admit(&write, BODY.as_bytes(), at(0)), Err(Denial::ReadOnly));
    assert_eq!(reader.admit(&parts("GET", SERVICE, SCOPE, SIGNED, READ), b"", at(0)), Ok(()));
}

#[test]
fn without_authentication_no_other_site_gets_in() {
    let guard = Guard::Loopback(SocketAddr::from(([127, 0, 0, 1], 9080)));
    for (host, origin, expected) in [
        ("127.0.0.1:9080", None, Ok(())),
        ("localhost:9080", Some("http://localhost:9080"), Ok(())),
        ("[::1]:9080", None, Ok(())),
        ("evil.example:9080", None, Err(Denial::Host)),
        ("127.0.0.1.evil.example", None, Err(Denial::Host)),
        ("127.0.0.1:9080", Some("http://evil.example"), Err(Denial::Origin)),
        ("127.0.0.1:9080", Some("null"), Err(Denial::Origin)),
    ] {
        let mut request = Request::get(MESHES).header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        assert_eq!(guard.admit(&parts, b"", at(0)), expected, "{host} {origin:?}");
    }
}
