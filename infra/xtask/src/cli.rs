//! What people type.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::suite::SEED;

/// Sets up, tests and runs Meshwarden on one machine.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Install the local stack's tools into .local; every other task does it when it needs them
    Setup,
    /// Run everything that CI runs, cheapest first
    Test {
        /// Only formatting, and the lints and tests of the crates that need no network and no SDK
        #[arg(long)]
        fast: bool,
        /// Only the tests that are too long for every commit: those marked `#[ignore = "long: ..."]`
        #[arg(long, conflicts_with = "fast")]
        long: bool,
        /// What the inputs of the tests over random ones are drawn from. Without it the same each time, so that a commit
        /// that nobody touched stays as it is; another one looks elsewhere
        #[arg(long, value_name = "NUMBER", default_value_t = SEED)]
        seed: u64,
    },
    /// Attack the control plane on loopback for at most ten minutes, with up to ten times what every commit's tests send
    Attack,
    /// Look dependencies up in the database of known vulnerabilities; needs the network
    Advisories {
        /// By the newest database, not by the pinned commit that `test` uses
        #[arg(long)]
        newest: bool,
    },
    /// Measure, and print the table that the README carries; builds with link-time optimisation first
    Bench {
        /// Measure only this, which needs no other program
        part: Option<Part>,
    },
    /// Start the local stack with its Envoys, applications and a light load, and leave it running
    Up {
        /// Send no requests; `cargo xtask load on` does later
        #[arg(long)]
        no_load: bool,
    },
    /// Switch the light load on the running stack on or off
    Load {
        /// Whether requests are sent
        switch: Switch,
    },
    /// End the stack that `up` started
    Down,
    /// Invoke a deployed function with an event, and print its report
    Invoke {
        /// The function, such as route-failover
        function: String,
        /// A JSON file, such as one of events/
        event: PathBuf,
    },
    /// Make things go wrong on a stack of its own, and show what was done about it
    Demo {
        /// Play only this scenario
        scenario: Option<Scenario>,
    },
}

/// A part of what is measured that stands by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The policy pack over meshes of three sizes
    Pack,
    /// What certificate-rotation decides, calls and needs itself
    Rotation,
    /// A sweep of a mesh beside a loop of describes
    Sweep,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// From now on
    On,
    /// No longer
    Off,
}

/// A scenario of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// A version dies under real requests through real Envoys
    Traffic,
    /// A node fails, its traffic moves away, and comes back step by step
    Failover,
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
}
