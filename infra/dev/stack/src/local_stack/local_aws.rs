//! The local AWS services, called through infra/dev/local/aws.py.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::endpoints::Endpoints;
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

/// A connection to the local services; it ends when this is dropped.
#[derive(Debug)]
pub struct LocalAws {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl LocalAws {
    pub(crate) fn open(workspace: &Workspace, endpoints: &Endpoints) -> Result<Self> {
        let script = workspace.file("infra/dev/local/aws.py");
        let not_started = |source| Failure::Start { command: "infra/dev/local/aws.py".to_owned(), source };
        let mut child = Command::new(workspace.venv_program("python"))
            .arg(script)
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .envs(endpoints.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(not_started)?;
        let input = child.stdin.take();
        match child.stdout.take() {
            Some(output) => Ok(Self { child, input, output: BufReader::new(output) }),
            None => Err(not_started(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Calls an operation, by the names of boto3.
    pub fn call(&mut self, service: &str, operation: &str, params: &Value) -> Result<Value> {
        let what = || format!("{service} {operation}");
        let broken = |source| Failure::Start { command: what(), source };
        let request = json!({"service": service, "operation": operation, "params": params});
        let Some(input) = &mut self.input else {
            return Err(broken(std::io::ErrorKind::BrokenPipe.into()));
        };
        writeln!(input, "{request}").and_then(|()| input.flush()).map_err(broken)?;
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(broken)?;
        let mut answer: Value = serde_json::from_str(&line)
            .map_err(|_| Failure::Refused { what: what(), answer: "nothing readable".to_owned() })?;
        match answer.get_mut("ok") {
            Some(output) => Ok(output.take()),
            None => Err(Failure::Refused { what: what(), answer: shortened(&answer.to_string()) }),
        }
    }
}

/// The beginning and the end: a service that repeats a whole template in its response has the error at the end.
fn shortened(answer: &str) -> String {
    const KEPT: usize = 600;
    let length = answer.chars().count();
    if length <= 2 * KEPT {
        return answer.to_owned();
    }
    let first: String = answer.chars().take(KEPT).collect();
    let last: String = answer.chars().skip(length - KEPT).collect();
    format!("{first} ... {last}")
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        // The script ends at the end of its input.
        self.input = None;
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_long_answer_keeps_its_beginning_and_its_end() {
        let long = format!("{{code{}constraint}}", "é".repeat(50_000));
        let short = shortened(&long);
        assert!(short.starts_with("{code") && short.ends_with("constraint}"));
        assert!(short.chars().count() < 1300);
        assert_eq!(shortened("short"), "short");
    }
}
