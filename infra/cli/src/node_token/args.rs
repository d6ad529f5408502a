//! Arguments of the commands for node tokens.

use std::path::PathBuf;

use clap::Args;

/// The longest lifetime of a node token, in seconds.
const LONGEST: i64 = 86_400;

/// A request for a node token.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// The proxy: `mesh/<mesh>/virtualNode/<name>`, `mesh/<mesh>/virtualGateway/<name>`, or the ARN.
    #[arg(long, value_name = "ID")]
    pub(crate) node: String,

    /// The instance, such as a task id, as a part of the token.
    #[arg(long, value_name = "NAME")]
    pub(crate) instance: Option<String>,

    /// The lifetime of a token in seconds, at most a day.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=LONGEST))]
    pub(crate) lifetime: u32,
}

/// The arguments of `meshwarden token`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TokenArgs {
    #[command(flatten)]
    pub(crate) request: NodeArgs,

    /// Write the token into this file, with mode 0600, instead of printing it.
    #[arg(long, value_name = "PATH")]
    pub(crate) token_file: Option<PathBuf>,
}

/// The arguments of `meshwarden agent`.
#[derive(Debug, Clone, Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    pub(crate) request: NodeArgs,

    /// The file with the token, as in `control-plane bootstrap --token-file`. Each renewal replaces it.
    #[arg(long, value_name = "PATH")]
    pub(crate) token_file: PathBuf,
}
