//! Constructors of Envoy messages that are always built in the same way.

#![expect(clippy::unnecessary_wraps, reason = "every message is optional in another one, and is made for that")]

use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiConfigSource, ApiVersion, ConfigSource, DataSource, GrpcService,
    Http2ProtocolOptions, SocketAddress, TransportSocket, WatchedDirectory, address, api_config_source, config_source,
    data_source, grpc_service, socket_address, transport_socket,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher};
use envoy_types::pb::google::protobuf::{Any, BoolValue, Duration, UInt32Value};
use envoy_types::util::pack_any;
use mesh::spec::Port;
use prost::{Message, Name};

/// The loopback address.
pub(crate) const LOOPBACK: &str = "127.0.0.1";

pub(crate) const fn uint(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

pub(crate) const fn boolean(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

pub(crate) const fn millis(value: u32) -> Option<Duration> {
    // The remainder is below 1,000, so the product fits.
    Some(Duration { seconds: (value / 1000) as i64, nanos: ((value % 1000) * 1_000_000).cast_signed() })
}

pub(crate) fn any<M: Message + Name>(message: M) -> Any {
    pack_any(message)
}

/// Unpacks a message; `None` if it has another type or cannot be decoded.
pub(crate) fn unpacked<M: Message + Name + Default>(config: &Any) -> Option<M> {
    (config.type_url == M::type_url()).then(|| M::decode(config.value.as_slice()).ok()).flatten()
}

/// HTTP/2 options that allow a client to open a web socket by an extended CONNECT (RFC 8441).
pub(crate) fn http2_with_websockets() -> Http2ProtocolOptions {
    Http2ProtocolOptions { allow_connect: true, ..Http2ProtocolOptions::default() }
}

pub(crate) fn address(host: &str, port: u16) -> Address {
    let socket = SocketAddress {
        address: host.to_owned(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(u32::from(port))),
        ..SocketAddress::default()
    };
    Address { address: Some(address::Address::SocketAddress(socket)) }
}

/// The ADS stream of the proxy as a config source.
pub(crate) fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(config_source::ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    }
}

/// A gRPC service behind a bootstrap cluster as a config source.
pub(crate) fn grpc_source(cluster: &str) -> ConfigSource {
    let envoy_grpc = grpc_service::EnvoyGrpc { cluster_name: cluster.to_owned(), ..grpc_service::EnvoyGrpc::default() };
    let service = GrpcService {
        target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(envoy_grpc)),
        ..GrpcService::default()
    };
    let api = ApiConfigSource {
        api_type: api_config_source::ApiType::Grpc.into(),
        transport_api_version: ApiVersion::V3.into(),
        grpc_services: vec![service],
        ..ApiConfigSource::default()
    };
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(config_source::ConfigSourceSpecifier::ApiConfigSource(api)),
        ..ConfigSource::default()
    }
}

pub(crate) fn file(path: &str) -> DataSource {
    DataSource { specifier: Some(data_source::Specifier::Filename(path.to_owned())), ..DataSource::default() }
}

pub(crate) fn inline(text: &str) -> DataSource {
    DataSource { specifier: Some(data_source::Specifier::InlineString(text.to_owned())), ..DataSource::default() }
}

/// The folder of all these paths; `None` if they have several folders.
pub(crate) fn watched(paths: &[&String]) -> Option<WatchedDirectory> {
    let mut folders = paths.iter().map(|path| folder(path));
    let first = folders.next()?;
    // Renewals may write files in place or move files into the folder. Both must be detected.
    folders.all(|other| other == first).then(|| WatchedDirectory { path: first.to_owned(), watch_modify: true })
}

fn folder(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => ".",
    }
}

pub(crate) fn tls_socket<M: Message + Name>(context: M) -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(any(context))),
    }
}

pub(crate) fn string(pattern: string_matcher::MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ..StringMatcher::default() }
}

pub(crate) fn exact(text: &str) -> StringMatcher {
    string(string_matcher::MatchPattern::Exact(text.to_owned()))
}

pub(crate) fn regex(text: &str) -> RegexMatcher {
    RegexMatcher { regex: text.to_owned(), ..RegexMatcher::default() }
}

pub(crate) fn port(port: Port) -> u32 {
    u32::from(port.get())
}
