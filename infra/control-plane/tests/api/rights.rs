//! Rights over HTTP: each operation and each endpoint, by callers of each level, and of another mesh.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningParams, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use control_plane::{ApiAuth, Server, Settings, WriteLimit};
use serde_json::{Value, json};

use crate::client::{ARN, Plane};
use crate::fixture::samples;

const LEVELS: [&str; 4] = ["read", "tag", "update", "write"];

/// A temporary file, removed with the test.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str, content: &Value) -> Self {
        let file = Self(std::env::temp_dir().join(format!("meshwarden-rights-{name}-{}", std::process::id())));
        file.write(&content.to_string());
        file
    }

    fn write(&self, content: &str) {
        fs::write(&self.0, content).unwrap();
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// A server with a key for each level on mesh `shop`, and others.
struct Guarded {
    plane: Plane,
    rights: TempFile,
    _keys: TempFile,
}

impl Guarded {
    async fn start(test: &str, write_limit: WriteLimit) -> Self {
        let ids = LEVELS.into_iter().chain(["root", "other", "empty", "unlisted", "route", "certificates"]);
        let keys: Vec<Value> = ids.map(|id| json!({"id": id, "secret": format!("secret-{id}"), "name": id})).collect();
        let keys = TempFile::new(&format!("{test}-keys"), &json!({ "keys": keys }));
        let rights = TempFile::new(test, &subjects());
        let settings = Settings {
            api_auth: ApiAuth::Keys(keys.0.clone()),
            rights: Some(rights.0.clone()),
            write_limit,
            ..Plane::settings()
        };
        let plane = Plane::serving(Server::bind(settings).await.unwrap());
        Self { plane, rights, _keys: keys }
    }

    /// The status and the body of a signed request.
    async fn send(&self, key: &str, method: &str, path: &str, body: &str) -> (u16, String) {
        let response = self.response(key, method, path, body).await;
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn response(&self, key: &str, method: &str, path: &str, body: &str) -> reqwest::Response {
        let host = self.plane.endpoint.strip_prefix("http://").unwrap();
        let identity = Credentials::new(key, format!("secret-{key}"), None, None, "tests").into();
        let mut settings = SigningSettings::default();
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let params = v4::SigningParams::builder().identity(&identity).region("eu-west-1").name("appmesh");
        let params = params.time(SystemTime::now()).settings(settings).build().unwrap();
        let uri = format!("{}{path}", self.plane.endpoint);
        let signed =
            SignableRequest::new(method, &uri, [("host", host)].into_iter(), SignableBody::Bytes(body.as_bytes()));
        let (signed, _) = sign(signed.unwrap(), &SigningParams::V4(params)).unwrap().into_parts();
        let mut request = reqwest::Client::new().request(method.parse().unwrap(), &uri).body(body.to_owned());
        for (name, value) in signed.headers() {
            request = request.header(name, value);
        }
        request.send().await.unwrap()
    }

    async fn create_shop(&self) {
        for sample in samples() {
            let path = format!("/v20190125{}", sample.collection);
            let (status, text) = self.send("root", "PUT", &path, &sample.body().to_string()).await;
            assert_eq!(status, 200, "{text}");
        }
    }
}

fn subjects() -> Value {
    let levels = LEVELS.map(|level| json!({"key": level, "grants": [{"meshes": ["shop"], "level": level}]}));
    let more = [
        json!({"key": "root", "grants": [{"meshes": ["*"], "level": "write", "certificates": true, "tokens": ["*"]}]}),
        json!({"key": "other", "grants": [{"meshes": ["bank"], "level": "write"}]}),
        json!({"key": "empty", "grants": []}),
        json!({"key": "route", "grants": [{"meshes": ["shop"], "kinds": ["route"], "level": "write"}]}),
        json!({"key": "certificates", "grants": [{"certificates": true}]}),
    ];
    json!({"subjects": levels.into_iter().chain(more).collect::<Vec<_>>()})
}

/// One operation: name, level, method, path and body.
struct Operation {
    kind: &'static str,
    level: &'static str,
    method: &'static str,
    path: String,
    body: String,
}

/// The 38 operations on the resources of mesh `shop`. Deletions are last, children before their parents.
fn operations() -> Vec<Operation> {
    let (mut all, mut deletions) = (Vec::new(), Vec::new());
    for sample in samples() {
        let (kind, collection) = (sample.kind, format!("/v20190125{}", sample.collection));
        let path = format!("/v20190125{}", sample.uri());
        let operation = |level, method, path: &str, body: Option<Value>| Operation {
            kind,
            level,
            method,
            path: path.to_owned(),
            body: body.map(|body| body.to_string()).unwrap_or_default(),
        };
        if kind != "mesh" {
            all.push(operation("read", "GET", &collection, None));
        }
        all.push(operation("write", "PUT", &collection, Some(sample.body())));
        all.push(operation("read", "GET", &path, None));
        all.push(operation("update", "PUT", &path, Some(json!({"spec": sample.other_spec}))));
        deletions.push(operation("write", "DELETE", &path, None));
        if kind == "route" {
            let arn = format!("resourceArn={ARN}{}", sample.path).replace(':', "%3A").replace('/', "%2F");
            let at = |action: &str| format!("/v20190125/{action}?{arn}");
            all.push(operation("read", "GET", &at("tags"), None));
            all.push(operation("tag", "PUT", &at("tag"), Some(json!({"tags": [{"key": "a", "value": "b"}]}))));
            all.push(operation("tag", "PUT", &at("untag"), Some(json!({"tagKeys": ["a"]}))));
        }
    }
    all.extend(deletions.into_iter().rev());
    all
}

#[tokio::test]
async fn each_operation_needs_its_level_on_its_kind_in_its_mesh() {
    let guarded = Guarded::start("operations", WriteLimit::default()).await;
    guarded.create_shop().await;
    let operations = operations();
    assert_eq!(operations.len() + 1, 38, "all but ListMeshes, which is filtered");
    let before: Vec<_> = guarded.plane.store.inspect(|state| state.resources().cloned().collect());
    let callers = LEVELS.into_iter().chain(["other", "empty", "unlisted", "route", "certificates"]);
    let (mut denied, mut allowed) = (0, Vec::new());
    for caller in callers {
        let rank = LEVELS.iter().position(|level| *level == caller);
        for operation in &operations {
            let Operation { kind, level, method, path, body } = operation;
            let needed = LEVELS.iter().position(|known| known == level).unwrap();
            if rank.is_some_and(|rank| rank >= needed) || (caller == "route" && *kind == "route") {
                allowed.push((caller, operation));
                continue;
            }
            let response = guarded.response(caller, method, path, body).await;
            let error = response.headers().get("x-amzn-errortype").unwrap().clone();
            let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
            assert_eq!((status, error.to_str().unwrap()), (403, "ForbiddenException"), "{caller} {method} {path}");
            let missing = format!(
                "key {caller} may not do this: the rights file does not grant level {level} on kind {kind} in mesh shop"
            );
            assert!(text.contains(&missing), "{caller} {method} {path}: {text}");
            denied += 1;
        }
    }
    assert!(denied > 200, "{denied}");
    let after: Vec<_> = guarded.plane.store.inspect(|state| state.resources().cloned().collect());
    assert_eq!(before, after, "a denied request changes nothing");
    for (caller, Operation { method, path, body, .. }) in allowed {
        let (status, text) = guarded.send(caller, method, path, body).await;
        // 409: the resource exists already; 404: another caller deleted it.
        assert!([200, 404, 409].contains(&status), "{caller} {method} {path}: {status} {text}");
    }
    let (_, metrics) = guarded.send("root", "GET", "/metrics", "").await;
    assert!(
        metrics.contains(r#"meshwarden_rights_denied_total{operation="DeleteRoute",missing="write"}"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn list_of_meshes_has_the_meshes_that_the_caller_may_read_in_pages() {
    let guarded = Guarded::start("meshes", WriteLimit::default()).await;
    for name in ["a", "bank", "c", "shop", "z"] {
        let body = json!({"meshName": name}).to_string();
        assert_eq!(guarded.send("root", "PUT", "/v20190125/meshes", &body).await.0, 200);
    }
    for (caller, expected) in
        [("root", "a bank c shop z"), ("read", "shop"), ("other", "bank"), ("empty", ""), ("route", "")]
    {
        let (mut names, mut next) = (Vec::new(), String::new());
        loop {
            let (status, text) = guarded.send(caller, "GET", &format!("/v20190125/meshes?limit=1{next}"), "").await;
            assert_eq!(status, 200, "{text}");
            let page: Value = serde_json::from_str(&text).unwrap();
            names.extend(
                page["meshes"].as_array().unwrap().iter().map(|mesh| mesh["meshName"].as_str().unwrap().to_owned()),
            );
            let Some(token) = page["nextToken"].as_str() else { break };
            next = format!("&nextToken={token}");
        }
        assert_eq!(names.join(" "), expected, "{caller}");
    }
    assert_eq!(guarded.send("unlisted", "GET", "/v20190125/meshes", "").await.0, 403);
    for (caller, name, expected) in [("write", "shop2", 403), ("other", "shop", 403), ("other", "bank", 409)] {
        let body = json!({"meshName": name, "clientToken": "t"}).to_string();
        assert_eq!(guarded.send(caller, "PUT", "/v20190125/meshes", &body).await.0, expected, "{caller} {name}");
    }
}

#[tokio::test]
async fn each_endpoint_needs_its_grant() {
    let guarded = Guarded::start("endpoints", WriteLimit::default()).await;
    guarded.create_shop().await;
    let front = "/proxies/shop/virtualNode/orders_v1";
    let readers = ["read", "tag", "update", "write", "root"];
    let listed = ["read", "tag", "update", "write", "root", "other", "empty", "route", "certificates"];
    for (method, path, expected, callers) in [
        ("GET", "/metrics", 200, &listed[..]),
        ("GET", "/proxies", 200, &listed[..]),
        ("GET", front, 200, &readers[..]),
        ("GET", "/findings/shop", 200, &readers[..]),
        ("GET", "/certificates", 200, &["root", "certificates"]),
        ("POST", "/certificates/refresh", 202, &["root", "certificates"]),
        // Nothing is said about resources in meshes that a caller may not read.
        ("GET", "/findings/bank", 404, &["other", "root"]),
        ("GET", "/proxies/bank/virtualNode/front", 404, &["other", "root"]),
    ] {
        for caller in listed.into_iter().chain(["unlisted"]) {
            let (status, text) = guarded.send(caller, method, path, "").await;
            let expected = if callers.contains(&caller) { expected } else { 403 };
            assert_eq!(status, expected, "{caller} {method} {path}: {text}");
        }
    }
    let filtered = |text: String| serde_json::from_str::<Value>(&text).unwrap().get("filtered").cloned();
    assert_eq!(filtered(guarded.send("root", "GET", "/proxies", "").await.1), None);
    assert_eq!(filtered(guarded.send("read", "GET", "/proxies", "").await.1), Some(true.into()));
}

#[tokio::test]
async fn changed_file_is_in_force_at_once_and_an_invalid_one_refuses_every_caller() {
    let guarded = Guarded::start("reload", WriteLimit::default()).await;
    let status = async |key: &str| guarded.send(key, "GET", "/v20190125/meshes", "").await.0;
    let ready = async || reqwest::get(format!("{}/readyz", guarded.plane.endpoint)).await.unwrap().status().as_u16();
    assert_eq!((status("read").await, status("unlisted").await, ready().await), (200, 403, 200));
    guarded.rights.write(r#"{"subjects": [{"key": "unlisted", "grants": []}]}"#);
    assert_eq!((status("read").await, status("unlisted").await), (403, 200));
    guarded.rights.write(r#"{"subjects": [{"key": "unlisted"}]}"#);
    assert_eq!((status("read").await, status("unlisted").await, ready().await), (503, 503, 503));
    guarded.rights.write(&subjects().to_string());
    assert_eq!((status("read").await, ready().await), (200, 200));
    fs::set_permissions(&guarded.rights.0, fs::Permissions::from_mode(0o622)).unwrap();
    assert_eq!(status("read").await, 503, "another user may change the file");
}

#[tokio::test]
async fn writes_beyond_the_limit_of_a_key_are_refused_with_a_time() {
    let guarded = Guarded::start("limit", WriteLimit { per_second: 1, burst: 3 }).await;
    let body = |number: usize| json!({"meshName": format!("m{number}")}).to_string();
    let bodies: Vec<String> = (0..40).map(body).collect();
    let writes = bodies.iter().map(|body| guarded.response("root", "PUT", "/v20190125/meshes", body));
    let responses = futures::future::join_all(writes).await;
    let refused: Vec<_> = responses.into_iter().filter(|response| response.status() == 429).collect();
    assert!(!refused.is_empty() && refused.len() <= 37, "{}", refused.len());
    for response in refused {
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(header("x-amzn-errortype"), "TooManyRequestsException");
        assert_eq!(header("x-meshwarden-outcome"), "not-applied");
        assert_eq!(header("retry-after"), "1");
    }
    assert_eq!(guarded.send("root", "GET", "/v20190125/meshes", "").await.0, 200, "reads have no limit");
    let (status, text) = guarded.send("other", "PUT", "/v20190125/meshes", r#"{"meshName": "bank"}"#).await;
    assert_eq!(status, 200, "another key has its own limit: {text}");
}
