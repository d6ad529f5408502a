//! Unknown callers, and known callers that exceed their share.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use axum::http::Request;
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::plane::{Folder, KEY, MAX_MEMORY, Plane, figure, keys, mib, prompt, rounds, signature, until};
use crate::sts::Sts;

/// Sends bodies that never end, 64 on each connection, while the closure runs; returns its result.
async fn with_bodies<T>(
    plane: &Plane,
    headers: Vec<(String, String)>,
    connections: usize,
    then: impl FnOnce() -> T,
) -> T {
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        for number in 0..64 {
            let mut request = Request::put(format!("http://{}/v20190125/meshes?limit={number}", plane.api));
            for (name, value) in &headers {
                request = request.header(name, value);
            }
            let chunk = Bytes::from(vec![b' '; 64 * 1024]);
            let chunks = futures::stream::repeat(chunk).take(15).chain(futures::stream::pending());
            let body = StreamBody::new(Box::pin(chunks.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)))));
            let response = client.request(request.body(body).unwrap());
            sending.spawn(async move { response.await.map(|response| response.status()) });
        }
    }
    // The first ones are refused or displaced when their memory is used up.
    let first = tokio::time::timeout(Duration::from_secs(20), sending.join_next()).await;
    assert!(first.is_ok(), "no body was refused");
    tokio::task::block_in_place(then)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_unknown_callers_use_little_memory() {
    let sts = Sts::start(Duration::ZERO);
    let plane = sts.plane();
    let identity = sts.identity("ASIAMADEUP", true, 1);
    with_bodies(&plane, vec![identity], 6 * rounds(), || {
        let memory = plane.memory();
        figure(&format!("memory with {} unauthenticated bodies, `sts`", 384 * rounds()), &mib(memory));
        assert!(memory < MAX_MEMORY / 2, "{} MiB", memory >> 20);
        prompt("a caller from the same address", || {
            let body = r#"{"meshName": "shop"}"#;
            let response = plane.send("PUT", "/v20190125/meshes", &[sts.identity("ASIAGOOD1", true, 2)], body);
            assert_eq!(response.status, 200, "{}", response.text);
        });
        let metrics = plane.send("GET", "/metrics", &[sts.identity("ASIAGOOD1", false, 3)], "").text;
        assert!(!metrics.contains("meshwarden_unauthenticated_bodies_refused_total 0"), "{metrics}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_with_forged_keys_use_little_memory() {
    let folder = Folder::new();
    let file = folder.write("keys.json", &keys(&[KEY]));
    let plane = Plane::start(&["--api-auth", "keys", "--api-keys", &file]);
    let mut forged = signature("AKIDFORGED", "PUT", "/v20190125/meshes", "");
    forged.retain(|(name, _)| name != "host");
    with_bodies(&plane, forged, 6 * rounds(), || {
        let memory = plane.memory();
        figure(&format!("memory with {} unauthenticated bodies, `keys`", 384 * rounds()), &mib(memory));
        assert!(memory < MAX_MEMORY / 2, "{} MiB", memory >> 20);
        let response =
            prompt("a signed write", || plane.signed(KEY, "PUT", "/v20190125/meshes", r#"{"meshName": "shop"}"#));
        assert_eq!(response.status, 200, "{}", response.text);
    })
    .await;
}

/// Sends requests with forged identities from 127.0.0.1 while the closure runs.
fn with_forged_identities(sts: &Sts, plane: &Plane, threads: usize, work: impl FnOnce()) {
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let ended = &ended;
            scope.spawn(move || {
                for number in 0.. {
                    if ended.load(std::sync::atomic::Ordering::Relaxed) {
                        return;
                    }
                    let identity = sts.identity("ASIAMADEUP", false, 1_000_000 * (thread + 1) + number);
                    plane.send("GET", "/v20190125/meshes", &[identity], "");
                }
            });
        }
        until("forged identities are sent to STS", || sts.requests() > threads / 2);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        outcome.unwrap();
    });
}

/// A connection from another address of this machine.
pub(crate) fn connect_from(address: &str, plane: &Plane) -> TcpStream {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(plane.api).await.unwrap().into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream
    })
}

