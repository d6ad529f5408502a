//! The operator commands over the state of the functions: the journal and the state table.
//!
//! ```text
//! status, explain ──▶ routes, records, journal ──▶ text or JSON
//! replay          ──▶ journal, observations ──▶ the same or a different decision
//! report, proxies ──▶ mesh, control plane ──▶ files, text or JSON
//! alarms          ──▶ mesh, alarms ──▶ template, or the missing alarms of an account
//! rollout         ──▶ records of rollouts and routes ──▶ table, or a conditional note
//! hold, release   ──▶ current record ──▶ confirmation ──▶ conditional note
//! restore         ──▶ current record, alarms, harm checks ──▶ confirmation ──▶ lease, weights, tag, outcome
//! drill           ──▶ document of the drills ──▶ confirmation ──▶ conditional note, journal
//! kill            ──▶ active rollouts and drills ──▶ confirmation ──▶ (restores) ──▶ switch, journal
//! forget          ──▶ document ──▶ confirmation ──▶ conditional note, journal
//! ```
//!
//! `decisions::failover` defines the semantics of holds, releases and restores. This module reads the state, confirms the
//! action with the operator, and writes it.

mod active_layers;
mod alarms;
mod alarms_error;
mod args;
mod audits;
mod certificates;
mod desk;
mod drill;
mod error;
mod explain;
mod explain_alarm;
mod forget;
mod hold;
mod kill;
mod proxies;
mod replay;
mod report;
mod requests;
mod restore;
mod restore_first;
mod rollout;
mod route_state;
mod sentences;
mod status;
mod sweeps;
#[cfg(test)]
mod tests;
#[cfg(feature = "aws")]
mod watch;
mod weight_write;
#[cfg(feature = "aws")]
mod wiring;

pub(crate) use args::{People, Shape};
use desk::Desk;
use error::Trouble;
#[cfg(feature = "aws")]
pub(crate) use wiring::{prompt, run};

/// Executes a command, and returns its output.
pub(crate) async fn execute(desk: &Desk<'_>, command: &People) -> Result<String, Trouble> {
    match command {
        People::Status(args) => Box::pin(status::status(desk, args)).await,
        People::Explain(args) => explain::explain(desk, args).await,
        People::Hold(args) => hold::hold(desk, args).await,
        People::Release(args) => hold::release(desk, args).await,
        People::Restore(args) => Box::pin(restore::restore(desk, args)).await,
        People::Kill(args) => Box::pin(kill::kill(desk, args)).await,
        People::Replay(args) => replay::replay(desk, args).await,
        People::Report(args) => report::report(desk, args).await,
        People::Forget(args) => forget::forget(desk, args).await,
        People::Rollout(command) => Box::pin(rollout::answer(desk, command)).await,
        People::Proxies(args) => proxies::proxies(desk, args).await,
        People::Drill(args) => Box::pin(drill::drill(desk, args)).await,
        People::Alarms(args) => alarms::alarms(desk, args).await,
    }
}
