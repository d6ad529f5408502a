//! Protection of the loopback API against requests from browsers.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;

use super::Denial;

/// Refuses a request with a foreign Host header (DNS rebinding), and one from the page of another site.
pub(super) fn check(parts: &Parts, addr: SocketAddr) -> Result<(), Denial> {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(Authority::as_str)).ok_or(Denial::Host)?;
    let authority: Authority = host.parse().map_err(|_| Denial::Host)?;
    if !is_here(&authority, addr) {
        return Err(Denial::Host);
    }
    let Some(origin) = parts.headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, origin)| origin);
    if origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host)) { Ok(()) } else { Err(Denial::Origin) }
}

fn is_here(authority: &Authority, addr: SocketAddr) -> bool {
    let name = authority.host();
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback() || ip == addr.ip())
}
