//! Why the API refuses a document: one variant per rule, with the facts that its message names.

use std::fmt::{self, Display};

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::out_of_bounds::OutOfBounds;
use super::protocol::Protocol;
use crate::name::ResourcePath;
use crate::split::Port;

/// A member of a document that the API refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the member, from the root of the document: `spec.listeners[0].portMapping.port`.
    pub path: String,
    /// The rule that the member breaks.
    pub refusal: Refusal,
}

impl Violation {
    /// A violation of a rule by a member.
    #[must_use]
    pub fn new(path: impl Into<String>, refusal: Refusal) -> Self {
        Self { path: path.into(), refusal }
    }

    /// A violation of a rule that is not part of the API's specs: by a request parameter or by the form of a file.
    #[must_use]
    pub fn malformed(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(path, Refusal::Malformed { reason: reason.into() })
    }

    /// The text of the violation: the problem and how to fix it.
    #[must_use]
    pub fn message(&self) -> String {
        self.refusal.to_string()
    }
}

impl Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.refusal)
    }
}

impl Serialize for Violation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_struct("Violation", 3)?;
        members.serialize_field("path", &self.path)?;
        members.serialize_field("code", self.refusal.code())?;
        members.serialize_field("message", &self.message())?;
        members.end()
    }
}

/// The rule that a member breaks. The text of each says what the member must be, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The value has another JSON type.
    #[error("must be {expected}, not {given}")]
    WrongType {
        /// The type in the API, with its article.
        expected: &'static str,
        /// The type of the value, with its article.
        given: &'static str,
    },
    /// A required member is absent.
    #[error("is required: add it")]
    MemberRequired,
    /// The API has no such member.
    #[error("is not a member here: remove it; the members are {}", listed(*known))]
    MemberUnknown {
        /// The known members.
        known: &'static [&'static str],
    },
    /// A union has no member, or more than one.
    #[error("must have exactly one of {}, and has {given}", listed(*members))]
    NotOneMember {
        /// The members of the union.
        members: &'static [&'static str],
        /// The number of given members.
        given: usize,
    },
    /// An enumeration has no such value.
    #[error("is `{given}`, must be one of {}", listed(*allowed))]
    ValueUnknown {
        /// The value as given.
        given: String,
        /// The known values.
        allowed: &'static [&'static str],
    },
    /// A number has a fraction.
    #[error("is {given}, must be a whole number")]
    NotWhole {
        /// The number as given.
        given: String,
    },
    /// A number, a length or a text is outside its bounds.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// A name, an ARN, a request parameter or a part of a file's form cannot be read.
    #[error("{reason}")]
    Malformed {
        /// The reason, as the text of the message.
        reason: String,
    },
    /// A virtual node has a listener and no service discovery.
    #[error("is required because the node has a listener: add it, or remove the listeners")]
    DiscoveryRequired,
    /// Limits are for another protocol than the protocol of their listener.
    #[error("must be `{protocol}`, the protocol of the listener")]
    LimitsOfOtherProtocol {
        /// The protocol of the listener.
        protocol: Protocol,
    },
    /// A health check is on another port than its listener.
    #[error("is {given}, must be {port}, the port of the listener; remove it to get that")]
    HealthCheckPort {
        /// The port as given.
        given: Port,
        /// The port of the listener.
        port: Port,
    },
    /// A health check over HTTP has no path.
    #[error("is required because the health check uses {protocol}: add the path that answers with 200")]
    HealthCheckPathRequired {
        /// The protocol of the health check.
        protocol: Protocol,
    },
    /// A gRPC health check is set on a listener without HTTP/2.
    #[error(
        "is `grpc`, and the listener uses {listener}: check by `http` with a path or by `tcp`, or make the listener grpc"
    )]
    HealthCheckWithoutHttp2 {
        /// The protocol of the listener.
        listener: Protocol,
    },
    /// A Cloud Map attribute has a key that is reserved for AWS.
    #[error("is `{key}`, and attributes that begin with `AWS_` are reserved: select by an attribute of your own")]
    AttributeReserved {
        /// The key as given.
        key: String,
    },
    /// A host name is invalid.
    #[error("is `{given}`, and a host name {}", fault.text())]
    Hostname {
        /// The host name as given.
        given: String,
        /// The fault of the host name.
        fault: HostnameFault,
    },
    /// Two listeners of one resource have the same port.
    #[error("is {port}, as is that of listener {first}: give each listener a different port")]
    PortTwice {
        /// The port.
        port: Port,
        /// The index of the listener that has it first.
        first: usize,
    },
    /// A path prefix does not begin at the root.
    #[error("is `{prefix}`, must start with `/`")]
    PrefixWithoutSlash {
        /// The prefix as given.
        prefix: String,
    },
    /// A path and a path prefix exclude each other.
    #[error("can't be given together with prefix: remove one of them")]
    PrefixAndPath,
    /// A range of numbers is empty.
    #[error("is {end}, must be greater than start, which is {start}: the end is not part of the range")]
    RangeEmpty {
        /// The first number in it.
        start: i64,
        /// The first number after it.
        end: i64,
    },
    /// A gRPC method is named without its service.
    #[error("is required because methodName is given: add it, or remove methodName")]
    ServiceNameRequired,
    /// A match of a gateway route has no condition.
    #[error("must have at least one of {members}: {remedy}")]
    MatchEmpty {
        /// The members of which one is needed.
        members: &'static str,
        /// The change that resolves the violation.
        remedy: &'static str,
    },
    /// A path or a gRPC service is reserved for App Mesh.
    #[error("is `{given}`, and what begins with `{reserved}` is reserved: choose another")]
    Reserved {
        /// The value as given.
        given: String,
        /// The reserved prefix.
        reserved: &'static str,
    },
    /// A rewritten prefix is not enclosed in slashes.
    #[error("is `{value}`, must start and end with `/`")]
    RewriteWithoutSlashes {
        /// The prefix as given.
        value: String,
    },
    /// A port is named, and its owner has no listener on it.
    #[error("is {port}, must be the port of a listener of the {owner}: {}", listed(listeners))]
    PortNotListening {
        /// The port as given.
        port: Port,
        /// The kind of resource that has the listeners.
        owner: Owner,
        /// The ports of its listeners.
        listeners: Vec<Port>,
    },
    /// No port is named, and the resource with the listeners has several.
    #[error("is required because the {owner} has several listeners: add one of {}", listed(listeners))]
    PortRequired {
        /// The kind of resource that has the listeners.
        owner: Owner,
        /// The ports of its listeners.
        listeners: Vec<Port>,
    },
    /// A gateway route leads to a listener that accepts no requests.
    #[error(
        "leads to port {port} of {owner}, which uses tcp, and a gateway sends requests only: name an http, http2 or \
         grpc listener"
    )]
    TargetSpeaksTcp {
        /// The port of the listener.
        port: Port,
        /// The virtual node or router that has it.
        owner: ResourcePath,
    },
    /// A route needs a listener of another protocol.
    #[error("does not suit listener {port} of {owner}, which would use {protocol}")]
    ListenerSpeaksOther {
        /// The port of the listener.
        port: Port,
        /// The virtual node or router that has it.
        owner: ResourcePath,
        /// The protocol of the listener.
        protocol: Protocol,
    },
    /// A route leads to a resource that would no longer have a listener.
    #[error("leads to {owner}, which would have no listener")]
    NoListenerLeft {
        /// The resource that has no listener.
        owner: ResourcePath,
    },
    /// Envoy does not accept a regular expression.
    #[error("is `{given}`, which is not an expression of RE2 that a proxy accepts: {why}")]
    Regex {
        /// The expression as given.
        given: String,
        /// The reason why Envoy refuses the expression.
        why: String,
    },
    /// Envoy does not accept the format of an access log.
    #[error("is not a format that a proxy accepts: {why}")]
    LogFormat {
        /// The reason why Envoy refuses the format.
        why: String,
    },
    /// The path of an access log is a folder.
    #[error("is `{given}`, which is a folder: name a file, such as `/dev/stdout`")]
    LogPath {
        /// The path as given.
        given: String,
    },
    /// A certificate or trust of a secret discovery service, or of ACM, has no name.
    #[error("is empty, and a proxy requests the secret by it: name the secret, or remove what needs it")]
    SecretUnnamed,
    /// A text in requests or names contains a character that is not allowed there.
    #[error("has the character U+{:04X}, which no proxy can send: remove it", u32::from(*character))]
    ControlCharacter {
        /// The character.
        character: char,
    },
    /// A prefix is rewritten, and the match has no prefix.
    #[error("has no prefix to rewrite because the match has a path: match a prefix, or rewrite `path.exact`")]
    RewriteWithoutPrefix,
    /// A listener has a port that the proxy itself needs.
    #[error("is {port}, on which the proxy takes its own egress traffic: choose another port")]
    PortOfProxy {
        /// The port.
        port: Port,
    },
    /// One proxy would call two virtual services by the same host name.
    #[error("is `{name}`, the host of {other} (hosts do not differ by letter case): remove one of the two")]
    SameHost {
        /// The name as given.
        name: String,
        /// The other backend or gateway route with the same host.
        other: String,
    },
    /// The write does not fit another resource, which would stop working.
    #[error("would break {by}: its {member} {problem}; first {remedy}")]
    BreaksReference {
        /// The resource that would stop working.
        by: Box<ResourcePath>,
        /// The member of it that would no longer fit.
        member: String,
        /// The rule that the member would break.
        problem: Box<Self>,
        /// The change that must precede this write.
        remedy: String,
    },
}

