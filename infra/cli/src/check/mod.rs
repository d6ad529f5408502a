//! `meshwarden check`: files in, findings out.

mod coverage;
mod files;
mod report;
mod table;
mod terminal;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::pack::{Certainty, Evaluation, Finding, judge};
use mesh::policy::{Policy, PolicyError};
use mesh::readers::{File, Note, ReadError, Reading, read_all};
use thiserror::Error;

use crate::args::{CheckArgs, Format};
pub(crate) use files::{Found, Text, Unread, find};
use report::Report;
use terminal::{Layout, Surface};

/// From how many files on progress is shown: fewer are done before anyone looks.
const MANY: usize = 50;

/// Why nothing could be checked.
#[derive(Debug, Error)]
pub(crate) enum CheckError {
    #[error("failed to read the policy {}", file.display())]
    PolicyFile { file: PathBuf, source: io::Error },
    #[error("failed to read the policy")]
    Policy(#[source] PolicyError),
    #[error("failed to write the output")]
    Output(#[source] io::Error),
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing is as severe as asked.
    Clean,
    /// Something is.
    Findings,
    /// Something can't be read, so nobody knows.
    Unreadable,
}

impl Outcome {
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Clean => 0,
            Self::Findings => 1,
            Self::Unreadable => crate::UNREADABLE,
        })
    }
}

/// Reads, judges and tells.
pub(crate) fn run(args: &CheckArgs) -> Result<Outcome, CheckError> {
    let policy = policy(args)?;
    let (texts, mut unread) = gather(args);
    let files: Vec<File<'_>> = texts.iter().map(|text| File { name: &text.name, text: &text.content }).collect();
    let (reading, errors) = read_all(&files, &args.around.surroundings());
    unread.extend(errors.into_iter().filter(|error| matters(error, &texts)).map(Unread::Content));
    let judged = evaluate(&reading, &policy);
    let outcome = outcome(args, &reading, &judged.evaluation, &unread);
    let report = Report::of(&texts, &reading, &judged, &unread);
    let written = match args.format {
        Format::Table => table::write(&report, layout(args)),
        Format::Json => report.json(),
        Format::Sarif => report.sarif(),
        Format::Junit => report.junit(|severity| args.fail_on.fails(severity)),
        Format::Github => report.github(),
    };
    match &args.output {
        Some(file) => std::fs::write(file, written),
        None => io::stdout().write_all(written.as_bytes()),
    }
    .map_err(CheckError::Output)?;
    Ok(outcome)
}

/// How the table is laid out: for the terminal where there is one.
fn layout(args: &CheckArgs) -> Layout {
    let surface = Surface::read(args.output.is_some());
    Layout { width: surface.width(), color: surface.colors(args.color), all: args.all, remarks: args.remarks }
}

fn policy(args: &CheckArgs) -> Result<Policy, CheckError> {
    match &args.policy {
        None => Policy::built_in(),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|source| CheckError::PolicyFile { file: file.clone(), source })?;
            Policy::read(&text)
        }
    }
    .map_err(CheckError::Policy)
}

/// The texts of all files, with a progress bar where there are many and someone watches.
fn gather(args: &CheckArgs) -> (Vec<Text>, Vec<Unread>) {
    let (found, mut unread) = find(&args.paths);
    let bar = if found.len() < MANY { ProgressBar::hidden() } else { ProgressBar::new(found.len() as u64) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} files {wide_msg}") {
        bar.set_style(style);
    }
    let mut texts = Vec::with_capacity(found.len());
    for file in bar.wrap_iter(found.iter()) {
        match file.read() {
            Ok(text) => texts.push(text),
            Err(error) => unread.push(error),
        }
    }
    bar.finish_and_clear();
    (texts, unread)
}

/// A file in a folder that is of no form is none of ours; one that was asked for by name should have been.
pub(crate) fn matters(error: &ReadError, texts: &[Text]) -> bool {
    let (file, is_ours) = match error {
        ReadError::NoForm { file } | ReadError::NoKind { file } => (file, false),
        ReadError::Syntax { file, .. } => (file, true),
    };
    texts.iter().any(|text| text.name == *file && (text.named || (is_ours && text.speaks_of_app_mesh())))
}

/// What the pack says of files.
#[derive(Debug)]
pub(crate) struct Judged {
    /// What holds.
    pub(crate) evaluation: Evaluation,
    /// What would hold if the files had everything and every value were known.
    pub(crate) undecided: Vec<Finding>,
}

fn evaluate(reading: &Reading, policy: &Policy) -> Judged {
    let now = Timestamp::now();
    let mut all = Evaluation { findings: Vec::new(), waived: Vec::new() };
    let mut undecided = Vec::new();
    for mesh in reading.meshes().values() {
        let certainty = Certainty { is_whole: is_whole(mesh, reading), stand_ins: stand_ins(reading) };
        let Evaluation { findings, waived } = judge(mesh, &Readings::default(), policy, now);
        let (sure, open): (Vec<_>, Vec<_>) = findings.into_iter().partition(|finding| certainty.is_sure_of(finding));
        all.findings.extend(sure);
        all.waived.extend(waived);
        undecided.extend(open);
    }
    Judged { evaluation: all, undecided }
}

/// Whether the files have all of a mesh: itself and something in it, with nothing that could not be read.
fn is_whole(mesh: &Mesh, reading: &Reading) -> bool {
    mesh.spec.is_some() && mesh.paths().len() > 1 && reading.refusals.is_empty()
}

/// The texts that stand for values which nobody has given.
fn stand_ins(reading: &Reading) -> Vec<&str> {
    let mut all = Vec::new();
    for remark in &reading.remarks {
        if let Note::Unresolved { expression } | Note::LeftOut { expression } = &remark.note {
            all.push(expression.as_str());
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn outcome(args: &CheckArgs, reading: &Reading, evaluation: &Evaluation, unread: &[Unread]) -> Outcome {
    if !unread.is_empty() || !reading.refusals.is_empty() {
        Outcome::Unreadable
    } else if evaluation.findings.iter().any(|finding| args.fail_on.fails(finding.severity)) {
        Outcome::Findings
    } else {
        Outcome::Clean
    }
}
