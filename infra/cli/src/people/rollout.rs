//! `rollout`: starts, shows and controls rollouts through their documents in the state table. traffic-shift executes a
//! command with its next run.

mod change;
mod error;
mod find;
mod start;
mod view;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use jiff::SignedDuration;
use rollouts::CommandKind;

pub(crate) use error::RolloutError;

use super::args::{PromoteArgs, RolloutCommand, Shape, WatchArgs};
use super::desk::Desk;
use super::error::Trouble;
pub(super) use change::store_command;
pub(super) use find::Found;
pub(super) use view::line;

/// The interval between two reads of a watch.
const EVERY: Duration = Duration::from_secs(2);

/// The interval between two lines about a rollout without a change, where the output is no terminal.
const PROGRESS: SignedDuration = SignedDuration::from_secs(20);

/// Clears the terminal, and moves the cursor to the first line.
const REPAINT: &str = "\x1b[2J\x1b[H";

/// The consecutive failed reads that end a watch.
const FAILURES: u32 = 30;

/// Executes a command, and returns its output.
pub(super) async fn answer(desk: &Desk<'_>, command: &RolloutCommand) -> Result<String, Trouble> {
    match command {
        RolloutCommand::Start(args) => {
            let (text, found) = start::start(desk, args).await?;
            if !args.wait {
                return Ok(text);
            }
            print(&text);
            follow(desk, Some((found.mesh.clone(), found.id.clone()))).await
        }
        RolloutCommand::Status(args) => status(desk, args).await,
        RolloutCommand::Pause(args) => change::change(desk, args, CommandKind::Pause).await,
        RolloutCommand::Resume(args) => change::change(desk, args, CommandKind::Resume).await,
        RolloutCommand::Abort(args) => change::change(desk, args, CommandKind::Abort).await,
        RolloutCommand::Promote(PromoteArgs { step, change: args }) => {
            let kind = if *step { CommandKind::Approve } else { CommandKind::Promote };
            change::change(desk, args, kind).await
        }
    }
}

async fn status(desk: &Desk<'_>, args: &WatchArgs) -> Result<String, Trouble> {
    if args.watch {
        let wanted = match &args.id {
            Some(id) => {
                let found = find::one(desk, id, args.mesh.as_ref()).await?;
                Some((found.mesh, found.id))
            }
            None => None,
        };
        return follow(desk, wanted).await;
    }
    let found = match &args.id {
        Some(id) => vec![find::one(desk, id, args.mesh.as_ref()).await?],
        None => find::active(desk, args.mesh.as_ref()).await?,
    };
    match args.format {
        Shape::Json => {
            let records: Vec<_> = found.iter().map(|found| &found.record).collect();
            let mut text = serde_json::to_string_pretty(&records).map_err(Trouble::Output)?;
            text.push('\n');
            Ok(text)
        }
        Shape::Table => {
            let mut text = String::new();
            for one in &found {
                text.push_str(&view::rollout(desk, one, args.id.is_some()).await?);
            }
            if text.is_empty() {
                text.push_str("no rollout is active\n");
            }
            Ok(text)
        }
    }
}

/// The rollouts of all meshes that have not ended.
pub(super) async fn active(desk: &Desk<'_>) -> Result<Vec<Found>, Trouble> {
    find::active(desk, None).await
}

/// One line for each rollout that has not ended, for `meshwarden status`.
pub(super) async fn summary(desk: &Desk<'_>) -> Result<String, Trouble> {
    let found = find::active(desk, None).await?;
    Ok(lines(&found, "rollout ", desk))
}

/// The line of each rollout, after a prefix.
fn lines(found: &[Found], prefix: &str, desk: &Desk<'_>) -> String {
    let mut text = String::new();
    for one in found {
        text.extend([prefix, &view::line(one, desk.now()), "\n"]);
    }
    text
}

/// Shows one rollout, or all, until none is active: on a terminal the tables of `rollout status`, otherwise a line for
/// each change, and for the progress in between. The error of a rollout that is not promoted gives the exit code.
async fn follow(desk: &Desk<'_>, wanted: Option<(mesh::name::MeshName, policy::RolloutId)>) -> Result<String, Trouble> {
    let is_terminal = io::stdout().is_terminal();
    let mut last = String::new();
    let mut printed = desk.now();
    let mut failures = 0;
    let mut seen = BTreeSet::new();
    loop {
        let read = watched(desk, wanted.as_ref(), &mut seen, is_terminal).await;
        match read {
            Ok((found, tables)) => {
                failures = 0;
                let now = desk.now();
                let key: String = found.iter().map(view::key).collect();
                if let Some(tables) = tables {
                    repaint(&format!("{now:.0}\n{tables}"));
                } else if key != last || now.duration_since(printed) >= PROGRESS {
                    for one in &found {
                        print(&format!("{now:.0} {}\n", view::progress(desk, one).await));
                    }
                    (last, printed) = (key, now);
                }
                if found.iter().all(Found::is_ended) {
                    return ended(&found);
                }
            }
            Err(trouble @ Trouble::Port(_)) if failures < FAILURES => {
                failures += 1;
                drop(writeln!(io::stderr(), "meshwarden: {trouble}"));
            }
            Err(trouble) => return Err(trouble),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// The rollouts of a watch, with their tables if they are shown: the wanted one, or all active ones and the ones that an
/// earlier read has found active and that have ended since.
async fn watched(
    desk: &Desk<'_>,
    wanted: Option<&(mesh::name::MeshName, policy::RolloutId)>,
    seen: &mut BTreeSet<(mesh::name::MeshName, policy::RolloutId)>,
    with_tables: bool,
) -> Result<(Vec<Found>, Option<String>), Trouble> {
    let found = if let Some((mesh, id)) = wanted {
        vec![find::one(desk, id, Some(mesh)).await?]
    } else {
        let mut found = find::active(desk, None).await?;
        let ended = seen.iter().filter(|(mesh, id)| !found.iter().any(|one| one.mesh == *mesh && one.id == *id));
        let mut ends = Vec::new();
        for (mesh, id) in ended {
            ends.push(find::one(desk, id, Some(mesh)).await?);
        }
        seen.extend(found.iter().map(|one| (one.mesh.clone(), one.id.clone())));
        found.extend(ends);
        found
    };
    if !with_tables {
        return Ok((found, None));
    }
    let mut tables = String::new();
    for one in &found {
        tables.push_str(&view::rollout(desk, one, false).await?);
    }
    Ok((found, Some(tables)))
}

fn ended(found: &[Found]) -> Result<String, Trouble> {
    let failed = found.iter().find_map(|one| Some((one, one.record.failure.as_ref()?)));
    match failed {
        Some((one, failure)) => Err(RolloutError::NotPromoted {
            id: one.id.clone(),
            state: one.record.state.name(),
            code: failure.code.clone(),
        }
        .into()),
        None => Ok(String::new()),
    }
}

fn repaint(text: &str) {
    drop(io::stdout().write_all(REPAINT.as_bytes()));
    print(text);
}

fn print(text: &str) {
    // A closed pipe ends the output, and the exit code still reports the end.
    drop(io::stdout().write_all(reports::visible_lines(text).as_bytes()));
    drop(io::stdout().flush());
}

#[cfg(test)]
mod tests;
