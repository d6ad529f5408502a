//! The entry point that every function shares: settings, log, wiring, and one line on an error that prevents the start.

use std::env;
use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use ports::{DeniedCalls, PortError};
use serde_json::json;

use crate::config::{Config, ConfigError};
use crate::emit::Emitter;
use crate::runtime::{self, Handler, log_to_stdout};

/// The error that prevents the start of a function.
pub type StartupError = Box<dyn Error + Send + Sync>;

/// The variable in which Lambda passes the address of its runtime API.
const RUNTIME: &str = "AWS_LAMBDA_RUNTIME_API";

/// The variables that Lambda's runtime client requires.
const LAMBDA: [&str; 4] =
    [RUNTIME, "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION"];

/// The time-out of a report to Lambda's runtime. The runtime is on the same machine.
const REPORT_WITHIN: Duration = Duration::from_secs(2);

/// The error of a program that Lambda did not start.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is not set: AWS Lambda sets it; deploy the function, or run it with `cargo lambda watch`")]
struct NotInLambda {
    variable: &'static str,
}

/// Runs the Lambda function `function`: reads its settings, wires it with `wire`, and handles events until the runtime
/// ends. An error that prevents the start is one line on the standard error and in Lambda's report of the failed start.
pub fn start<H, F>(function: &'static str, wire: impl FnOnce(Config) -> F) -> ExitCode
where
    H: Handler,
    F: Future<Output = Result<H, StartupError>>,
{
    let started = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartupError::from);
    let ended = started.and_then(|runtime| runtime.block_on(wire_and_run(function, wire)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = format!("{function}: failed to start: {}", one_line(error.as_ref()));
            // If even this write fails, the exit code still reports the failure.
            drop(writeln!(io::stderr(), "{line}"));
            report_to_lambda(&line);
            ExitCode::FAILURE
        }
    }
}

async fn wire_and_run<H, F>(function: &'static str, wire: impl FnOnce(Config) -> F) -> Result<(), StartupError>
where
    H: Handler,
    F: Future<Output = Result<H, StartupError>>,
{
    readable(env::vars_os())?;
    let config = Config::from_env(|variable| env::var(variable).ok())?;
    log_to_stdout(&config.log);
    let emitter = Emitter::stdout().with_stack(config.stack.clone());
    let denied = DeniedCalls::default();
    let handler = match denied.cover(wire(config)).await {
        Ok(handler) => handler,
        Err(error) => {
            // Without this, only Lambda's own error metric would count a policy that the function may no longer read.
            emitter.emit_failed_start(function, denied.count(), Timestamp::now())?;
            return Err(error);
        }
    };
    if let Some(variable) = LAMBDA.into_iter().find(|variable| env::var_os(variable).is_none()) {
        return Err(NotInLambda { variable }.into());
    }
    runtime::run(function, handler, emitter).await
}

/// Rejects values that are not text: they would count as unset, and a default would replace them.
fn readable(variables: env::VarsOs) -> Result<(), ConfigError> {
    let ours = |name: &str| name.starts_with("MESHWARDEN_") || name.starts_with("AWS_");
    for (name, value) in variables {
        if let (Some(name), None) = (name.to_str(), value.to_str())
            && ours(name)
        {
            return Err(ConfigError::not_text(name));
        }
    }
    Ok(())
}

/// Formats an error with its sources in one line. A source that the error's own text contains already is left out.
#[must_use]
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    // The text of a failed call contains the service's error; its sources end in the SDK's debug text.
    let sources = |error: &(dyn Error + 'static)| !error.is::<PortError>();
    let mut source = error.source().filter(|_| sources(error));
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source().filter(|_| sources(cause));
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Reports the failed start, so that Lambda shows it as the error of the invocation that waits for this process. The
/// runtime's client reports only its own errors. Errors of this report are ignored.
fn report_to_lambda(line: &str) {
    let Ok(address) = env::var(RUNTIME) else { return };
    if let Err(error) = send_report(&address, line) {
        drop(writeln!(io::stderr(), "failed to report the failed start to Lambda: {error}"));
    }
}

fn send_report(address: &str, line: &str) -> io::Result<()> {
    let body = json!({ "errorType": "Meshwarden.StartupError", "errorMessage": line, "stackTrace": [] }).to_string();
    let with_port = if address.contains(':') { address.to_owned() } else { format!("{address}:80") };
    let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{address} has no address"));
    let socket = with_port.to_socket_addrs()?.next().ok_or_else(missing)?;
    let mut stream = TcpStream::connect_timeout(&socket, REPORT_WITHIN)?;
    stream.set_read_timeout(Some(REPORT_WITHIN))?;
    stream.set_write_timeout(Some(REPORT_WITHIN))?;
    write!(
        stream,
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Lambda-Runtime-Function-Error-Type: Meshwarden.StartupError\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len(),
    )?;
    stream.flush()?;
    // The process may end only after the report has arrived.
    stream.read_to_end(&mut Vec::new()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        #[source]
        source: Option<Box<Layer>>,
    }

    #[test]
    fn chain_of_errors_is_one_line_without_repeats() {
        let chain = |texts: &[&'static str]| {
            let mut layers = None;
            for text in texts.iter().rev() {
                layers = Some(Box::new(Layer { text, source: layers.take() }));
            }
            one_line(layers.unwrap().as_ref())
        };
        assert_eq!(chain(&["failed to read", "no such file"]), "failed to read: no such file");
        assert_eq!(
            chain(&["failed: no such file", "no such file", "(os error 2)"]),
            "failed: no such file: (os error 2)"
        );
        assert_eq!(chain(&["policy:\n  line 3\n\n", "line 3"]), "policy:; line 3");
    }

    #[test]
    fn address_without_a_listener_is_an_error() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(send_report(&free.to_string(), "x").is_err());
    }
}
