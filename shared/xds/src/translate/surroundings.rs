//! The inputs of a translation in addition to the mesh.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use super::statistics::StatNames;
use crate::port_book::PortBook;

/// The inputs of a translation in addition to the mesh.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// How traffic reaches the proxies.
    pub listeners: Listeners<'a>,
    /// The source of secrets that the mesh names (`sds.secretName`).
    pub sds: SdsSource<'a>,
    /// The naming of statistics.
    pub stat_names: StatNames,
    /// How virtual gateways determine the address of a client.
    pub client_address: ClientAddress,
    /// The instances of Cloud Map services, by namespace and service name.
    pub instances: &'a BTreeMap<(String, String), Vec<Instance>>,
}

/// How traffic reaches the proxies.
#[derive(Debug, Clone, Copy)]
pub enum Listeners<'a> {
    /// Traffic is redirected to ports 15000 and 15001, as in the App Mesh images.
    Interception,
    /// Each listener has a separate loopback port, without redirection: all proxies and applications run on
    /// one machine.
    Explicit(&'a PortBook),
}

/// How virtual gateways determine the address of a client, and how they treat `X-Forwarded-For`. By default they
/// forward the header unchanged, as App Mesh gateways did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientAddress {
    /// Whether the address of the connection's peer is appended to `X-Forwarded-For`. A client can then no longer
    /// choose its own address.
    pub use_remote_address: bool,
    /// The number of trusted proxies before the gateway that append to the header.
    pub trusted_hops: u32,
}

/// The source of secrets that the mesh names.
#[derive(Debug, Clone, Copy)]
pub enum SdsSource<'a> {
    /// The secret discovery socket next to the proxy, cluster `static_cluster_sds_unix_socket`.
    Socket,
    /// The listed secrets are sent over ADS; all others come from the socket.
    Ads(&'a BTreeSet<String>),
}

/// An instance of a Cloud Map service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// Its IPv4 address (`AWS_INSTANCE_IPV4`).
    pub ipv4: Option<Ipv4Addr>,
    /// Its IPv6 address (`AWS_INSTANCE_IPV6`).
    pub ipv6: Option<Ipv6Addr>,
    /// Its attributes. A port attribute is ignored, because the virtual node's listener defines the port.
    pub attributes: BTreeMap<String, String>,
}
