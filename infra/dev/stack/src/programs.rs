//! The programs of this workspace that the local stack runs. One call of cargo builds all of them.
//!
//! The packages of one call of cargo determine the features of the libraries. Another selection would compile every
//! SDK client again, so everything that starts a stack builds the same selection in the same profile. Clients that no
//! scenario calls are features, and are left out here (`all-clients` in each manifest). Only the test suite, which has
//! built the libraries with all features already, starts its demo with those.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::Run;
use crate::console::Progress;
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

/// The programs besides the functions. Each is a package with a binary of the same name.
const SERVERS_AND_TOOLS: [&str; 4] = ["control-plane", "meshwarden", "shop", "shop-edges"];

/// The package that selects the same features of libraries as the whole suite.
const SUITE: &str = "meshwarden-tests";

/// The features of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// What the local stack needs, for the shortest first build.
    Needed,
    /// The features of the test suite, which has built the libraries already when it runs the demo.
    Suite,
}

/// The built programs.
#[derive(Clone, Debug)]
pub struct Programs {
    executables: BTreeMap<String, PathBuf>,
    functions: Vec<String>,
}

impl Programs {
    /// Builds the programs that are not built yet.
    pub fn build(workspace: &Workspace, selection: Selection, progress: &mut Progress) -> Result<Self> {
        let functions = workspace.functions()?;
        let names = SERVERS_AND_TOOLS.into_iter().chain(functions.iter().map(String::as_str));
        let run = Run::cargo(workspace.root()).args([
            "build",
            "--locked",
            "--bins",
            "--message-format",
            "json-render-diagnostics",
        ]);
        let run = match selection {
            Selection::Needed => run.args(["--no-default-features", "--features", "aws"]),
            Selection::Suite => run.args(["--package", SUITE]),
        };
        let messages = names.fold(run, |run, name| run.args(["--package", name])).building(progress)?;
        Ok(Self { executables: messages.iter().filter_map(|message| executable(message)).collect(), functions })
    }

    /// The path of a program.
    pub fn path(&self, name: &str) -> Result<&Path> {
        let found = self.executables.get(name).map(PathBuf::as_path);
        found.ok_or_else(|| no_executable(name))
    }

    /// The names of the functions, which are also the names of their programs.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.functions.iter().map(String::as_str)
    }
}

/// Builds the program of a package, unless it is built already, and returns its path.
///
/// # Errors
///
/// The build fails, or cargo names no executable.
pub fn build_one(workspace: &Workspace, name: &str, progress: &mut Progress) -> Result<PathBuf> {
    let run = Run::cargo(workspace.root())
        .args(["build", "--locked", "--package", name, "--bin", name])
        .args(["--message-format", "json-render-diagnostics"]);
    let messages = run.building(progress)?;
    let built: BTreeMap<String, PathBuf> = messages.iter().filter_map(|message| executable(message)).collect();
    built.get(name).cloned().ok_or_else(|| no_executable(name))
}

fn no_executable(name: &str) -> Failure {
    Failure::Refused { what: "cargo build".to_owned(), answer: format!("without naming the executable of {name}") }
}

/// The name and path of the executable in a message of cargo.
fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = PathBuf::from(message.get("executable")?.as_str()?);
    Some((message.pointer("/target/name")?.as_str()?.to_owned(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_read_from_messages() {
        let built = r#"{"reason":"compiler-artifact","target":{"name":"shop"},"executable":"/t/debug/shop"}"#;
        assert_eq!(executable(built), Some(("shop".to_owned(), PathBuf::from("/t/debug/shop"))));
        for other in [r#"{"reason":"compiler-artifact","target":{"name":"mesh"},"executable":null}"#, "text", "{}"] {
            assert_eq!(executable(other), None, "{other}");
        }
    }

    #[test]
    fn every_program_is_a_package_with_the_features_that_the_build_names() {
        let workspace = Workspace::find().unwrap();
        let manifest = |folder: &str| std::fs::read_to_string(workspace.file(folder).join("Cargo.toml")).unwrap();
        for function in workspace.functions().unwrap() {
            let text = manifest(&format!("functions/{function}"));
            assert!(text.contains("\naws = [\"dep:aws\""), "{function} has no feature `aws`");
            assert!(
                text.contains("default = [\"aws\", \"all-clients\"]"),
                "{function} is deployed without all clients"
            );
        }
        assert!(manifest("infra/cli").contains("\naws = [\"dep:aws\""));
    }
}
