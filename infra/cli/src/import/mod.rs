//! `meshwarden import | apply | diff | export`: brings a mesh into the control plane, and writes it to files.
//!
//! ```text
//!   files ──▶ Desired ─┐                                ┌─▶ effects ──▶ report (--dry-run, diff)
//!                      ├─▶ plan in a valid order ───────┤
//!   API ────▶ Held ────┘                                └─▶ execute ──▶ API again ──▶ carried-over report
//! ```
//!
//! Every write is conditional on the version that the plan is based on, and has a client token made of its content. So a
//! command that was killed is completed by the same command.

mod api;
mod args;
mod error;
mod execute;
mod input;
mod report;
mod run;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use imports::PlanOptions;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use mesh::name::ResourcePath;
use readers::Form;

use crate::check::{Around, Input, policy};
pub(crate) use args::{ApplyArgs, DiffArgs, ExportArgs, ImportArgs};
use args::{PlanArgs, ReportFormat, WriteArgs};
use error::ImportError;
use input::DesiredInput;
use report::ImportReport;
use run::{Confirmation, ImportRequest};

/// The number of steps from which a progress bar is shown on a terminal.
const MANY: usize = 20;

/// The exit code for a plan that is not empty (`diff`), and for an import that was refused because of the state.
const NOT_DONE: u8 = 1;

/// Runs `meshwarden import`.
pub(crate) fn import(args: &ImportArgs) -> ExitCode {
    let input = Input {
        paths: &args.input.paths,
        around: &args.input.around,
        allow_empty: true,
        allow_unread_modules: args.input.allow_unread_modules,
        fill_placeholders: true,
    };
    let desired = input::desired(&input, args.input.drop_unknown, None);
    finish(write(desired, &args.plan, args.write, args.api.endpoint.as_deref()), args.plan.format)
}

/// Runs `meshwarden apply`.
pub(crate) fn apply(args: &ApplyArgs) -> ExitCode {
    let around = Around::default();
    let input = Input {
        paths: &args.paths,
        around: &around,
        allow_empty: true,
        allow_unread_modules: false,
        fill_placeholders: false,
    };
    let desired = input::desired(&input, false, Some(Form::Api));
    finish(write(desired, &args.plan, args.write, args.api.endpoint.as_deref()), args.plan.format)
}

/// Runs `meshwarden diff`.
pub(crate) fn diff(args: &DiffArgs) -> ExitCode {
    let input = Input {
        paths: &args.input.paths,
        around: &args.input.around,
        allow_empty: true,
        allow_unread_modules: args.input.allow_unread_modules,
        fill_placeholders: true,
    };
    let desired = input::desired(&input, args.input.drop_unknown, None);
    let write_args = WriteArgs { dry_run: true, yes: false, allow_cuts: false };
    match write(desired, &args.plan, write_args, args.api.endpoint.as_deref()) {
        Ok(report) if !report.plan.is_empty() => {
            finish(Ok(report), args.plan.format);
            ExitCode::from(NOT_DONE)
        }
        other => finish(other, args.plan.format),
    }
}

