//! Invalid requests.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::plane::{Folder, MAX_MEMORY, Plane, figure, mib, prompt, rounds};

/// A generator of reproducible pseudo-random numbers (`xorshift`).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below.max(1)).unwrap()).unwrap()
    }
}

const REQUESTS: [&str; 6] = [
    "GET /v20190125/meshes?limit=5 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    "PUT /v20190125/meshes HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 20\r\n\r\n{\"meshName\": \"shop\"}",
    "PUT /v20190125/meshes/shop/virtualNodes HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n0\r\n\r\n",
    "GET /proxies/shop/virtualNode/front HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x04\x08\0\0\0\0\0\0\0\0\x01",
    "POST /certificates/refresh HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 0\r\n\r\n",
];

#[test]
fn thousands_of_malformed_requests_cause_no_server_error() {
    let plane = Plane::start(&[]);
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let count = 1500 * rounds();
    for number in 0..count {
        let mut bytes = REQUESTS[number % REQUESTS.len()].as_bytes().to_vec();
        for _ in 0..=numbers.next(4) {
            let at = numbers.next(bytes.len());
            match numbers.next(5) {
                0 => bytes[at] = u8::try_from(numbers.next(256)).unwrap(),
                1 => drop(bytes.drain(at..)),
                2 => bytes.insert(at, b"\0\r\n\t%\xff:;"[numbers.next(8)]),
                3 => {
                    let piece = bytes[at..(at + numbers.next(30)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => bytes.splice(at..at, vec![b'a'; numbers.next(5000)]).for_each(drop),
            }
            if bytes.is_empty() {
                bytes.push(b'G');
            }
        }
        // A truncated request ends at once, too, because the client closes its writing side.
        let status = half_closed(&plane, &bytes);
        assert!(status / 100 != 5, "{status}: {:?}", String::from_utf8_lossy(&bytes));
    }
    prompt("/healthz", || assert!(plane.is_healthy()));
    let memory = plane.memory();
    figure(&format!("memory after {count} malformed requests"), &mib(memory));
    assert!(memory < MAX_MEMORY);
}

fn half_closed(plane: &Plane, bytes: &[u8]) -> u16 {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(plane.api).unwrap();
    stream.set_read_timeout(Some(crate::plane::TIMEOUT)).unwrap();
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    let text = String::from_utf8_lossy(&response).into_owned();
    text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

/// Changes a random part of a document.
fn mutate(value: &mut Value, numbers: &mut Numbers) {
    match value {
        Value::Object(members) if !members.is_empty() && numbers.next(4) > 0 => {
            let at = numbers.next(members.len());
            if numbers.next(8) == 0 {
                let name = members.keys().nth(at).unwrap().clone();
                members.remove(&name);
            } else {
                mutate(members.values_mut().nth(at).unwrap(), numbers);
            }
        }
        Value::Array(items) if !items.is_empty() && numbers.next(4) > 0 => {
            let at = numbers.next(items.len());
            if numbers.next(8) == 0 {
                let item = items[at].clone();
                items.extend(vec![item; numbers.next(200)]);
            } else {
                mutate(&mut items[at], numbers);
            }
        }
        other => {
            *other = match numbers.next(9) {
                0 => Value::Null,
                1 => json!(-1),
                2 => json!(1e300),
                3 => json!(""),
                4 => json!("x".repeat(numbers.next(5000))),
                5 => json!([[[[[[]]]]]]),
                6 => json!({"http": {"match": {"prefix": "/"}}}),
                7 => json!("(".repeat(50)),
                _ => json!("\u{202e}\0\u{fffd}"),
            }
        }
    }
}

#[test]
fn mutated_specs_are_accepted_or_refused_without_damage() {
    let plane = Plane::start(&["--xds", "127.0.0.1:0", "--admission", "warn"]);
    let put = |path: &str, body: &Value| plane.send("PUT", &format!("/v20190125/meshes{path}"), &[], &body.to_string());
    assert_eq!(put("", &json!({"meshName": "shop"})).status, 200);
    let node = json!({"virtualNodeName": "front", "spec": {
        "listeners": [{
            "portMapping": {"port": 8080, "protocol": "http"},
            "healthCheck": {"protocol": "http", "path": "/", "healthyThreshold": 2, "unhealthyThreshold": 2,
                "timeoutMillis": 2000, "intervalMillis": 5000},
            "tls": {"mode": "STRICT", "certificate": {"file": {"certificateChain": "/a", "privateKey": "/b"}}},
            "outlierDetection": {"maxServerErrors": 5, "maxEjectionPercent": 50, "interval": {"unit": "s", "value": 10},
                "baseEjectionDuration": {"unit": "s", "value": 30}},
        }],
        "serviceDiscovery": {"dns": {"hostname": "front.local"}},
        "backends": [{"virtualService": {"virtualServiceName": "back.local"}}],
        "logging": {"accessLog": {"file": {"path": "/dev/stdout"}}},
    }});
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let mut accepted = 0;
    let count = 300 * rounds();
    for number in 0..count {
        let mut body = node.clone();
        body["virtualNodeName"] = json!(format!("front-{}", number % 20));
        for _ in 0..=numbers.next(3) {
            mutate(&mut body["spec"], &mut numbers);
        }
        let response = put("/shop/virtualNodes", &body);
        assert!(response.status / 100 != 5 && response.status != 0, "{body}: {}", response.text);
        accepted += usize::from(response.status == 200);
    }
    assert!(accepted > 0);
    let findings = plane.send("GET", "/findings/shop", &[], "");
    assert_eq!(findings.status, 200, "{}", findings.text);
    assert!(plane.is_healthy());
    figure(&format!("accepted of {count} mutated specs"), &accepted.to_string());
}

#[test]
fn deceptive_names_tags_and_headers_are_refused() {
    let plane = Plane::start(&[]);
    let put = |body: &Value| plane.send("PUT", "/v20190125/meshes", &[], &body.to_string());
    for name in [".", "..", "a\u{202e}b", "a\0b", "a\u{200b}", "\u{2066}a"] {
        let response = put(&json!({"meshName": name}));
        assert_eq!(response.status, 400, "{name:?}: {}", response.text);
    }
    for tags in [
        json!([{"key": "aws:x", "value": "1"}]),
        json!([{"key": "AWS:x", "value": "1"}]),
        json!([{"key": "a\0", "value": "1"}]),
        json!([{"key": "a", "value": "\0"}]),
        json!([{"key": "a", "value": "\u{202e}"}]),
        json!([{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]),
    ] {
        let response = put(&json!({"meshName": "shop", "tags": tags}));
        assert_eq!(response.status, 400, "{tags}: {}", response.text);
    }
    let host = ("host".to_owned(), "localhost".to_owned());
    for path in ["/healthz", "/v20190125/meshes"] {
        let response = plane.send("GET", path, &[host.clone(), host.clone()], "");
        assert_eq!(response.status, 400, "{}", response.text);
    }
}

#[test]
pub(crate) fn log_lines_are_short_for_any_request() {
    let folder = Folder::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
    command.args(["--xds", "127.0.0.1:0"]).stderr(fs::File::create(folder.join("log")).unwrap());
    let plane = Plane::listening(command, None);
    let long = format!("/v20190125/meshes/{}", "a%1b%5b31m".repeat(2500));
    assert_eq!(plane.send("GET", &long, &[], "").status / 100, 4);
    let long = json!({"meshName": "n".repeat(900_000)}).to_string();
    assert_eq!(plane.send("PUT", "/v20190125/meshes", &[], &long).status, 400);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let channel = crate::envoy::tcp(&plane.xds[0]).await;
        let status = crate::envoy::refusal(channel, &format!("mesh/{}", "x".repeat(200_000))).await;
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().len() < 1000, "{}", status.message().len());
    });
    let written = fs::read_to_string(folder.join("log")).unwrap();
    let longest = written.lines().map(str::len).max().unwrap();
    assert!(longest < 3000, "{longest}");
}
