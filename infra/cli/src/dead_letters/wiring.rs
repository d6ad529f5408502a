//! Wires the command to SQS, or to the service that answers in its place.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use aws::Aws;
use jiff::Timestamp;

use super::{DeadLetters, Desk, Trouble, answer};

/// Does what is asked.
pub(crate) fn run(asked: &DeadLetters) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return crate::fail(&error),
    };
    runtime.block_on(async {
        let aws = match Aws::open_checked().await {
            Ok(aws) => aws,
            Err(error) => return crate::fail(&error),
        };
        let asks = asked.asks() && io::stdin().is_terminal();
        let ask = |question: &str| if asks { crate::people::put(question) } else { Ok(true) };
        let desk = Desk { queues: &aws.queues(), now: Timestamp::now(), ask: &ask };
        match answer(&desk, asked).await {
            Ok(text) => match io::stdout().write_all(crate::shown(&text).as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => crate::fail(&error),
            },
            Err(trouble) => {
                match &trouble {
                    Trouble::Port(error) => crate::fail(error),
                    other => crate::fail(other),
                };
                ExitCode::from(trouble.exit_code())
            }
        }
    })
}
