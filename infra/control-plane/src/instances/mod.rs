//! The instances of Cloud Map services, which nodes that are found by them have for endpoints.
//!
//! ```text
//!   pictures of proxies ── unlisted ──▶ directory: a task a service, its last good instances, what is wrong
//!            ▲                            │ polled with jitter, more rarely when asked for patience
//!            └── changes ── known ◀───────┴──▶ port: Cloud Map          (or `file`: read again when it changes)
//! ```
//!
//! What is not known is never taken for nothing: a proxy that has endpoints keeps them until somebody who knows says
//! otherwise.

mod directory;
mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ports::InstanceAttributes;
use tokio::sync::watch;
use xds::Instance;

pub use directory::{InstanceDirectorySettings, PolledInstances};
pub use file::{InstanceFile, InstanceFileError};

/// Cloud Map's attributes for an instance's addresses.
const IPV4: &str = "AWS_INSTANCE_IPV4";
const IPV6: &str = "AWS_INSTANCE_IPV6";

/// A namespace, and the name of a service in it.
pub type Service = (String, String);

/// All that is known of instances.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstanceBook {
    /// The instances of each service that is known; the last good ones, where it has a problem.
    pub known: BTreeMap<Service, Vec<Instance>>,
    /// What is wrong with a service, known or not.
    pub problems: BTreeMap<Service, InstanceProblem>,
}

/// What is wrong with what is known of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceProblem {
    /// A stable id, one of [`problem`].
    pub id: &'static str,
    /// What it is, and how to mend it.
    pub message: String,
}

/// The ids of what is wrong with services. They are findings of the proxies that call their nodes.
pub mod problem {
    /// Whoever knows the instances doesn't tell them: there is no such service, it is not ours to ask for, or they don't
    /// answer.
    pub const UNAVAILABLE: &str = "instances-unavailable";
    /// Instances without an address, such as those that stand for a host name.
    pub const NO_ADDRESS: &str = "instance-without-address";
    /// Nobody is asked for them.
    pub const NO_SOURCE: &str = "instances-without-source";
    /// Asked for, and not answered yet.
    pub const PENDING: &str = "instances-pending";
}

/// What it means that the book says nothing of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unlisted {
    /// It has no instances.
    None,
    /// Not known yet: it is being asked for.
    Pending,
    /// Not known, and why.
    Missing(InstanceProblem),
}

/// How the services stand that connected proxies call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstanceCounts {
    /// Known, and nothing to say about them.
    pub well: u64,
    /// The last good instances are served, or some can't be.
    pub with_problem: u64,
    /// Nothing is known.
    pub missing: u64,
    /// Answers of whoever is asked.
    pub answers: u64,
    /// Requests for patience among all else that was no answer.
    pub throttles: u64,
    /// Everything else that was no answer.
    pub failures: u64,
}

/// Knows instances.
pub trait Instances: fmt::Debug + Send + Sync + 'static {
    /// All that is known now.
    fn known(&self) -> Arc<InstanceBook>;

    /// Changes whenever [`Instances::known`] may answer differently.
    fn changes(&self) -> watch::Receiver<u64>;

    /// What it means that the book says nothing of a service. Returns at once: who does not know yet goes and asks, and
    /// tells through [`Instances::changes`] when it is known.
    fn unlisted(&self, service: &Service) -> Unlisted;

    /// Told now and then which services connected proxies call: of any other nothing need be kept.
    fn in_use(&self, _: &BTreeSet<Service>) {}

    /// How the services stand; `None` for who doesn't ask anybody.
    fn counts(&self) -> Option<InstanceCounts> {
        None
    }
}

/// Knows none, and nobody who does.
#[derive(Debug)]
pub struct NoInstances(watch::Sender<u64>);

impl Default for NoInstances {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Instances for NoInstances {
    fn known(&self) -> Arc<InstanceBook> {
        Arc::default()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    fn unlisted(&self, _: &Service) -> Unlisted {
        let message = "nobody is asked for its instances; start the control plane with --instances aws, or with a file";
        Unlisted::Missing(InstanceProblem { id: problem::NO_SOURCE, message: message.to_owned() })
    }
}

/// `None` without an address, or with one that is none.
fn instance(attributes: InstanceAttributes) -> Option<Instance> {
    let ipv4 = attributes.get(IPV4).map(|text| text.parse::<Ipv4Addr>()).transpose().ok()?;
    let ipv6 = attributes.get(IPV6).map(|text| text.parse::<Ipv6Addr>()).transpose().ok()?;
    (ipv4.is_some() || ipv6.is_some()).then_some(Instance { ipv4, ipv6, attributes })
}
