//! The command `node-token`.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use control_plane::kubernetes::NodeTokenFile;
use xds::ProxyId;

/// The options of `node-token`.
#[derive(Debug, Args)]
pub(crate) struct NodeTokenArgs {
    /// The URL of the App Mesh API, which issues the token.
    #[arg(long, value_name = "URL")]
    api: String,
    /// The resource that the Envoy serves: `mesh/<mesh>/virtualNode/<name>` or `mesh/<mesh>/virtualGateway/<name>`.
    #[arg(long, value_name = "ID")]
    node: ProxyId,
    /// The file with the token of the pod's service account, with the audience of `--xds-audience`.
    #[arg(long, value_name = "FILE")]
    service_account_token: PathBuf,
    /// The CA certificates of the API. Default: the roots of the machine.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The file for the node token. It is replaced at half the lifetime of each token.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Ends after the first token.
    #[arg(long)]
    once: bool,
}

impl NodeTokenArgs {
    /// Writes tokens until `stop` completes.
    pub(crate) async fn run(self, stop: impl Future<Output = ()> + Send) -> Result<(), Box<dyn Error>> {
        let file = NodeTokenFile {
            api: self.api,
            ca_file: self.ca_file,
            service_account_token: self.service_account_token,
            node: self.node.path().to_string(),
            token_file: self.token_file,
        };
        if self.once { Ok(file.write_once().await?) } else { Ok(file.renew(stop).await?) }
    }
}