/// The fault of a host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostnameFault {
    /// The host name is empty.
    Empty,
    /// The host name contains a space or another character that a host name cannot contain.
    Character(char),
    /// The host name contains a `*` where none is allowed.
    Wildcard,
    /// The host name ends with a port.
    Port,
    /// A label is empty, or has more than 63 characters.
    Label,
    /// The host name has more than 253 characters.
    Length,
}

impl HostnameFault {
    const fn text(self) -> &'static str {
        match self {
            Self::Empty => "can't be empty: name the host",
            Self::Character(_) => "has letters, digits, `-`, `_` and `.` only: remove every other character",
            Self::Wildcard => "can't have `*` here: name the host, or match by a suffix where that is possible",
            Self::Port => "has no port: remove it, the port is that of the listener",
            Self::Label => "has 1 to 63 characters between two dots: correct it",
            Self::Length => "has 253 characters at most: shorten it",
        }
    }
}

/// The kind of resource that has the listener of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The virtual router that a route is in.
    Router,
    /// The virtual node that a route sends to.
    Node,
    /// The virtual gateway that a gateway route is in.
    Gateway,
    /// The virtual node or router that provides a virtual service.
    Provider,
}

impl Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Router => "router",
            Self::Node => "virtual node",
            Self::Gateway => "gateway",
            Self::Provider => "provider",
        })
    }
}

