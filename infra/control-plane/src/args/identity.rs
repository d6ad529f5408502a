//! The command-line options of node tokens.

use std::path::PathBuf;

use clap::Args;
use control_plane::{Audience, ClusterKeySource, ClusterSettings, IdentitySettings};

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
    /// The published keys of the cluster, a JSON Web Key Set: a file, as `kubectl get --raw /openid/v1/jwks` prints it,
    /// reloaded when it changes; or `https://HOST/openid/v1/jwks`, fetched every 10 minutes and, at most every 10 s, when a
    /// token names an unknown key.
    #[arg(long, value_name = "FILE|URL", requires = "cluster_issuer")]
    cluster_keys: Option<String>,
    /// The CA certificates of the URL in `--cluster-keys`, instead of those of the system. In a pod:
    /// `/var/run/secrets/kubernetes.io/serviceaccount/ca.crt`.
    #[arg(long, value_name = "FILE", requires = "cluster_keys")]
    cluster_keys_ca: Option<PathBuf>,
    /// The file with the token that is sent to the URL in `--cluster-keys`. In a pod:
    /// `/var/run/secrets/kubernetes.io/serviceaccount/token`.
    #[arg(long, value_name = "FILE", requires = "cluster_keys")]
    cluster_keys_token: Option<PathBuf>,
    /// With `--xds-auth token`: a service account's token opens streams of the proxies for which `--rights` lets the account
    /// request node tokens, so pods need no agent.
    #[arg(long, requires = "cluster_issuer")]
    cluster_streams: bool,
}

impl IdentityArgs {
    /// The settings; `None` without a key. Fails on an option that has no effect.
    pub(crate) fn settings(self) -> Result<Option<IdentitySettings>, &'static str> {
        let (ca, token) = (self.cluster_keys_ca, self.cluster_keys_token);
        let keys = match self.cluster_keys {
            Some(url) if url.contains("://") => Some(ClusterKeySource::Url { url, ca, token }),
            Some(_) if ca.is_some() || token.is_some() => {
                return Err("--cluster-keys-ca and --cluster-keys-token need a URL in --cluster-keys");
            }
            Some(file) => Some(ClusterKeySource::File(file.into())),
            None => None,
        };
        let streams = self.cluster_streams;
        let cluster = self.cluster_issuer.zip(keys);
        let cluster = cluster.map(|(issuer, keys)| ClusterSettings { issuer, keys, streams });
        Ok(self.xds_audience.map(|audience| IdentitySettings { audience, keys: self.token_keys, cluster }))
    }
}
