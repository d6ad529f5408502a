//! `control-plane node-token`: a node token in a file, for the Envoy of a pod, by the token of the pod's service account.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::client::{KubeClient, KubeError, KubernetesClientError, KubernetesServer, chain};

/// The pauses after failures.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The shortest pause between two tokens.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(1);

/// The request for a node token, and the file for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTokenFile {
    /// The URL of the App Mesh API.
    pub api: String,
    /// The CA certificates of the API. `None` trusts the roots of the machine.
    pub ca_file: Option<PathBuf>,
    /// The file with the token of the service account, read for each request.
    pub service_account_token: PathBuf,
    /// The resource that the Envoy serves, such as `mesh/shop/virtualNode/front`.
    pub node: String,
    /// The file that the node token is written to. Each new token replaces the file.
    pub token_file: PathBuf,
}

/// A token could not be requested or written.
#[derive(Debug, thiserror::Error)]
pub enum NodeTokenError {
    /// The client cannot be created.
    #[error(transparent)]
    Client(#[from] KubernetesClientError),
    /// The request failed.
    #[error("failed to request a token for {node}: {reason}")]
    Request {
        /// The node.
        node: String,
        /// The reason.
        reason: String,
    },
    /// The file cannot be written.
    #[error("failed to write {file}", file = file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
}

impl NodeTokenFile {
    /// Writes one token. A request that fails is repeated until one succeeds, so that a pod starts when its rights are there.
    pub async fn write_once(&self) -> Result<(), NodeTokenError> {
        let client = self.client()?;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.write(&client).await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    tracing::warn!(node = self.node, reason = chain(&error), "failed to get first node token");
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Renews the token at half its lifetime until `stop` completes.
    pub async fn renew(&self, stop: impl Future<Output = ()> + Send) -> Result<(), NodeTokenError> {
        let client = self.client()?;
        let renewal = async {
            let mut pause = FIRST_PAUSE;
            loop {
                match self.write(&client).await {
                    Ok(lifetime) => {
                        pause = FIRST_PAUSE;
                        sleep((lifetime / 2).max(SHORTEST_RENEWAL)).await;
                    }
                    Err(error) => {
                        tracing::warn!(node = self.node, reason = chain(&error), "failed to renew node token");
                        sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
        };
        tokio::select! {
            () = stop => Ok(()),
            () = renewal => Ok(()),
        }
    }

    fn client(&self) -> Result<KubeClient, KubernetesClientError> {
        KubeClient::new(&KubernetesServer {
            url: self.api.clone(),
            token_file: Some(self.service_account_token.clone()),
            ca_file: self.ca_file.clone(),
        })
    }

    /// Requests a token and writes it. Returns its lifetime.
    async fn write(&self, client: &KubeClient) -> Result<Duration, NodeTokenError> {
        let failed = |reason: String| NodeTokenError::Request { node: self.node.clone(), reason };
        let answer = client.create("/tokens", &json!({"node": self.node})).await;
        let answer = answer.map_err(|error: KubeError| failed(chain(&error)))?;
        let text = |member: &str| answer.get(member).and_then(Value::as_str).unwrap_or_default();
        let expires: Timestamp = text("expires").parse().map_err(|_| failed("expected a time of expiry".to_owned()))?;
        if text("token").is_empty() {
            return Err(failed("expected a token in the response".to_owned()));
        }
        replace(&self.token_file, text("token"))
            .map_err(|source| NodeTokenError::Write { file: self.token_file.clone(), source })?;
        Ok(Duration::try_from(expires.duration_since(Timestamp::now())).unwrap_or_default())
    }
}

/// Replaces a file by a rename, so that Envoy never reads half a token and sees the change of its folder.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut written = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    std::fs::rename(&new, file)
}
