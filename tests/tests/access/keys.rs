//! Tests of `--api-auth keys`.

use std::time::{Duration, Instant};

use aws_sdk_appmesh::Client;
use aws_sdk_appmesh::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_appmesh::types::TagRef;
use control_plane::ApiAuth;

use crate::plane::{ClockOffset, GuardedControlPlane, Interceptor, KeyFile, RequestChange};

const KEYS: &str = r#"{"keys": [
    {"id": "AKIDWRITER", "secret": "writer's", "name": "functions"},
    {"id": "AKIDREADER", "secret": "reader's", "name": "dashboard", "readOnly": true}
]}"#;

async fn plane(test: &str) -> (GuardedControlPlane, KeyFile) {
    let keys = KeyFile::keys(test, KEYS);
    (GuardedControlPlane::start(ApiAuth::Keys(keys.path().to_owned())).await, keys)
}

fn writer(plane: &GuardedControlPlane) -> Client {
    Client::from_conf(plane.client("AKIDWRITER", "writer's").build())
}

/// The server's reason of a refusal.
#[track_caller]
fn refusal<T, E>(result: Result<T, SdkError<E>>) -> String
where
    SdkError<E>: ProvideErrorMetadata,
    E: std::error::Error + Send + Sync + 'static,
{
    let Err(error) = result else { unreachable!("the request was accepted") };
    let output = format!("{}: {}", error.code().unwrap_or("?"), error.message().unwrap_or("?"));
    assert!(error.raw_response().is_some(), "{}", DisplayErrorContext(&error));
    output
}

#[tokio::test]
async fn sdk_requests_with_any_content_are_accepted() {
    let (plane, _keys) = plane("pass").await;
    let client = writer(&plane);
    let mesh = client.create_mesh().mesh_name("shop").send().await.unwrap();
    let arn = mesh.mesh().unwrap().metadata().unwrap().arn().to_owned();
    let name = "a b/orders.local";
    let spec = aws_sdk_appmesh::types::VirtualServiceSpec::builder().build();
    client.create_virtual_service().mesh_name("shop").virtual_service_name(name).spec(spec).send().await.unwrap();
    let described = client.describe_virtual_service().mesh_name("shop").virtual_service_name(name).send().await;
    assert_eq!(described.unwrap().virtual_service().unwrap().virtual_service_name(), name);
    let tag = TagRef::builder().key("a").value("ü b").build().unwrap();
    client.tag_resource().resource_arn(&arn).tags(tag).send().await.unwrap();
    client.untag_resource().resource_arn(&arn).tag_keys("a").send().await.unwrap();
    client.delete_virtual_service().mesh_name("shop").virtual_service_name(name).send().await.unwrap();
    let reader = Client::from_conf(plane.client("AKIDREADER", "reader's").build());
    assert_eq!(reader.list_meshes().limit(7).send().await.unwrap().meshes().len(), 1);
    assert!(refusal(reader.delete_mesh().mesh_name("shop").send().await).contains("read-only"));
}

