//! The certificate ports over ACM, ACM Private CA and Secrets Manager.

mod acm;
mod authority;
mod described;
mod exported_key;
mod secrets;

use aws_smithy_types::DateTime;
use jiff::Timestamp;
use tracing::instrument::{WithDispatch, WithSubscriber};
use tracing::subscriber::NoSubscriber;

pub use acm::Acm;
pub use authority::PrivateCa;
pub use secrets::Secrets;

/// A time as the SDK has it; `None` for what is no time, too.
fn moment(time: Option<&DateTime>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

/// A call whose request or answer holds a private key, with nothing said of it in any log: what the SDK prints of bodies
/// at the level `trace` is its own affair, and another in the next version.
fn quietly<F: Future>(call: F) -> WithDispatch<F> {
    call.with_subscriber(NoSubscriber::new())
}
