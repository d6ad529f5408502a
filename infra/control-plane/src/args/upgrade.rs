//! The command `store upgrade`.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use control_plane::SharedStore;
use control_plane::snapshot::StoreUpgrade;

use super::etcd::EtcdArgs;
use super::store::shared_store;

/// The commands for a shared store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Raises the format of a shared store to that of this release, once every replica reads it. Writes a snapshot first.
    Upgrade(UpgradeArgs),
}

/// The options of `store upgrade`.
#[derive(Debug, Args)]
pub(crate) struct UpgradeArgs {
    /// The shared store, as `--store` of the server: `dynamodb:TABLE` or `etcd:HOST:PORT,...`.
    #[arg(long, value_name = "STORE", value_parser = shared_store)]
    store: SharedStore,
    #[command(flatten)]
    etcd: EtcdArgs,
    /// The file for a snapshot of the store before the upgrade, from which `restore` can fill an empty store.
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    snapshot: Option<PathBuf>,
    /// Print what would be done, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl StoreCommand {
    /// Runs the command, and prints what it did.
    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let Self::Upgrade(UpgradeArgs { store, etcd, snapshot, dry_run }) = self;
        let store = etcd.complete(store)?;
        let upgrade = StoreUpgrade::plan(&store).await?;
        let mut out = io::stdout();
        match snapshot.filter(|_| !dry_run && upgrade.is_needed()) {
            None => writeln!(out, "{upgrade}")?,
            Some(file) => {
                let snapshot = upgrade.execute(&store, &file).await?;
                writeln!(out, "wrote {}: {snapshot}", file.display())?;
                writeln!(out, "{upgrade}: done")?;
            }
        }
        Ok(())
    }
}
