//! The specs of the seven resource kinds, as the App Mesh API defines them.
//!
//! ```text
//!             read leniently                     write
//!   JSON ───────────────────────▶ RouteSpec, … ─────────▶ the same JSON
//!             read strictly (validate::spec)
//! ```
//!
//! A value of these types is within the bounds of the API: a weight is 0 to 100, a port 1 to 65535, a union has exactly
//! one member. Rules about several members, or several resources, are in [`validate`](crate::validate).
//!
//! Writing returns the exact document that was read, including members, union members and enumeration values of a newer API.
//! Absent and empty lists are distinct; a `null` member counts as absent.

pub mod bounded;
mod extra;
mod gateway_route;
mod listener;
mod matching;
mod mesh;
mod node;
mod out_of_bounds;
mod protocol;
mod refusal;
mod route;
mod service;
pub(crate) mod shapes;
pub(crate) mod through_serde;
mod timeouts;
mod tls;
pub(crate) mod wire;
pub(crate) mod word_enum;

use crate::spec::shapes::words;
use serde::Serialize;
use serde_json::Value;

use crate::name::ResourceKind;
use wire::{Reader, UnknownMembers, Wire};

pub use crate::split::{Port, Weight};
pub use extra::Extra;
pub use gateway_route::*;
pub use listener::*;
pub use matching::*;
pub use mesh::*;
pub use node::*;
pub use protocol::Protocol;
pub use refusal::{HostnameFault, Owner, Refusal, Violation};
pub use route::*;
pub use service::*;
pub use timeouts::*;
pub use tls::*;
pub use wire::{Shape, ShapeMember};

words! {
    /// The preferred IP version of host addresses.
    pub enum IpPreference {
        /// IPv6, IPv4 as fallback.
        "IPv6_PREFERRED" => Ipv6Preferred,
        /// IPv4, IPv6 as fallback.
        "IPv4_PREFERRED" => Ipv4Preferred,
        /// IPv4 only.
        "IPv4_ONLY" => Ipv4Only,
        /// IPv6 only.
        "IPv6_ONLY" => Ipv6Only,
    }
}

/// The spec of a resource of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Spec {
    /// The spec of a mesh.
    Mesh(MeshSpec),
    /// The spec of a virtual node.
    VirtualNode(VirtualNodeSpec),
    /// The spec of a virtual gateway.
    VirtualGateway(VirtualGatewaySpec),
    /// The spec of a virtual router.
    VirtualRouter(VirtualRouterSpec),
    /// The spec of a route.
    Route(RouteSpec),
    /// The spec of a virtual service.
    VirtualService(VirtualServiceSpec),
    /// The spec of a gateway route.
    GatewayRoute(GatewayRouteSpec),
}

impl Spec {
    /// Reads the spec of a kind of resource leniently. The error lists all violations.
    pub fn read(kind: ResourceKind, spec: &Value) -> Result<Self, Vec<Violation>> {
        Self::read_with(kind, spec, UnknownMembers::Keep)
    }

    pub(crate) fn read_with(kind: ResourceKind, spec: &Value, unknown: UnknownMembers) -> Result<Self, Vec<Violation>> {
        match kind {
            ResourceKind::Mesh => Reader::document(spec, "spec", unknown).map(Self::Mesh),
            ResourceKind::VirtualNode => Reader::document(spec, "spec", unknown).map(Self::VirtualNode),
            ResourceKind::VirtualGateway => Reader::document(spec, "spec", unknown).map(Self::VirtualGateway),
            ResourceKind::VirtualRouter => Reader::document(spec, "spec", unknown).map(Self::VirtualRouter),
            ResourceKind::Route => Reader::document(spec, "spec", unknown).map(Self::Route),
            ResourceKind::VirtualService => Reader::document(spec, "spec", unknown).map(Self::VirtualService),
            ResourceKind::GatewayRoute => Reader::document(spec, "spec", unknown).map(Self::GatewayRoute),
        }
    }

    /// The shape of a kind's spec.
    #[must_use]
    pub fn shape(kind: ResourceKind) -> Shape {
        match kind {
            ResourceKind::Mesh => MeshSpec::shape(),
            ResourceKind::VirtualNode => VirtualNodeSpec::shape(),
            ResourceKind::VirtualGateway => VirtualGatewaySpec::shape(),
            ResourceKind::VirtualRouter => VirtualRouterSpec::shape(),
            ResourceKind::Route => RouteSpec::shape(),
            ResourceKind::VirtualService => VirtualServiceSpec::shape(),
            ResourceKind::GatewayRoute => GatewayRouteSpec::shape(),
        }
    }

    /// The kind of the spec's resource.
    #[must_use]
    pub const fn kind(&self) -> ResourceKind {
        match self {
            Self::Mesh(_) => ResourceKind::Mesh,
            Self::VirtualNode(_) => ResourceKind::VirtualNode,
            Self::VirtualGateway(_) => ResourceKind::VirtualGateway,
            Self::VirtualRouter(_) => ResourceKind::VirtualRouter,
            Self::Route(_) => ResourceKind::Route,
            Self::VirtualService(_) => ResourceKind::VirtualService,
            Self::GatewayRoute(_) => ResourceKind::GatewayRoute,
        }
    }

    /// The spec as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Mesh(spec) => spec.to_json(),
            Self::VirtualNode(spec) => spec.to_json(),
            Self::VirtualGateway(spec) => spec.to_json(),
            Self::VirtualRouter(spec) => spec.to_json(),
            Self::Route(spec) => spec.to_json(),
            Self::VirtualService(spec) => spec.to_json(),
            Self::GatewayRoute(spec) => spec.to_json(),
        }
    }
}

/// Gives each kind's spec a reader, a writer and its place in [`Spec`].
macro_rules! specs {
    ($($kind:ident($name:ident))*) => {$(
        impl $name {
            /// Reads the spec leniently. The error lists all violations.
            pub fn read(spec: &Value) -> Result<Self, Vec<Violation>> {
                Reader::document(spec, "spec", UnknownMembers::Keep)
            }

            /// Every unknown member and enumeration value, as violations of the API.
            #[must_use]
            pub fn unknown(&self) -> Vec<Violation> {
                if self.is_known() {
                    return Vec::new();
                }
                Reader::document::<Self>(&self.to_json(), "spec", UnknownMembers::Refuse).err().unwrap_or_default()
            }

            /// The spec as JSON.
            #[must_use]
            pub fn to_json(&self) -> Value {
                // Only an absent member has no JSON form, and a spec is never absent.
                self.write().unwrap_or_default()
            }
        }

        impl From<$name> for Spec {
            fn from(spec: $name) -> Self {
                Self::$kind(spec)
            }
        }
    )*};
}

specs! {
    Mesh(MeshSpec)
    VirtualNode(VirtualNodeSpec)
    VirtualGateway(VirtualGatewaySpec)
    VirtualRouter(VirtualRouterSpec)
    Route(RouteSpec)
    VirtualService(VirtualServiceSpec)
    GatewayRoute(GatewayRouteSpec)
}
