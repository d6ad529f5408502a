//! The instances of Cloud Map services, which are the endpoints of nodes with Cloud Map service discovery.
//!
//! ```text
//!   proxy snapshots ──── unlisted ──▶ directory: a task for each service, its last valid instances, its problem
//!            ▲                            │ polled with jitter, less often when throttled
//!            └── changes ── known ◀───────┴──▶ port: Cloud Map          (or `file`: reloaded when it changes)
//! ```
//!
//! Unknown is never read as empty: a proxy that has endpoints keeps them until the source returns others.

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

/// Cloud Map's attributes for the addresses of an instance.
const IPV4: &str = "AWS_INSTANCE_IPV4";
const IPV6: &str = "AWS_INSTANCE_IPV6";

/// The namespace and the name of a Cloud Map service.
pub type CloudMapService = (String, String);

/// The known instances of all services.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstanceBook {
    /// The instances of each known service; the last valid ones if it has a problem.
    pub known: BTreeMap<CloudMapService, Vec<Instance>>,
    /// The problem of a service, known or not.
    pub problems: BTreeMap<CloudMapService, InstanceProblem>,
}

/// A problem with the instances of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceProblem {
    /// A stable id, one of [`problem`].
    pub id: &'static str,
    /// The problem and its remedy.
    pub message: String,
}

/// The ids of the problems of services. They are findings of the proxies that call the nodes of the service.
pub mod problem {
    /// The source does not return the instances: the service does not exist, access is denied, or the source does
    /// not respond.
    pub const UNAVAILABLE: &str = "instances-unavailable";
    /// Some instances have no address, such as instances with a host name.
    pub const NO_ADDRESS: &str = "instance-without-address";
    /// The control plane has no source of instances.
    pub const NO_SOURCE: &str = "instances-without-source";
    /// The first poll is in progress.
    pub const PENDING: &str = "instances-pending";
}

/// The state of a service that the book does not list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unlisted {
    /// It has no instances.
    None,
    /// Its instances are not known yet: the first poll is in progress.
    Pending,
    /// Its instances cannot be determined, with the reason.
    Missing(InstanceProblem),
}

/// The number of services that connected proxies call, by state, and of polls by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstanceCounts {
    /// Services without a problem.
    pub well: u64,
    /// Services with last valid instances that are served, or with some instances that cannot be served.
    pub with_problem: u64,
    /// Services without known instances.
    pub missing: u64,
    /// Successful polls.
    pub answers: u64,
    /// Throttled polls.
    pub throttles: u64,
    /// Polls that failed otherwise.
    pub failures: u64,
}

/// A source of instances.
pub trait Instances: fmt::Debug + Send + Sync + 'static {
    /// All known instances.
    fn known(&self) -> Arc<InstanceBook>;

    /// Changes whenever [`Instances::known`] may have changed.
    fn changes(&self) -> watch::Receiver<u64>;

    /// The state of a service that the book does not list. Returns at once: a source that has to poll first starts to, and
    /// reports the result through [`Instances::changes`].
    fn unlisted(&self, service: &CloudMapService) -> Unlisted;

    /// Called now and then with the services that connected proxies call. The source may forget all others.
    fn in_use(&self, _: &BTreeSet<CloudMapService>) {}

    /// The counts for the metrics; `None` for a source that does not poll.
    fn counts(&self) -> Option<InstanceCounts> {
        None
    }
}

/// A source without instances.
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

    fn unlisted(&self, _: &CloudMapService) -> Unlisted {
        let message = "the control plane has no source of instances; start it with --instances aws, or with a file";
        Unlisted::Missing(InstanceProblem { id: problem::NO_SOURCE, message: message.to_owned() })
    }
}

/// An instance from its attributes. `None` without an address, or with an invalid one.
fn instance(attributes: InstanceAttributes) -> Option<Instance> {
    let ipv4 = attributes.get(IPV4).map(|text| text.parse::<Ipv4Addr>()).transpose().ok()?;
    let ipv6 = attributes.get(IPV6).map(|text| text.parse::<Ipv6Addr>()).transpose().ok()?;
    (ipv4.is_some() || ipv6.is_some()).then_some(Instance { ipv4, ipv6, attributes })
}
