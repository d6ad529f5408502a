//! The command-line options of a shared store.

use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};
use control_plane::{ReplicaRole, SharedStore};

use super::etcd::EtcdArgs;
use crate::certificate_args::interval;

/// The store that several replicas share.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Where the state is stored instead of in `--data`: `dynamodb:TABLE`, in the region of the SDK's variables;
    /// `etcd:HOST:PORT,...`, the members of a cluster, or `etcd:https://HOST:PORT,...` with TLS; or `memory`.
    #[arg(long, value_name = "STORE", conflicts_with = "data", value_parser = store)]
    store: Option<StoreArg>,
    #[command(flatten)]
    etcd: EtcdArgs,
    /// Whether other replicas may use the store: `single` refuses to start while another one runs, `replica` shares the
    /// store.
    #[arg(long, value_name = "ROLE", value_enum, default_value_t = RoleArg::Single)]
    role: RoleArg,
    /// How long a replica that cannot read its shared store serves proxies its last state. Proxies with a newer state are
    /// refused. The loss of a replica holds changes of trust for this time and 15 minutes.
    #[arg(long, value_name = "TIME", value_parser = interval, requires = "store", default_value = "1h")]
    serve_stale_for: Duration,
}

#[derive(Debug, Clone)]
enum StoreArg {
    Memory,
    Shared(SharedStore),
}

/// The roles of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleArg {
    Single,
    Replica,
}

impl StoreArgs {
    /// How long proxies are served without the store.
    pub(crate) const fn serve_stale(&self) -> Duration {
        self.serve_stale_for
    }

    /// Whether replicas can share the store.
    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self.store, Some(StoreArg::Shared(_)))
    }

    /// The settings. Fails on an option that has no effect without another one.
    pub(crate) fn settings(self, data: Option<&Path>) -> Result<(Option<SharedStore>, ReplicaRole), &'static str> {
        let store = match (self.store, data) {
            (Some(StoreArg::Shared(store)), None) => Some(self.etcd.complete(store)?),
            (Some(StoreArg::Memory) | None, _) => None,
            (Some(StoreArg::Shared(_)), Some(_)) => return Err("--store and --data name two stores"),
        };
        match (self.role, store) {
            (RoleArg::Replica, None) => {
                Err("--role replica has no effect without a shared store, such as --store dynamodb:TABLE")
            }
            (RoleArg::Replica, store) => Ok((store, ReplicaRole::Replica)),
            (RoleArg::Single, store) => Ok((store, ReplicaRole::Single)),
        }
    }
}

pub(super) fn shared_store(text: &str) -> Result<SharedStore, String> {
    text.parse().map_err(|error: control_plane::SharedStoreError| error.to_string())
}

fn store(text: &str) -> Result<StoreArg, String> {
    if text == "memory" {
        return Ok(StoreArg::Memory);
    }
    shared_store(text).map(StoreArg::Shared)
}
