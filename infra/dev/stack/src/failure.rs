//! The reason why a task stopped, as a message to the user.

use std::io;
use std::path::PathBuf;

/// The result of a step of a task.
pub type Result<T> = std::result::Result<T, Failure>;

/// A failed step of a task.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the message of each variant is its documentation, and names each field")]
pub enum Failure {
    #[error("{program} is missing: {remedy}")]
    Missing { program: String, remedy: &'static str },

    #[error("{program} {seen} is too old: {remedy}")]
    TooOld { program: &'static str, seen: String, remedy: &'static str },

    #[error("failed to start {command}: {source}")]
    Start { command: String, source: io::Error },

    #[error("{command} ended with {status}{}", indented(.tail))]
    Command { command: String, status: String, tail: Vec<String> },

    #[error("failed to {doing} {}: {source}", .path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },

    #[error("{} can't be read: {why}", .path.display())]
    Unreadable { path: PathBuf, why: String },

    #[error("{service} was not ready after {seconds} s; see {}", .log.display())]
    NotReady { service: String, seconds: u64, log: PathBuf },

    #[error("{what} returned {answer}")]
    Refused { what: String, answer: String },

    #[error("{command} did not end within {minutes} minutes")]
    TimeLimit { command: String, minutes: u64 },

    #[error("the attack was not withstood:{}", indented(.failed))]
    NotWithstood { failed: Vec<String> },

    #[error("the stack is not running: start it with `cargo xtask up`")]
    NoStack,

    #[error("the stack is running already: `cargo xtask down` ends it")]
    StackRuns,

    #[error("expected that {expected}, but {seen}")]
    Unexpected { expected: String, seen: String },

    #[error("signals can't be caught: {0}")]
    Signals(#[from] ctrlc::Error),

    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// An error of a file operation, for `map_err`.
    pub fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}

fn indented(lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text
}
