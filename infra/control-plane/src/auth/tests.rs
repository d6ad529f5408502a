//! Signatures made by botocore's `SigV4Auth`, with the key AKID and `secret`, at 2026-01-02T03:04:05Z.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use axum::http::{HeaderValue, Request};
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};

use super::*;

const SERVICE: &str = "/v20190125/meshes/shop/virtualServices/a%2Fb%20c?meshOwner=123456789012&limit=5";
const MESHES: &str = "/v20190125/meshes";
const READ: &str = "120943f3e1fdc23254af0e5847720e4fd99c8f44b362e31f5e383e7659aaac02";
const WRITE: &str = "551f9a4a6c27844b815d9fdb9446fcdeef609472702ec76244a61f5f8913d4f6";
const TOKEN_WRITE: &str = "defab9640fe99659b627dd9af5525fd3045978a6dd5651f65c235a8063f846e9";
const VERSION_WRITE: &str = "dc2cec41cf58198921df6a819ccceb0b6037cfd8812155e051e67823b5780343";
const BODY: &str = r#"{"meshName":"shop"}"#;
const TOKEN_BODY: &str = r#"{"meshName":"shop","clientToken":"t"}"#;
const SCOPE: &str = "AKID/20260102/us-east-1/appmesh/aws4_request";
const SIGNED: &str = "host;x-amz-date";

/// A key file in a temporary folder.
struct TestKeyFile(PathBuf);

impl TestKeyFile {
    fn new(test: &str, secret: &str, read_only: bool) -> Self {
        let keys = Self(std::env::temp_dir().join(format!("meshwarden-keys-{test}-{}", std::process::id())));
        keys.write(0o600, &content(secret, read_only));
        keys
    }

