//! The command-line options of node tokens.

use std::path::PathBuf;

use clap::Args;
use control_plane::{Audience, ClusterSettings, IdentitySettings};

/// The keys of node tokens, and the cluster of which service accounts may request them.
#[derive(Debug, Args)]
pub(crate) struct IdentityArgs {
    /// A file with an Ed25519 key (PKCS #8 in PEM, mode 0600) for node tokens, which `POST /tokens` issues and `--xds-auth
    /// token` requires. Can be repeated: the first one signs, tokens of all of them are accepted. Reloaded when it changes.
    #[arg(long = "token-key", value_name = "FILE", requires = "xds_audience")]
    token_keys: Vec<PathBuf>,
    /// The name of this server, or of all replicas of one store, in tokens. A token for another name is refused.
    #[arg(long, value_name = "NAME", requires = "token_keys", value_parser = Audience::parse)]
    xds_audience: Option<Audience>,
    /// The issuer of the tokens of a Kubernetes cluster's service accounts, which may then request node tokens by the
    /// entries of `--rights`.
    #[arg(long, value_name = "URL", requires_all = ["cluster_keys", "token_keys", "rights"])]
    cluster_issuer: Option<String>,
    /// The published keys of the cluster, a JSON Web Key Set, as `kubectl get --raw /openid/v1/jwks` prints it. Reloaded when it
    /// changes.
    #[arg(long, value_name = "FILE", requires = "cluster_issuer")]
    cluster_keys: Option<PathBuf>,
}

impl IdentityArgs {
    /// The settings; `None` without a key.
    pub(crate) fn settings(self) -> Option<IdentitySettings> {
        let cluster = self.cluster_issuer.zip(self.cluster_keys);
        let cluster = cluster.map(|(issuer, keys)| ClusterSettings { issuer, keys });
        self.xds_audience.map(|audience| IdentitySettings { audience, keys: self.token_keys, cluster })
    }
}
