//! Thousands of connections.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use crate::plane::{Guarded, KEY, MAX_MEMORY, Plane, figure, mib, prompt, rounds, until};

/// The start of a TLS handshake.
const HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

fn connections(addr: SocketAddr, count: usize, first: &[u8]) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = TcpStream::connect(addr).unwrap();
        // The server may have closed it already in favour of another.
        let _ = stream.write_all(first);
        stream
    };
    (0..count).map(connect).collect()
}

async fn flooded(guarded: &Guarded, count: usize) {
    let (api, xds) = (guarded.plane.api, guarded.plane.xds[0].parse().unwrap());
    let mut held = Vec::new();
    for (addr, first) in [(api, &[][..]), (xds, &[]), (api, HELLO), (xds, HELLO)] {
        held.extend(connections(addr, count / 2, first));
    }
    guarded.serves().await;
    let share = "meshwarden_connections_closed_total{service=\"api\",reason=\"client_share\"}";
    let proxies = "meshwarden_connections_closed_total{service=\"xds\",reason=\"client_share\"}";
    assert!(guarded.plane.metric(Some(KEY), share) > 0 && guarded.plane.metric(Some(KEY), proxies) > 0);
    // The log reports it, with far fewer lines than connections.
    let lines = guarded.log().lines().filter(|line| line.contains("closed connection at a limit")).count();
    assert!((1..20).contains(&lines), "{lines} lines");
    guarded.serves().await;
    let memory = guarded.plane.memory();
    figure(&format!("memory with {} idle and half-open connections", held.len()), &mib(memory));
    assert!(memory < MAX_MEMORY, "{} MiB", memory >> 20);
}

#[tokio::test]
async fn idle_and_half_open_connections_do_not_delay_other_clients() {
    let _ = control_plane::raise_file_limit();
    flooded(&Guarded::start(None, &["--max-idle-connections-per-client", "500"]), 2000 * rounds().min(4)).await;
}

#[tokio::test]
async fn the_same_holds_with_few_file_descriptors() {
    let _ = control_plane::raise_file_limit();
    flooded(&Guarded::start(Some(1024), &[]), 1200).await;
}

#[test]
fn the_soft_limit_on_open_files_is_raised() {
    let _ = control_plane::raise_file_limit();
    let guarded = Guarded::start(None, &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", guarded.plane.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[3], words[4], "{line}");
}

#[test]
fn connections_without_a_request_are_closed_at_the_timeout() {
    let plane = Plane::start(&["--idle-timeout", "1s"]);
    let silent = TcpStream::connect(plane.api).unwrap();
    let mut slow = TcpStream::connect(plane.api).unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").unwrap();
    let mut used = TcpStream::connect(plane.api).unwrap();
    used.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let closed = |reason: &str| {
        plane.metric(None, &format!("meshwarden_connections_closed_total{{service=\"api\",reason=\"{reason}\"}}"))
    };
    until("an idle connection is closed", || closed("idle_timeout") == 1);
    assert_eq!(closed("request_timeout"), 0);
    until("connections without a complete request are closed", || closed("request_timeout") == 2);
    drop((silent, slow, used));
}

#[tokio::test]
async fn incomplete_handshakes_are_closed_at_the_timeout() {
    let guarded = Guarded::start(None, &[]);
    let held = [guarded.plane.api, guarded.plane.xds[0].parse().unwrap()].map(|addr| connections(addr, 20, HELLO));
    for service in ["api", "xds"] {
        let series =
            format!("meshwarden_connections_closed_total{{service=\"{service}\",reason=\"handshake_timeout\"}}");
        until("handshakes are closed", || guarded.plane.metric(Some(KEY), &series) == 20);
    }
    drop(held);
}

#[test]
fn endless_request_heads_use_little_memory() {
    let _ = control_plane::raise_file_limit();
    let plane = Plane::start(&[]);
    let head = [b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ".as_slice(), &vec![b'x'; 64 * 1024]].concat();
    let streams: Vec<TcpStream> = (0..2000)
        .map(|_| {
            let mut stream = TcpStream::connect(plane.api).unwrap();
            stream.set_nonblocking(true).unwrap();
            let _ = stream.write(&head);
            stream
        })
        .collect();
    prompt("/healthz", || assert!(plane.is_healthy()));
    let memory = plane.memory();
    figure(&format!("memory with {} endless request heads", streams.len()), &mib(memory));
    assert!(memory < MAX_MEMORY, "{} MiB", memory >> 20);
}
