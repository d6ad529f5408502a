//! Node tokens: `meshwarden token` requests one, `meshwarden agent` keeps a file with a valid one.

mod agent;
mod args;
mod file;
#[cfg(feature = "aws")]
mod wiring;

pub(crate) use args::{AgentArgs, TokenArgs};
#[cfg(feature = "aws")]
pub(crate) use wiring::{run_agent, run_token};
