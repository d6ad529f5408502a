//! The certificate ports over ACM, ACM Private CA and Secrets Manager.

mod acm;
mod authority;
mod described;
mod exported_key;
mod secrets;

use aws_smithy_types::DateTime;
use jiff::Timestamp;
use ports::{PortError, PortErrorKind};
use tracing::instrument::{WithDispatch, WithSubscriber};
use tracing::subscriber::NoSubscriber;

pub use acm::Acm;
pub use authority::PrivateCa;
pub use secrets::Secrets;

/// Converts the SDK's time; `None` also for an invalid time.
fn moment(time: Option<&DateTime>) -> Option<Timestamp> {
    let time = time?;
    Timestamp::new(time.secs(), i32::try_from(time.subsec_nanos()).ok()?).ok()
}

/// The tag of secrets that the role of certificate-rotation may read and write.
const BUNDLE: &str = "meshwarden:bundle";

/// The tag of certificates that the role of certificate-rotation may export, import and renew.
const ROTATE: &str = "meshwarden:rotate";

/// Adds to a denied call that the template's role permits it only for a resource with this tag: IAM does not say which
/// condition failed.
fn if_tagged(tag: &'static str) -> impl Fn(PortError) -> PortError {
    move |mut error| {
        if error.kind == PortErrorKind::Denied {
            error.message.push_str("; the template permits it with the tag `");
            error.message.push_str(tag);
            error.message.push_str("` = `true`");
        }
        error
    }
}

/// Runs a call with a private key in its request or response without any logging. What the SDK logs of bodies at the
/// level `trace` can change with each version.
fn quietly<F: Future>(call: F) -> WithDispatch<F> {
    call.with_subscriber(NoSubscriber::new())
}
