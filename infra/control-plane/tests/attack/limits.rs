//! The table of limits in the README: each row's limit is exceeded, its setting exists, and its metric reports it.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use tonic::Code;

use crate::envoy::{self, Envoy};
use crate::identities::connect_from;
use crate::plane::{FRONT, Folder, Guarded, KEY, Plane, TIMEOUT, keys, signature, until};
use crate::sts::Sts;
use crate::{malformed, proxies, streams};

const README: &str = include_str!("../../README.md");

/// The rows of the table: resource, limit, setting, metric.
fn rows() -> BTreeMap<String, [String; 3]> {
    let section = README.split("\n## Limits\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let table = section.lines().filter(|line| line.starts_with("| `"));
    table
        .map(|line| {
            let cells: Vec<String> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
            (cells[1].clone(), [cells[3].clone(), cells[4].clone(), cells[5].clone()])
        })
        .collect()
}

fn api(reason: &str) -> String {
    format!("meshwarden_connections_closed_total{{service=\"api\",reason=\"{reason}\"}}")
}

fn connect(plane: &Plane, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(plane.api).unwrap()).collect()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Exceeds the limit of a row. `None` for an unknown row.
#[expect(clippy::too_many_lines, reason = "an arm for each row of the table")]
fn exceed(resource: &str) -> Option<()> {
    match resource {
        "connections" => {
            let plane = Plane::start(&[
                "--max-connections",
                "8",
                "--max-idle-connections-per-client",
                "8",
                "--xds",
                "127.0.0.1:0",
            ]);
            let _api = connect(&plane, 7);
            let _proxies: Vec<_> = (0..7).map(|_| TcpStream::connect(&plane.xds[0]).unwrap()).collect();
            until("others are closed", || plane.metric(None, &api("crowded")) > 0);
            let series =
                ["api", "xds"].map(|service| format!("meshwarden_connections{{service=\"{service}\",state=\"idle\"}}"));
            assert!(series.iter().map(|series| plane.metric(None, series)).sum::<u64>() < 8);
        }
        "idle-connections" => {
            let plane = Plane::start(&["--max-idle-connections", "6", "--max-idle-connections-per-client", "6"]);
            let _held = connect(&plane, 20);
            until("others are closed", || plane.metric(None, &api("client_share")) >= 14);
            assert!(plane.metric(None, "meshwarden_connections{service=\"api\",state=\"idle\"}") <= 6);
        }
        "idle-connections-of-a-client" => {
            let plane = Plane::start(&["--max-idle-connections-per-client", "3"]);
            let _held = connect(&plane, 20);
            until("others are closed", || plane.metric(None, &api("client_share")) >= 17);
        }
        "handshake" => {
            let guarded = Guarded::start(None, &[]);
            let _held = connect(&guarded.plane, 3);
            until("handshakes end", || guarded.plane.metric(Some(KEY), &api("handshake_timeout")) == 3);
        }
        "first-request" => {
            let plane = Plane::start(&[]);
            let _held = connect(&plane, 3);
            until("silent connections end", || plane.metric(None, &api("request_timeout")) == 3);
        }
        "idle-time" => {
            let plane = Plane::start(&["--idle-timeout", "1s"]);
            let mut used = TcpStream::connect(plane.api).unwrap();
            used.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            until("an idle connection ends", || plane.metric(None, &api("idle_timeout")) == 1);
        }
        "request-head" => {
            let plane = Plane::start(&[]);
            let long = [("x".to_owned(), "x".repeat(64 * 1024))];
            assert_eq!(plane.send("GET", "/healthz", &long, "").status, 431);
        }
        "request-body" => {
            let plane = Plane::start(&[]);
            let response = plane.send("PUT", "/v20190125/meshes", &[], &" ".repeat(1024 * 1024 + 1));
            assert_eq!(response.status, 400, "{}", response.text);
            let series = "meshwarden_requests_total{operation=\"CreateMesh\",outcome=\"BadRequestException\"}";
            assert_eq!(plane.metric(None, series), 1);
            let mut slow = TcpStream::connect(plane.api).unwrap();
            slow.set_read_timeout(Some(TIMEOUT)).unwrap();
            slow.write_all(b"PUT /v20190125/meshes HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{").unwrap();
            slow.read_to_end(&mut Vec::new()).expect("a body that does not end is given up");
        }
        "unauthenticated-bytes" => {
            let folder = Folder::new();
            let plane = Plane::start(&["--api-auth", "keys", "--api-keys", &folder.write("keys.json", &keys(&[KEY]))]);
            let mut head = "PUT /v20190125/meshes HTTP/1.1\r\ncontent-length: 1048576\r\n".to_owned();
            for (name, value) in signature("AKIDMADEUP", "PUT", "/v20190125/meshes", "") {
                head = format!("{head}{name}: {value}\r\n");
            }
            let flood = |streams: &mut [TcpStream]| {
                for stream in streams {
                    let _ = stream.write_all(format!("{head}\r\n{}", " ".repeat(900_000)).as_bytes());
                }
            };
            let refused = || plane.metric(Some(KEY), "meshwarden_unauthenticated_bodies_refused_total");
            let mib = || plane.metric(Some(KEY), "meshwarden_unauthenticated_bytes") >> 20;
            let mut of_one = connect(&plane, 16);
            flood(&mut of_one);
            until("bodies of one client are refused", || refused() > 0);
            assert!(mib() <= 8);
            let of_one_client = refused();
            // Each of these clients stays below its own limit.
            let clients = (2..8).map(|client| format!("127.0.0.{client}"));
            let mut of_others: Vec<TcpStream> = clients
                .flat_map(|client| (0..8).map(move |_| client.clone()))
                .map(|client| connect_from(&client, &plane))
                .collect();
            flood(&mut of_others);
            until("bodies of other clients are refused", || refused() > of_one_client);
            assert!(mib() <= 32);
        }
        "sts-questions" => {
            let sts = Sts::start(Duration::from_millis(500));
            let plane = sts.plane();
            std::thread::scope(|scope| {
                for number in 0..60 {
                    let identity = sts.identity("ASIAMADEUP", false, number);
                    let plane = &plane;
                    scope.spawn(move || plane.send("GET", "/v20190125/meshes", &[identity], ""));
                }
            });
            assert!(sts_metric(&sts, &plane, "queue_full") > 0);
        }
        "sts-memory" => {
            let sts = Sts::start(Duration::ZERO);
            let plane = sts.plane();
            let identity = [sts.identity("ASIAMADEUP", false, 1)];
            for _ in 0..3 {
                assert_eq!(plane.send("GET", "/v20190125/meshes", &identity, "").status, 403);
            }
            // The unit tests of that memory exceed its number of identities.
            assert_eq!(sts_metric(&sts, &plane, "remembered_refusal"), 2);
        }
        "unread-answers" => {
            let plane = Plane::start(&["--write-timeout", "1s"]);
            let mut stream = TcpStream::connect(plane.api).unwrap();
            stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
            let request = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100);
            until("a client that does not read is disconnected", || {
                let _ = stream.write(&request);
                plane.metric(None, &api("write_timeout")) == 1
            });
        }
        "replay-memory" => {
            // The unit tests of that memory exceed the limit itself, in milliseconds; here it would take minutes.
            let folder = Folder::new();
            let plane = Plane::start(&["--api-auth", "keys", "--api-keys", &folder.write("keys.json", &keys(&[KEY]))]);
            assert_eq!(plane.signed(KEY, "DELETE", "/v20190125/meshes/none", "").status, 404);
            assert_eq!(plane.metric(Some(KEY), "meshwarden_replay_entries"), 1);
        }
        "event-queue" => {
            // A receiver that accepts connections, and never responds.
            let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
            let plane = Plane::start(&["--events", &format!("http://{}/", deaf.local_addr().unwrap())]);
            let series = "meshwarden_change_events_total{receiver=\"webhook\",outcome=\"dropped\"}";
            let mut number = 0;
            until("events are dropped", || {
                for _ in 0..200 {
                    number += 1;
                    let body = format!(r#"{{"meshName": "m{number}"}}"#);
                    plane.send("PUT", "/v20190125/meshes", &[], &body);
                    plane.send("DELETE", &format!("/v20190125/meshes/m{number}"), &[], "");
                }
                plane.metric(None, series) > 0
            });
        }
        "log-field" | "log-line" => malformed::log_lines_are_short_for_any_request(),
        "streams-of-a-proxy" => runtime().block_on(async {
            let plane = proxies::shop();
            let mut held = Vec::new();
            for _ in 0..50 {
                let mut stream = Envoy::connect(envoy::tcp(&plane.xds[0]).await, FRONT).await;
                stream.next().await;
                held.push(stream);
            }
            let status = envoy::refusal(envoy::tcp(&plane.xds[0]).await, FRONT).await;
            assert_eq!(status.code(), Code::ResourceExhausted);
            let series = "meshwarden_xds_streams_refused_total{reason=\"too_many_streams\"}";
            assert_eq!(plane.metric(None, series), 1);
        }),
        "requests-of-a-connection" => {
            let plane = Plane::start(&[]);
            assert_eq!(streams::refused(plane.api, &streams::write_head(), 64, 3), [64, 65, 66]);
        }
        "streams-of-a-connection" => {
            let plane = proxies::shop();
            assert_eq!(streams::refused(&plane.xds[0], &streams::stream_head(), 200, 3), [200, 201, 202]);
        }
        "stream-without-request" => proxies::a_stream_without_a_request_ends(),
        "names-of-a-stream" => proxies::subscriptions_of_one_stream_are_limited(),
        "nack-text" => proxies::texts_of_nacks_are_shortened(),
        "xds-request" => runtime().block_on(async {
            let plane = proxies::shop();
            let status = envoy::refusal(envoy::tcp(&plane.xds[0]).await, &"x".repeat(4 * 1024 * 1024)).await;
            assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
        }),
        _ => return None,
    }
    Some(())
}

fn sts_metric(sts: &Sts, plane: &Plane, outcome: &str) -> u64 {
    let response = plane.send("GET", "/metrics", &[sts.identity("ASIAGOOD1", false, 99)], "");
    let series = format!("meshwarden_sts_identities_total{{outcome=\"{outcome}\"}} ");
    let line = response.text.lines().find_map(|line| line.strip_prefix(&series));
    line.unwrap_or_else(|| panic!("{}", response.text)).parse().unwrap()
}

#[test]
fn every_limit_of_the_readme_has_its_setting_and_its_metric() {
    let help = Command::new(env!("CARGO_BIN_EXE_control-plane")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let plane = Plane::start(&["--events", "http://127.0.0.1:9/"]);
    assert_eq!(plane.send("PUT", "/v20190125/meshes", &[], "{}").status, 400);
    let metrics = plane.send("GET", "/metrics", &[], "").text;
    let rows = rows();
    assert!(rows.len() > 15, "{rows:?}");
    for (resource, [bound, setting, metric]) in rows {
        assert!(!bound.is_empty(), "{resource} has no limit");
        assert!(setting.is_empty() || help.contains(&format!("{setting} <")), "{resource}: {setting} is not an option");
        let series = format!("meshwarden_{metric} ");
        let exists = metrics.lines().any(|line| line.starts_with(&series));
        assert!(metric.is_empty() || exists, "{resource}: the metric {series} does not exist: {metrics}");
    }
}

#[test]
fn every_limit_of_the_readme_is_enforced() {
    std::thread::scope(|scope| {
        let probes: Vec<_> = rows()
            .into_keys()
            .map(|resource| {
                let named = resource.clone();
                (named, scope.spawn(move || exceed(&resource)))
            })
            .collect();
        for (resource, probe) in probes {
            let exceeded = probe.join().unwrap_or_else(|_| panic!("the limit of {resource} is not enforced"));
            assert!(exceeded.is_some(), "no test exceeds the limit of {resource}");
        }
    });
}