#[tokio::test]
async fn other_keys_and_unsigned_requests_are_denied() {
    let (plane, _keys) = plane("else").await;
    writer(&plane).create_mesh().mesh_name("shop").send().await.unwrap();
    for (key, secret) in [("AKIDWRITER", "reader's"), ("AKIDREADER", ""), ("AKIDOTHER", "writer's"), ("", "")] {
        let stranger = Client::from_conf(plane.client(key, secret).build());
        let output = refusal(stranger.list_meshes().send().await);
        assert!(output.starts_with("ForbiddenException: "), "{key} {output}");
    }
    for (off, expected) in [(-400, "has expired"), (400, "is not valid yet")] {
        let late = Client::from_conf(plane.client("AKIDWRITER", "writer's").time_source(ClockOffset(off)).build());
        let output = refusal(late.list_meshes().send().await);
        assert!(output.contains(expected), "{output}");
    }
    let elsewhere = plane.client("AKIDWRITER", "writer's").region(aws_config::Region::new("us-east-1"));
    assert!(refusal(Client::from_conf(elsewhere.build()).list_meshes().send().await).contains("scope"));
    for path in [
        "/v20190125/meshes",
        "/metrics",
        "/certificates",
        "/proxies",
        "/proxies/shop/virtualNode/front",
        "/",
        "/%2e/metrics",
    ] {
        assert_eq!(plane.status(path).await, 403, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(plane.status(path).await, 200, "{path}");
    }
}

#[tokio::test]
async fn changed_signed_request_is_denied() {
    let (plane, _keys) = plane("changed").await;
    for (change, expected) in [
        (RequestChange::Body(r#"{"meshName": "other"}"#), "does not match"),
        (RequestChange::Query("meshOwner=123456789012"), "does not match"),
        (RequestChange::Header("x-meshwarden-if-version", "0"), "x-meshwarden- headers must be signed"),
        (RequestChange::Header("host", "other.example"), "does not match"),
        (RequestChange::Without("x-amz-date"), "must be signed"),
        (RequestChange::Without("authorization"), "is not signed"),
        (RequestChange::Header("x-amz-date", "20200102T030405Z"), "scope"),
    ] {
        let client = plane.client("AKIDWRITER", "writer's").interceptor(Interceptor::with(change));
        let output = refusal(Client::from_conf(client.build()).create_mesh().mesh_name("shop").send().await);
        assert!(output.contains(expected), "{change:?}: {output}");
    }
    assert!(writer(&plane).list_meshes().send().await.unwrap().meshes().is_empty());
}

#[tokio::test]
async fn replayed_write_is_denied_after_the_time_of_a_retry() {
    let (plane, _keys) = plane("overheard").await;
    let interceptor = Interceptor::default();
    let client = Client::from_conf(plane.client("AKIDWRITER", "writer's").interceptor(interceptor.clone()).build());
    client.create_mesh().mesh_name("shop").send().await.unwrap();
    client.delete_mesh().mesh_name("shop").send().await.unwrap();
    let deleted = interceptor.recorded()[1].clone();
    assert_eq!(deleted.again().await, 404, "an SDK's retry within the second gets the API's own answer");
    client.create_mesh().mesh_name("shop").send().await.unwrap();
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        match deleted.again().await {
            403 => break,
            // The replay deleted the mesh again, within the time of a retry. The mesh is recreated, to detect that the
            // last replay deletes nothing.
            200 => drop(client.create_mesh().mesh_name("shop").send().await.unwrap()),
            other => assert_eq!(other, 404),
        }
        assert!(Instant::now() < give_up, "the replay was not denied in time");
        // Slower than the limit of writes of the key.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(client.list_meshes().send().await.unwrap().meshes().len(), 1);
}

#[tokio::test]
async fn removed_key_is_denied_and_invalid_file_is_reported() {
    let (plane, keys) = plane("taken").await;
    let client = writer(&plane);
    client.list_meshes().send().await.unwrap();
    keys.write(r#"{"keys": []}"#);
    assert!(refusal(client.list_meshes().send().await).starts_with("ForbiddenException"));
    keys.write(r#"{"keys": "#);
    assert!(refusal(client.list_meshes().send().await).starts_with("ServiceUnavailableException"));
    assert_eq!((plane.status("/readyz").await, plane.status("/healthz").await), (503, 200));
    keys.write(KEYS);
    client.list_meshes().send().await.unwrap();
    assert_eq!(plane.status("/readyz").await, 200);
}

#[tokio::test]
async fn unsigned_request_is_denied_before_its_body() {
    let (plane, _keys) = plane("body").await;
    // The server must refuse the request by its headers: the body never ends.
    let head = "PUT /v20190125/meshes HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    let answer = tokio::task::spawn_blocking({
        let addr = plane.endpoint.strip_prefix("http://").unwrap().to_owned();
        move || {
            use std::io::{Read as _, Write as _};
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).unwrap();
            String::from_utf8_lossy(&answer).into_owned()
        }
    });
    assert_eq!(answer.await.unwrap(), "HTTP/1.1 403");
}
