//! The protocol of a listener.

use super::word_enum::word_enum;

word_enum! {
    /// The protocol of a listener of a virtual node or router.
    pub enum Protocol {
        /// HTTP/1.1 requests.
        "http" => Http,
        /// TCP connections.
        "tcp" => Tcp,
        /// HTTP/2 requests.
        "http2" => Http2,
        /// gRPC requests.
        "grpc" => Grpc,
    }
}
