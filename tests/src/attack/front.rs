//! A server that violates HTTP, in front of one that does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::Misbehaviour;

/// The delay between two bytes of a slow response.
const BETWEEN_BYTES: Duration = Duration::from_millis(100);

/// The length of a huge body, in bytes.
const HUGE: usize = 200_000_000;

/// The server in front of one service; dropping it ends it.
#[derive(Debug)]
pub(super) struct Front {
    endpoint: String,
    hits: Arc<AtomicUsize>,
    escaped: Arc<AtomicUsize>,
    serving: Vec<JoinHandle<()>>,
}

impl Front {
    /// Starts a server in front of this endpoint. Without a misbehaviour it forwards everything.
    pub(super) async fn open(endpoint: &str, misbehaviour: Option<Misbehaviour>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let target = endpoint.trim_start_matches("http://").to_owned();
        let other = elsewhere.local_addr().unwrap().to_string();
        let (hits, escaped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (counted, counted_elsewhere) = (Arc::clone(&hits), Arc::clone(&escaped));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (target, other) = (target.clone(), other.clone());
                tokio::spawn(async move {
                    // The client may close the connection at any moment.
                    drop(match misbehaviour {
                        None => pass(stream, &target).await,
                        Some(misbehaviour) => misbehave(stream, misbehaviour, &other).await,
                    });
                });
            }
        });
        let counting = tokio::spawn(async move {
            while elsewhere.accept().await.is_ok() {
                counted_elsewhere.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { endpoint: own, hits, escaped, serving: vec![serving, counting] }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The number of connections.
    pub(super) fn hits(&self) -> usize {
        self.hits.load(Ordering::Relaxed)
    }

    /// The number of connections to the target of the redirection.
    pub(super) fn escaped(&self) -> usize {
        self.escaped.load(Ordering::Relaxed)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

async fn pass(mut stream: TcpStream, target: &str) -> std::io::Result<()> {
    let mut onward = TcpStream::connect(target).await?;
    copy_bidirectional(&mut stream, &mut onward).await.map(drop)
}

/// Answers every request of a connection with this misbehaviour.
async fn misbehave(mut stream: TcpStream, misbehaviour: Misbehaviour, elsewhere: &str) -> std::io::Result<()> {
    while request(&mut stream).await? {
        match misbehaviour {
            Misbehaviour::SlowHeader => slowly(&mut stream, b"HTTP/1.1 200 OK\r\n", b"x-header: x\r\n").await?,
            Misbehaviour::SlowBody => {
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
                slowly(&mut stream, head, b"1\r\n \r\n").await?;
            }
            Misbehaviour::EndlessBody => chunks(&mut stream, usize::MAX).await?,
            Misbehaviour::HugeChunks => chunks(&mut stream, HUGE).await?,
            Misbehaviour::HugeBody => {
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {HUGE}\r\n\r\n");
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(b"{\"items\":\"").await?;
                let part = vec![b'x'; 64 * 1024];
                for _ in 0..HUGE / part.len() {
                    stream.write_all(&part).await?;
                }
            }
            Misbehaviour::Truncated => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"meshes\":[{\"arn\":").await?;
                return stream.shutdown().await;
            }
            Misbehaviour::WrongBody => {
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n";
                stream.write_all(head).await?;
                stream.write_all(b"{\"a\":[1,<").await?;
            }
            Misbehaviour::Redirect => {
                let head = format!(
                    "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n"
                );
                stream.write_all(head.as_bytes()).await?;
            }
            Misbehaviour::Garbage => {
                stream.write_all(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0xff, 0x00, b'\n']).await?;
                return stream.shutdown().await;
            }
            Misbehaviour::Reset
            | Misbehaviour::WrongContentType
            | Misbehaviour::EndlessPages
            | Misbehaviour::RepeatedToken
            | Misbehaviour::Duplicates
            | Misbehaviour::ClockSkew => return stream.set_zero_linger(),
        }
    }
    Ok(())
}

/// Reads one complete request; false at the end of the connection.
async fn request(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(false);
        }
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
    stream.read_exact(&mut vec![0; length]).await?;
    Ok(true)
}

/// Writes a beginning and then the same bytes forever, one byte at a time.
async fn slowly(stream: &mut TcpStream, beginning: &[u8], again: &[u8]) -> std::io::Result<()> {
    stream.write_all(beginning).await?;
    for part in again.iter().cycle() {
        stream.write_all(&[*part]).await?;
        tokio::time::sleep(BETWEEN_BYTES).await;
    }
    Ok(())
}

/// Writes JSON in chunks, as fast as it is read.
async fn chunks(stream: &mut TcpStream, bytes: usize) -> std::io::Result<()> {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head).await?;
    stream.write_all(b"a\r\n{\"items\":\"\r\n").await?;
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend(vec![b'x'; 0x1_0000]);
    chunk.extend(b"\r\n");
    let mut written = 0_usize;
    while written < bytes {
        stream.write_all(&chunk).await?;
        written = written.saturating_add(0x1_0000);
    }
    stream.write_all(b"2\r\n\"}\r\n0\r\n\r\n").await
}
