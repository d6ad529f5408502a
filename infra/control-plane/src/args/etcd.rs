//! The command-line options of an etcd cluster.

use std::path::PathBuf;

use clap::Args;
use control_plane::SharedStore;
use control_plane::storage::EtcdTls;

/// The options of `etcd:`.
#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "the fields have the names of the options")]
pub(crate) struct EtcdArgs {
    /// With `etcd:`: accept releases before 3.5.6, which may lose acknowledged writes when a member is killed (etcd issue
    /// 13766). For tests.
    #[arg(long, requires = "store")]
    etcd_accept_old: bool,
    /// With `etcd:https://...`: the CA certificates of the members, instead of those of the system.
    #[arg(long, value_name = "FILE", requires = "store")]
    etcd_ca: Option<PathBuf>,
    /// With `etcd:https://...`: the client certificate, for a cluster with `--client-cert-auth`.
    #[arg(long, value_name = "FILE", requires = "etcd_key")]
    etcd_cert: Option<PathBuf>,
    /// The private key of `--etcd-cert`.
    #[arg(long, value_name = "FILE", requires = "etcd_cert")]
    etcd_key: Option<PathBuf>,
}

impl EtcdArgs {
    /// The store with these options. Fails on a certificate that no connection would use.
    pub(super) fn complete(self, store: SharedStore) -> Result<SharedStore, &'static str> {
        let has_files = self.etcd_ca.is_some() || self.etcd_cert.is_some();
        match store {
            SharedStore::Etcd { tls: None, .. } | SharedStore::DynamoDb(_) if has_files => {
                Err("--etcd-ca and --etcd-cert have no effect without TLS, as in --store etcd:https://HOST:PORT")
            }
            SharedStore::Etcd { endpoints, tls, .. } => {
                let client = self.etcd_cert.zip(self.etcd_key);
                let tls = tls.map(|_| EtcdTls { ca: self.etcd_ca, client });
                Ok(SharedStore::Etcd { endpoints, tls, accepts_old: self.etcd_accept_old })
            }
            SharedStore::DynamoDb(table) => Ok(SharedStore::DynamoDb(table)),
        }
    }
}
