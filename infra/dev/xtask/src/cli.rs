//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use stack::scenario::Scenario;

use crate::release::ReleaseArgs;

/// The seed of random inputs, unless the caller sets another one.
pub(crate) const SEED: u64 = 1;

/// Sets up, tests and runs Meshwarden on one machine.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Install the local stack's tools into .local; every other task does this when it needs them
    Setup,
    /// Run everything that CI runs, cheapest first
    Test {
        /// Only formatting, and the lints and tests of the crates that need no network and no SDK
        #[arg(long)]
        fast: bool,
        /// Only the tests that are too long for every commit: tests with `#[ignore = "long: ..."]`
        #[arg(long, conflicts_with = "fast")]
        long: bool,
        /// The seed of randomised tests. Without it the seed is fixed, so that an unchanged commit gives the same
        /// result; another seed tests other inputs
        #[arg(long, value_name = "NUMBER", default_value_t = SEED)]
        seed: u64,
    },
    /// Attack on loopback: the control plane for at most 10 minutes, with up to ten times the load of every commit's
    /// tests, then the functions for at most 21 minutes, with every misbehaviour of every service that they call. The
    /// build is not included. Prints a table of figures
    Attack {
        /// Attack only this
        part: Option<Attacked>,
        /// Of the functions, attack only this one
        #[arg(long)]
        function: Option<String>,
    },
    /// Look dependencies up in the database of known vulnerabilities; needs the network
    Advisories {
        /// Use the newest database, not the pinned commit that `test` uses
        #[arg(long)]
        newest: bool,
    },
    /// Measure, and print the table of infra/dev/bench/README.md; builds with link-time optimisation first
    Bench {
        /// Measure only this part
        part: Option<Part>,
    },
    /// Start the local stack with its Envoys, applications and a light load, and leave it running
    Up {
        /// Send no requests; `cargo xtask load on` starts them later
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
    /// Lay out the container image of the control plane in target/image, without a container engine
    Image {
        /// The program, linked statically. Without it, a release is built
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
        /// The folder of the image; the archive is written next to it
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Write everything that an installation needs into a folder: packages of the functions, the plain template, programs,
    /// image, chart, checksums
    Release(ReleaseArgs),
    /// Cause failures on a separate stack, and show how Meshwarden reacts
    Demo {
        /// Run only this scenario
        scenario: Option<Scenario>,
    },
}

/// The target of the attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attacked {
    /// The control plane, by its clients and proxies
    ControlPlane,
    /// The six functions, by the services that they call
    Functions,
}

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The policy rules over meshes of three sizes
    Pack,
    /// The decisions, calls and own time of certificate-rotation
    Rotation,
    /// A sweep of a mesh, compared with a loop of describes
    Sweep,
    /// Three replicas of the control plane on the local DynamoDB, compared with one
    Replicas,
}

/// The state of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// Requests are sent
    On,
    /// No requests are sent
    Off,
}
