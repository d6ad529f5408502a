//! The local AWS services, spoken to through infra/local/aws.py.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::stack::Endpoints;
use crate::workspace::Workspace;

/// A conversation with the local services; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct LocalAws {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl LocalAws {
    pub(crate) fn open(workspace: &Workspace, endpoints: &Endpoints) -> Result<Self> {
        let script = workspace.file("infra/local/aws.py");
        let not_started = |source| Failure::Start { command: "infra/local/aws.py".to_owned(), source };
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

    /// Calls an operation, both named as boto3 names them.
    pub(crate) fn call(&mut self, service: &str, operation: &str, params: &Value) -> Result<Value> {
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
            None => Err(Failure::Refused { what: what(), answer: answer.to_string() }),
        }
    }
}

impl Drop for LocalAws {
    fn drop(&mut self) {
        // The script ends at the end of its input.
        self.input = None;
        self.child.wait().ok();
    }
}
