//! The commands `snapshot` and `restore`.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use control_plane::SharedStore;
use control_plane::snapshot::{SnapshotStore, StoreSnapshot};

use super::etcd::EtcdArgs;
use super::store::shared_store;

/// The options of `snapshot`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// The file to write. An existing file is replaced once the new one is complete.
    file: PathBuf,
    #[command(flatten)]
    store: SnapshotStoreArgs,
}

/// The options of `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The file that `snapshot` has written.
    file: PathBuf,
    #[command(flatten)]
    store: SnapshotStoreArgs,
}

#[derive(Debug, Args)]
struct SnapshotStoreArgs {
    /// The folder of a store, as `--data` of the server.
    #[arg(long, value_name = "DIR", conflicts_with = "store", required_unless_present = "store")]
    data: Option<PathBuf>,
    /// A shared store, as `--store` of the server: `dynamodb:TABLE` or `etcd:HOST:PORT,...`.
    #[arg(long, value_name = "STORE", value_parser = shared_store)]
    store: Option<SharedStore>,
    #[command(flatten)]
    etcd: EtcdArgs,
}

impl SnapshotStoreArgs {
    fn store(self) -> Result<SnapshotStore, &'static str> {
        match (self.data, self.store) {
            (Some(folder), None) => Ok(SnapshotStore::Folder(folder)),
            (None, Some(store)) => Ok(SnapshotStore::Shared(self.etcd.complete(store)?)),
            (Some(_), Some(_)) | (None, None) => Err("pass either --data or --store"),
        }
    }
}

impl SnapshotArgs {
    /// Writes the file, and prints what it contains.
    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let snapshot = StoreSnapshot::take(&self.store.store()?).await?;
        snapshot.write_file(&self.file)?;
        Ok(writeln!(io::stdout(), "wrote {}: {snapshot}", self.file.display())?)
    }
}

impl RestoreArgs {
    /// Fills the store, reads it again, and prints what it contains.
    pub(crate) async fn run(self) -> Result<(), Box<dyn Error>> {
        let snapshot = StoreSnapshot::read_file(&self.file)?;
        snapshot.restore(&self.store.store()?).await?;
        Ok(writeln!(io::stdout(), "restored {}: {snapshot}", self.file.display())?)
    }
}
