//! HTTP/2 streams of one connection, frame by frame: the clients of libraries respect the server's limit, and would never
//! exceed it.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};

use crate::plane::TIMEOUT;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// The error code of a stream that was not processed.
const REFUSED_STREAM: u32 = 7;

/// The head of a write to the API whose body never comes.
pub(crate) fn write_head() -> Vec<u8> {
    // `:method` and `:scheme http` by their indexes in HPACK's static table.
    [text(0x02, "PUT"), vec![0x86], text(0x04, "/v20190125/meshes"), text(0x01, "localhost")].concat()
}

/// The head of a stream of a proxy that sends no request.
pub(crate) fn stream_head() -> Vec<u8> {
    let path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
    // `:method POST` and `:scheme http`.
    let head = [vec![0x83, 0x86], text(0x04, path), text(0x01, "localhost")].concat();
    // `content-type` has the index 31, which takes two bytes.
    let kind = [vec![0x0f], text(0x10, "application/grpc")].concat();
    let trailers = [text(0x00, "te"), text(0, "trailers").split_off(1)].concat();
    [head, kind, trailers].concat()
}

/// A literal of HPACK without compression, after the index of its name.
fn text(index: u8, value: &str) -> Vec<u8> {
    [&[index, u8::try_from(value.len()).unwrap()], value.as_bytes()].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Opens more streams than the limit on one connection, all with the same head and without an end. Returns the numbers
/// of the refused ones, counted from 0, once there are as many as exceed the limit.
pub(crate) fn refused(address: impl ToSocketAddrs, head: &[u8], limit: u32, excess: u32) -> Vec<u32> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, ACK, 0, &[])].concat();
    for number in 0..limit + excess {
        bytes.extend(frame(HEADERS, END_HEADERS, 2 * number + 1, head));
    }
    stream.write_all(&bytes).unwrap();
    let mut refused = Vec::new();
    while refused.len() < usize::try_from(excess).unwrap() {
        let mut head = [0; 9];
        stream.read_exact(&mut head).expect("streams are refused");
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).unwrap();
        if head[3] == RST_STREAM {
            let number = u32::from_be_bytes(head[5..].try_into().unwrap()) / 2;
            assert_eq!(u32::from_be_bytes(payload.try_into().unwrap()), REFUSED_STREAM, "stream {number}");
            refused.push(number);
        }
    }
    refused
}