/// Runs `meshwarden export`.
pub(crate) fn export(args: &ExportArgs) -> ExitCode {
    let written = block_on(async {
        let api = api::connect(args.api.endpoint.as_deref()).await?;
        let held = api::held(&*api, &BTreeSet::from([args.mesh.clone()])).await?;
        if held.is_empty() {
            let known = api.meshes().await?;
            let known: Vec<&str> = known.iter().map(|found| found.path.mesh().as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(ImportError::NoMesh { mesh: args.mesh.clone(), known });
        }
        Ok(imports::export(&held, args.format.into()))
    });
    let written = written.and_then(|text| match &args.output {
        Some(file) => std::fs::write(file, &text).map_err(|error| ImportError::Output { file: file.clone(), error }),
        None => io::stdout()
            .write_all(text.as_bytes())
            .map_err(|error| ImportError::Output { file: "the standard output".into(), error }),
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Plans, and executes the plan.
fn write(
    desired: Result<DesiredInput, ImportError>,
    plan: &PlanArgs,
    write: WriteArgs,
    endpoint: Option<&str>,
) -> Result<ImportReport, ImportError> {
    let DesiredInput { desired, notices } = desired?;
    let policy = policy(plan.policy.as_deref(), plan.profile)?;
    for notice in notices {
        note(&notice);
    }
    let bar = ProgressBar::hidden();
    let progress = |done: usize, all: usize| {
        if all < MANY {
            return;
        }
        if done == 1 && io::stderr().is_terminal() {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            bar.set_length(all as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} writes, {eta} left") {
                bar.set_style(style);
            }
        }
        bar.set_position(done as u64);
    };
    let confirm = |deleted: &[&ResourcePath]| confirm(deleted, write.yes);
    let report = block_on(async {
        let api = api::connect(endpoint).await?;
        let request = ImportRequest {
            desired: &desired,
            options: PlanOptions { prune: plan.prune, create_meshes: plan.create_meshes },
            policy: &policy,
            now: Timestamp::now(),
            dry_run: write.dry_run,
            allow_cuts: write.allow_cuts,
            confirm: &confirm,
            progress: &progress,
            continue_with: this_command(),
        };
        run::run(&*api, &request).await
    });
    bar.finish_and_clear();
    report
}

/// Confirms deletions.
fn confirm(deleted: &[&ResourcePath], yes: bool) -> Confirmation {
    if yes {
        return Ok(None);
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Ok(Some("deletions need a confirmation, and the input is not a terminal; pass --yes".to_owned()));
    }
    let mut stderr = io::stderr();
    let listed: Vec<String> = deleted.iter().map(|path| format!("  {path}\n")).collect();
    let question = format!("These resources will be deleted:\n{}Delete {}? [y/N] ", listed.concat(), deleted.len());
    let mut answer = String::new();
    write!(stderr, "{}", reports::visible_lines(&question))
        .and_then(|()| stderr.flush())
        .and_then(|()| io::stdin().read_line(&mut answer))
        .map_err(ImportError::Prompt)?;
    let is_confirmed = matches!(answer.trim(), "y" | "Y" | "yes");
    Ok((!is_confirmed).then(|| "the deletions were declined".to_owned()))
}

fn block_on<T>(work: impl Future<Output = Result<T, ImportError>>) -> Result<T, ImportError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ImportError::Runtime)?;
    runtime.block_on(work)
}

/// Prints a report or an error, and returns the exit code.
fn finish(report: Result<ImportReport, ImportError>, format: ReportFormat) -> ExitCode {
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            if let (ReportFormat::Json, Some(refusals)) = (format, error.refusals()) {
                // The exit code reports the error even if the standard output is closed.
                drop(writeln!(io::stdout(), "{}", crate::shown(&refusals.to_string())));
            }
            return fail(&error);
        }
    };
    let text = match format {
        ReportFormat::Table => report.table(),
        ReportFormat::Json => report.json(),
    };
    if let Err(error) = io::stdout().write_all(crate::shown(&text).as_bytes()) {
        return crate::fail(&error);
    }
    if report.execution.as_ref().is_some_and(|execution| execution.failure.is_some()) {
        ExitCode::from(crate::UNREADABLE)
    } else if report.refusal.is_some() {
        ExitCode::from(NOT_DONE)
    } else {
        ExitCode::SUCCESS
    }
}

fn fail(error: &ImportError) -> ExitCode {
    match error {
        ImportError::Port(error) => crate::fail(error),
        other => crate::fail(other),
    }
}

fn note(notice: &str) {
    drop(writeln!(io::stderr(), "meshwarden: {}", reports::visible_lines(notice)));
}

/// The command line of this process, quoted for a shell.
fn this_command() -> String {
    std::env::args().map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests;
