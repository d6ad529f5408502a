//! A DNS server for one name with several addresses, as the name of a replicated service has.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::failure::{Failure, Result};

/// How often the thread checks whether it has to end.
const CHECK: Duration = Duration::from_millis(100);

/// The length of the header of a message.
const HEADER: usize = 12;

/// A running DNS server on a free loopback port. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Resolver {
    /// Its address.
    pub(super) address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Resolver {
    /// Starts the server. It answers each query for an IPv4 address with all of these addresses, and each other query with
    /// none.
    pub(super) fn start(addresses: Vec<Ipv4Addr>) -> Result<Self> {
        let failed = |source: io::Error| Failure::Start { command: "the DNS server".to_owned(), source };
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        socket.set_read_timeout(Some(CHECK)).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let ended = Arc::new(AtomicBool::new(false));
        let has_ended = Arc::clone(&ended);
        let thread = thread::spawn(move || serve(&socket, &addresses, &has_ended));
        Ok(Self { address, ended, thread: Some(thread) })
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn serve(socket: &UdpSocket, addresses: &[Ipv4Addr], ended: &AtomicBool) {
    let mut query = [0_u8; 512];
    while !ended.load(Ordering::SeqCst) {
        // An error is the end of the time limit.
        let Ok((length, from)) = socket.recv_from(&mut query) else { continue };
        if let Some(answer) = query.get(..length).and_then(|query| answer(query, addresses)) {
            socket.send_to(&answer, from).ok();
        }
    }
}

/// The answer to a query for one name; `None` if the query is malformed.
fn answer(query: &[u8], addresses: &[Ipv4Addr]) -> Option<Vec<u8>> {
    const A: [u8; 2] = [0, 1];
    let labels = query.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    // The name ends with an empty label; its type and class follow.
    let kind = HEADER + labels + 1;
    let addresses = if query.get(kind..kind + 2)? == A { addresses } else { &[] };
    let mut answer = query.get(..2)?.to_vec();
    // A recursive response with one question and the answers.
    answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(addresses.len()).ok()?, 0, 0, 0, 0]);
    answer.extend(query.get(HEADER..kind + 4)?);
    for address in addresses {
        // The name is that of the query; type A, class IN, a time to live of one second, four bytes.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for the name `a` with this type.
    fn query(kind: u8) -> Vec<u8> {
        vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0, 0, kind, 0, 1]
    }

    #[test]
    fn name_has_all_addresses() {
        let addresses = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
        let ipv4 = answer(&query(1), &addresses).unwrap();
        assert_eq!((&ipv4[..2], ipv4[7]), (&[7, 9][..], 2));
        assert!(ipv4.ends_with(&[127, 0, 0, 3]));
        let ipv6 = answer(&query(28), &addresses).unwrap();
        assert_eq!((ipv6[7], ipv6.len()), (0, query(28).len()));
        for length in 0..query(1).len() {
            assert_eq!(answer(&query(1)[..length], &addresses), None, "{length} bytes");
        }
    }
}
