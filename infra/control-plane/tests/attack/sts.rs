//! A test server for STS, and identities for it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use crate::plane::{Folder, Plane};

/// Every session of an allowed role may make every request.
const RIGHTS: &str =
    r#"{"subjects": [{"role": "arn:aws:iam::123456789012:role/*", "grants": [{"meshes": ["*"], "level": "write"}]}]}"#;

pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/mesh-*";

/// Confirms identities of `ASIAGOOD...` as a session and refuses all others, each after a delay. It ends with the
/// test's process.
pub(crate) struct Sts {
    pub(crate) addr: SocketAddr,
    pub(crate) count: Arc<AtomicUsize>,
    /// The file with the rights, and its path.
    rights: (Folder, String),
}

impl Sts {
    pub(crate) fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, requests) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let count = Arc::clone(&count);
                std::thread::spawn(move || respond(stream.unwrap(), delay, &count));
            }
        });
        let folder = Folder::new();
        let rights = folder.write("rights.json", RIGHTS);
        Self { addr, count: requests, rights: (folder, rights) }
    }

    pub(crate) fn requests(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// A control plane that uses this server.
    pub(crate) fn plane(&self) -> Plane {
        let endpoint = format!("http://{}", self.addr);
        Plane::start(&[
            "--api-auth",
            "sts",
            "--auth-audience",
            "tests",
            "--allow-role",
            ROLE,
            "--sts-endpoint",
            &endpoint,
            "--rights",
            &self.rights.1,
        ])
    }

    /// The identity header; each number is another identity.
    pub(crate) fn identity(&self, credentials: &str, write: bool, number: usize) -> (String, String) {
        let at = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let request = if write { "%3Bx-meshwarden-request" } else { "" };
        let url = format!(
            "http://{}/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential={credentials}%2F{}%2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Date={at}&X-Amz-Expires=300\
             &X-Amz-SignedHeaders=host%3Bx-meshwarden-audience{request}&X-Amz-Signature={number:064x}",
            self.addr,
            at.get(..8).unwrap(),
        );
        ("x-meshwarden-identity".to_owned(), url)
    }
}

fn respond(mut stream: TcpStream, delay: Duration, count: &AtomicUsize) {
    let mut buffer = [0; 8192];
    loop {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(length) if length > 0 => request.extend_from_slice(&buffer[..length]),
                _ => return,
            }
        }
        count.fetch_add(1, Ordering::SeqCst);
        // Simulates a slow service; the test does not wait for it.
        std::thread::sleep(delay);
        let arn = "arn:aws:sts::123456789012:assumed-role/mesh-failover/session";
        let good = String::from_utf8_lossy(&request).contains("Credential=ASIAGOOD");
        let (status, body) = if good {
            let body = format!(r#"{{"GetCallerIdentityResponse": {{"GetCallerIdentityResult": {{"Arn": "{arn}"}}}}}}"#);
            ("200 OK", body)
        } else {
            ("403 Forbidden", "{}".to_owned())
        };
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}
