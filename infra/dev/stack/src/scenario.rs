//! The names of the demo's scenarios: xtask lists them in its help, and the demo plays them.

use clap::ValueEnum;

/// A scenario of the demo, named on its command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// A version fails under real requests through real Envoys
    Traffic,
    /// A node fails, its traffic moves away, and comes back step by step
    Failover,
    /// A new version fails at 10 %, and its gate rolls it back
    Rollback,
    /// A new version gets its traffic step by step, and is promoted
    Canary,
    /// A drill finds that a standby is not ready, and ends at once
    Drill,
    /// An event that is delivered twice changes the weights once
    Duplicate,
    /// A standby takes the traffic of a node that has no sibling
    Standby,
    /// An operator's edit is respected
    Person,
    /// Everything fails at once, so nothing is moved
    CommonCause,
    /// An alarm on load is on, and nothing is moved
    ScaleOut,
    /// The findings of a neglected mesh are found, explained and resolved
    Compliance,
    /// Certificates and the CA behind them are replaced under load, and no request fails
    Certificates,
    /// One of three replicas of the control plane is killed, and the others move the weights
    Replicas,
}
