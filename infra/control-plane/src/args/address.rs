//! Addresses on the command line.

use std::net::SocketAddr;

/// An address with a port; `localhost` is 127.0.0.1.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numeric
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| format!("invalid address {text:?}: expected an address with a port, such as 127.0.0.1:9080"))
}