    fn write(&self, mode: u32, content: &str) {
        fs::write(&self.0, content).unwrap();
        fs::set_permissions(&self.0, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn guard(&self) -> Result<Guard, GuardError> {
        let addr = SocketAddr::from(([127, 0, 0, 1], 9080));
        Guard::new(&ApiAuth::Keys(self.0.clone()), addr, Region::parse("us-east-1").unwrap(), counts())
    }
}

impl Drop for TestKeyFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn counts() -> ConnectionMetrics {
    crate::metrics::Metrics::new().connections()
}

fn content(secret: &str, read_only: bool) -> String {
    let key = serde_json::json!({"id": "AKID", "secret": secret, "name": "ci", "readOnly": read_only});
    serde_json::json!({"keys": [key]}).to_string()
}

fn admit(guard: &Guard, parts: &Parts, body: &str, now: Timestamp) -> Result<(), Denial> {
    let ours = match guard {
        Guard::Loopback(_) => Caller::Local,
        _ => Caller::Key { id: "AKID".to_owned(), name: "ci".to_owned() },
    };
    let caller = guard.claim(parts, now)?.settle(parts, body.as_bytes(), now).now_or_never();
    caller.expect("needs no other service").map(|caller| assert_eq!(caller, ours))
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
fn a_signature_of_botocore_is_accepted_for_exactly_its_request() {
    let keys = TestKeyFile::new("table", "secret", false);
    let guard = keys.guard().unwrap();
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
        ("GET", SERVICE, SCOPE, "host;x-amz-date;x-missing", READ, "", 0, Err(Denial::Headers)),
        ("GET", SERVICE, SCOPE, SIGNED, "12", "", 0, Err(Denial::Malformed)),
        ("PUT", MESHES, SCOPE, SIGNED, WRITE, TOKEN_BODY, 0, Err(Denial::Mismatch)),
        ("PUT", MESHES, SCOPE, SIGNED, WRITE, BODY, 0, Ok(())),
        ("PUT", MESHES, SCOPE, SIGNED, WRITE, BODY, 2, Ok(())),
        ("PUT", MESHES, SCOPE, SIGNED, WRITE, BODY, 3, Err(Denial::Replayed)),
        ("PUT", MESHES, SCOPE, SIGNED, TOKEN_WRITE, TOKEN_BODY, 0, Ok(())),
        ("PUT", MESHES, SCOPE, SIGNED, TOKEN_WRITE, TOKEN_BODY, 300, Err(Denial::Replayed)),
    ] {
        let found = admit(&guard, &parts(method, uri, scope, signed, signature), body, at(seconds));
        assert_eq!(found, expected, "{method} {uri} {scope} {signed} {body} {seconds}");
    }
    let unsigned = Request::get(SERVICE).body(()).unwrap().into_parts().0;
    assert_eq!(admit(&guard, &unsigned, "", at(0)), Err(Denial::Unsigned));
}

#[test]
fn another_secret_or_a_read_only_key_cannot_write() {
    let write = parts("PUT", MESHES, SCOPE, SIGNED, WRITE);
    let (other, reader) = (TestKeyFile::new("other", "guess", false), TestKeyFile::new("reader", "secret", true));
    assert_eq!(admit(&other.guard().unwrap(), &write, BODY, at(0)), Err(Denial::Mismatch));
    let reader = reader.guard().unwrap();
    assert_eq!(admit(&reader, &write, BODY, at(0)), Err(Denial::ReadOnly));
    assert_eq!(admit(&reader, &parts("GET", SERVICE, SCOPE, SIGNED, READ), "", at(0)), Ok(()));
}

#[test]
fn a_version_header_has_to_be_signed() {
    let keys = TestKeyFile::new("version", "secret", false);
    let guard = keys.guard().unwrap();
    let write = |signed: &str, versions: &[&'static str]| {
        let mut parts = parts("PUT", "/v20190125/meshes/shop", SCOPE, signed, VERSION_WRITE);
        for version in versions {
            parts.headers.append("x-meshwarden-if-version", HeaderValue::from_static(version));
        }
        admit(&guard, &parts, "{}", at(0))
    };
    let all = "host;x-amz-date;x-meshwarden-if-version";
    assert_eq!(write(SIGNED, &["7"]), Err(Denial::Headers), "not signed");
    assert_eq!(write(all, &["8"]), Err(Denial::Mismatch), "changed");
    assert_eq!(write(all, &[]), Err(Denial::Headers), "removed");
    assert_eq!(write(all, &["7", "8"]), Err(Denial::Headers), "two of them");
    assert_eq!(write(all, &["7"]), Ok(()));
    let mut read = parts("GET", SERVICE, SCOPE, SIGNED, READ);
    read.headers.insert("x-meshwarden-anything", HeaderValue::from_static("tags"));
    assert_eq!(admit(&guard, &read, "", at(0)), Err(Denial::Headers), "any header of Meshwarden's own");
}

#[test]
fn a_removed_key_is_refused_at_once_even_if_the_file_is_invalid() {
    let keys = TestKeyFile::new("removed", "secret", false);
    let guard = keys.guard().unwrap();
    let read = parts("GET", SERVICE, SCOPE, SIGNED, READ);
    for (mode, content, expected) in [
        (0o600, content("secret", false), Ok(())),
        (0o600, r#"{"keys": []}"#.to_owned(), Err(Denial::Mismatch)),
        (0o600, content("secret", false), Ok(())),
        (0o600, r#"{"keys": ["#.to_owned(), Err(Denial::NoKeys)),
        (0o600, content("secret", false), Ok(())),
        (0o644, content("secret", false), Err(Denial::NoKeys)),
        (0o600, content("", false), Err(Denial::NoKeys)),
        (0o600, content("other", false), Err(Denial::Mismatch)),
    ] {
        keys.write(mode, &content);
        assert_eq!(admit(&guard, &read, "", at(0)), expected, "{mode:o} {content}");
        assert_eq!(guard.problem().is_some(), expected == Err(Denial::NoKeys));
        assert_eq!(keys.guard().is_err(), expected == Err(Denial::NoKeys), "the server does not start with this file");
    }
    fs::remove_file(&keys.0).unwrap();
    assert_eq!(admit(&guard, &read, "", at(0)), Err(Denial::NoKeys));
}

#[test]
fn the_loopback_api_refuses_requests_from_other_sites() {
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
        assert_eq!(admit(&guard, &parts, "", at(0)), expected, "{host} {origin:?}");
    }
}
