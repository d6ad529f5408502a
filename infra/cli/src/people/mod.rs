//! The commands over what the functions keep: the journal and the state table.
//!
//! ```text
//! status, explain ──▶ routes, records, journal ──▶ text or JSON
//! replay          ──▶ journal, observations ──▶ the same decision, or another
//! report, proxies ──▶ mesh, control plane ──▶ files, text or JSON
//! alarms          ──▶ mesh, alarms ──▶ template, or what an account lacks
//! hold, release   ──▶ record as the function would see it ──▶ question ──▶ conditional note
//! restore         ──▶ the same, alarms, what-if ──▶ question ──▶ lease, weights, tag, end
//! kill            ──▶ switch, journal
//! forget          ──▶ document ──▶ question ──▶ conditional note, journal
//! ```
//!
//! What a person's hold is, what gives a route back and what restores it is decided in `mesh::failover`; here it is
//! read, asked about and written.

mod alarms;
mod args;
mod audits;
mod certificates;
mod desk;
mod error;
mod explain;
mod explain_alarm;
mod forget;
mod hold;
mod kill;
mod proxies;
mod replay;
mod report;
mod restore;
mod sentences;
mod standing;
mod status;
mod sweeps;
#[cfg(test)]
mod tests;
#[cfg(feature = "aws")]
mod watch;
#[cfg(feature = "aws")]
mod wiring;

pub(crate) use args::{People, Shape};
use desk::Desk;
use error::Trouble;
#[cfg(feature = "aws")]
pub(crate) use wiring::{put, run};

/// Does what is asked, and gives what there is to say.
pub(crate) async fn answer(desk: &Desk<'_>, asked: &People) -> Result<String, Trouble> {
    match asked {
        People::Status(args) => status::status(desk, args).await,
        People::Explain(args) => explain::explain(desk, args).await,
        People::Hold(args) => hold::hold(desk, args).await,
        People::Release(args) => hold::release(desk, args).await,
        People::Restore(args) => restore::restore(desk, args).await,
        People::Kill(args) => kill::kill(desk, args).await,
        People::Replay(args) => replay::replay(desk, args).await,
        People::Report(args) => report::report(desk, args).await,
        People::Forget(args) => forget::forget(desk, args).await,
        People::Proxies(args) => proxies::proxies(desk, args).await,
        People::Alarms(args) => alarms::alarms(desk, args).await,
    }
}