/// A request from another address of this machine.
fn from_elsewhere(plane: &Plane, (name, value): &(String, String)) -> String {
    let mut stream = connect_from("127.0.0.2", plane);
    let head =
        format!("GET /v20190125/meshes HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{name}: {value}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn forged_identities_do_not_delay_other_callers() {
    let sts = Sts::start(Duration::from_millis(200));
    let plane = sts.plane();
    // These credentials were confirmed by STS before.
    assert_eq!(plane.send("GET", "/v20190125/meshes", &[sts.identity("ASIAGOOD1", false, 1)], "").status, 200);
    with_forged_identities(&sts, &plane, 64, || {
        for number in 2..5 {
            prompt("a caller with known credentials, from the same address", || {
                let response = plane.send("GET", "/v20190125/meshes", &[sts.identity("ASIAGOOD1", false, number)], "");
                assert_eq!(response.status, 200, "{}", response.text);
            });
            prompt("a new caller from another address", || {
                let credentials = format!("ASIAGOOD{number}");
                let response = from_elsewhere(&plane, &sts.identity(&credentials, false, 10 * number));
                assert!(response.starts_with("HTTP/1.1 200"), "{response}");
            });
        }
    });
}

#[test]
fn a_refused_identity_is_sent_to_sts_once() {
    let sts = Sts::start(Duration::ZERO);
    let plane = sts.plane();
    let identity = [sts.identity("ASIAMADEUP", false, 7)];
    for _ in 0..10 {
        assert_eq!(plane.send("GET", "/v20190125/meshes", &identity, "").status, 403);
    }
    assert_eq!(sts.requests(), 1);
    let write = [sts.identity("ASIAMADEUP", true, 8)];
    for body in ["{}", "[]", ""] {
        assert_eq!(plane.send("PUT", "/v20190125/meshes", &write, body).status, 403);
    }
    assert_eq!(sts.requests(), 2);
}

/// The response to a request's head, before any byte of the body was sent.
fn response_to_head(plane: &Plane, headers: &[(String, String)]) -> String {
    let mut stream = TcpStream::connect(plane.api).unwrap();
    let mut head =
        "PUT /v20190125/meshes HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue\r\nconnection: close\r\n"
            .to_owned();
    for (name, value) in headers {
        head = format!("{head}{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    let _ = stream.write_all(b"{}");
    let mut rest = String::new();
    let _ = stream.read_to_string(&mut rest);
    let rest: Vec<&str> = rest.split("\r\n").filter(|line| line.starts_with("HTTP/1.1")).collect();
    format!("{} {}", String::from_utf8_lossy(&first), rest.join(" "))
}

#[test]
fn known_and_unknown_keys_get_the_same_response() {
    let folder = Folder::new();
    let file = folder.write("keys.json", &keys(&[KEY]));
    let plane = Plane::start(&["--api-auth", "keys", "--api-keys", &file]);
    let wrong = |id: &str| {
        let mut headers = signature(id, "PUT", "/v20190125/meshes", "{}");
        for (name, value) in &mut headers {
            if name == "authorization" {
                let at = value.rfind('=').unwrap();
                value.replace_range(at + 1.., &"0".repeat(64));
            }
        }
        response_to_head(&plane, &headers)
    };
    assert_eq!(wrong(KEY), wrong("AKIDFORGED"));
    assert!(wrong(KEY).contains(" 403"), "{}", wrong(KEY));
}

#[test]
fn the_writes_of_one_key_do_not_block_another_key() {
    let folder = Folder::new();
    let file = folder.write("keys.json", &keys(&[KEY, "AKIDLOUD"]));
    let plane = Plane::start(&["--api-auth", "keys", "--api-keys", &file]);
    let begun = Instant::now();
    let mut sent = 0;
    while sent < 200 * rounds() && begun.elapsed() < Duration::from_mins(1) {
        // Refused, but its signature is remembered.
        let path = format!("/v20190125/meshes/none?limit={sent}");
        assert_eq!(plane.signed("AKIDLOUD", "DELETE", &path, "").status / 100, 4);
        sent += 1;
    }
    assert_eq!(plane.metric(Some(KEY), "meshwarden_replay_entries"), u64::try_from(sent).unwrap());
    assert_eq!(plane.signed(KEY, "PUT", "/v20190125/meshes", r#"{"meshName": "shop"}"#).status, 200);
}
