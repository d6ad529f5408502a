//! Known vulnerabilities of dependencies, from the advisory database of `RustSec`.

use std::fs;
use std::path::{Path, PathBuf};

use stack::command::Run;
use stack::console::{say, step};
use stack::failure::{Failure, Result};
use stack::setup::{self, DENY};
use stack::workspace::Workspace;

/// The commit of the database that the suite uses, so that an unchanged commit passes tomorrow too.
/// Raise it when `cargo xtask advisories --newest` is clean.
const PINNED: &str = "bf5c0d245a92671908518d7e765914d437954ed6";

/// The folder of the database, as in deny.toml.
const DATABASE: &str = "advisory-db";

/// Checks by the pinned commit, or by the newest.
pub(crate) fn check(workspace: &Workspace, newest: bool) -> Result<()> {
    let has_pinned = database(workspace)?.is_some_and(|folder| knows(&folder, PINNED));
    if newest || !has_pinned {
        fetch(workspace)?;
    }
    if !newest
        && let Some(folder) = database(workspace)?
        && !knows(&folder, PINNED)
    {
        // cargo-deny fetches only the newest commit.
        step("fetch the pinned commit", |progress| {
            git(&folder, &["fetch", "--quiet", "--depth=1", "origin", PINNED]).condensed(progress)
        })?;
    }
    let commit = if newest { "FETCH_HEAD" } else { PINNED };
    let Some(folder) = database(workspace)? else {
        let answer = format!("no database in .local/{DATABASE}");
        return Err(Failure::Refused { what: "cargo deny fetch".to_owned(), answer });
    };
    step(&format!("advisories at {commit}"), |progress| {
        git(&folder, &["checkout", "--quiet", "--detach", commit]).condensed(progress)
    })?;
    let deny = setup::tool(workspace, DENY)?;
    Run::new(deny, workspace.root()).args(["--locked", "--offline", "check", "advisories"]).shown()
}

/// The same by the pinned commit. If the database does not exist and cannot be fetched, a message says so, and the
/// suite continues.
pub(crate) fn check_where_reachable(workspace: &Workspace) -> Result<()> {
    if database(workspace)?.is_none()
        && let Err(failure) = fetch(workspace)
    {
        say(format!("advisories: NOT CHECKED, the database can't be fetched: {failure}"));
        return Ok(());
    }
    check(workspace, false)
}

fn fetch(workspace: &Workspace) -> Result<()> {
    let deny = setup::tool(workspace, DENY)?;
    step("fetch the advisory database", |progress| {
        Run::new(deny, workspace.root()).args(["--locked", "fetch", "db"]).condensed(progress)
    })?;
    Ok(())
}

/// The folder of the database, which cargo-deny names itself.
fn database(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let parent = workspace.local(DATABASE);
    if !parent.exists() {
        return Ok(None);
    }
    let entries = fs::read_dir(&parent).map_err(Failure::file("read", &parent))?;
    Ok(entries.filter_map(std::result::Result::ok).map(|entry| entry.path()).find(|path| path.join(".git").exists()))
}

fn knows(folder: &Path, commit: &str) -> bool {
    let kind = git(folder, &["cat-file", "-t", commit]).filter("");
    kind.is_ok_and(|kind| kind.trim() == "commit")
}

fn git(folder: &Path, args: &[&str]) -> Run {
    Run::new("git", folder).args(args)
}