/// Assigns a stable code to each variant, and lists all codes.
macro_rules! codes {
    ($($variant:ident => $code:literal,)*) => {
        impl Refusal {
            /// The codes of all rules, each once.
            pub const CODES: &'static [&'static str] = &[$($code),*];

            /// The stable code of the rule. The API's responses, `check` and the tests use the same code.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self {
                    $( Self::$variant { .. } => $code, )*
                }
            }
        }
    };
}

codes! {
    WrongType => "wrong-type",
    MemberRequired => "member-required",
    MemberUnknown => "member-unknown",
    NotOneMember => "not-one-member",
    ValueUnknown => "value-unknown",
    NotWhole => "not-whole",
    OutOfBounds => "out-of-bounds",
    Malformed => "malformed",
    DiscoveryRequired => "discovery-required",
    LimitsOfOtherProtocol => "limits-of-other-protocol",
    HealthCheckPort => "health-check-port",
    HealthCheckPathRequired => "health-check-path-required",
    HealthCheckWithoutHttp2 => "health-check-without-http2",
    AttributeReserved => "attribute-reserved",
    Hostname => "hostname",
    PortTwice => "port-twice",
    PrefixWithoutSlash => "prefix-without-slash",
    PrefixAndPath => "prefix-and-path",
    RangeEmpty => "range-empty",
    ServiceNameRequired => "service-name-required",
    MatchEmpty => "match-empty",
    Reserved => "reserved",
    RewriteWithoutSlashes => "rewrite-without-slashes",
    PortNotListening => "port-not-listening",
    PortRequired => "port-required",
    TargetSpeaksTcp => "target-speaks-tcp",
    ListenerSpeaksOther => "listener-speaks-other",
    NoListenerLeft => "no-listener-left",
    Regex => "regex",
    LogFormat => "log-format",
    LogPath => "log-path",
    SecretUnnamed => "secret-unnamed",
    ControlCharacter => "control-character",
    RewriteWithoutPrefix => "rewrite-without-prefix",
    PortOfProxy => "port-of-proxy",
    SameHost => "same-host",
    BreaksReference => "breaks-reference",
}

/// Items as a list for a person: `80, 81`.
fn listed<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
