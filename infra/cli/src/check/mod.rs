//! `meshwarden check`: reads files, and reports findings.

mod args;
mod coverage;
mod files;
mod formats;
mod input;
mod judged;
mod placeholders;
mod report;
mod table;
mod terminal;
mod understood;

use std::collections::{HashMap, HashSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use mesh::certificates::Readings;
use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use policy::{Policy, PolicyError};
use readers::{Defect, Fault, Note, Reading};
use rules::pack::{Certainty, Evaluation, Finding, FindingId, Group, judge, judge_faults, rule_named};
use thiserror::Error;

#[cfg(feature = "aws")]
pub(crate) use args::Around;
use args::Format;
pub(crate) use args::{CheckArgs, ProfileArg};
pub(crate) use files::{Files, Found, Text, Unread, find};
#[cfg(any(feature = "aws", test))]
pub(crate) use input::matters;
pub(crate) use input::{Input, InputRead, read_input};
use judged::{DeclaredLine, Judged};
use report::Report;
use terminal::{Layout, Surface};

/// Why a check failed.
#[derive(Debug, Error)]
pub(crate) enum CheckError {
    #[error("failed to read the policy {}", file.display())]
    PolicyFile { file: PathBuf, source: io::Error },
    #[error("failed to read the policy")]
    Policy(#[source] PolicyError),
    #[error("failed to write the output")]
    Output(#[source] io::Error),
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// No finding reaches the severity of `--fail-on`.
    Clean,
    /// A finding reaches the severity of `--fail-on`.
    Findings,
    /// An unreadable file or resource leaves the result incomplete.
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

/// Reads and judges the files, and writes the report.
pub(crate) fn run(args: &CheckArgs) -> Result<Outcome, CheckError> {
    let policy = policy(args.policy.as_deref(), args.profile)?;
    let InputRead { texts, reading, unread, notices, has_more } = read_input(&Input {
        paths: &args.paths,
        around: &args.around,
        allow_empty: args.allow_empty,
        allow_unread_modules: args.allow_unread_modules,
        fill_placeholders: false,
    });
    let judged = Judged { notices, ..evaluate(&reading, &policy, has_more) };
    let outcome = outcome(args, &reading, &judged.evaluation, &unread);
    let report = Report::new(&texts, &reading, &judged, &unread);
    let written = match args.format {
        Format::Table => table::write(&report, layout(args)),
        Format::Json => report.json(),
        Format::Sarif => report.sarif(),
        Format::Html => report.html(Timestamp::now()),
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

/// The table layout, for the terminal if there is one.
fn layout(args: &CheckArgs) -> Layout {
    let surface = Surface::read(args.output.is_some());
    Layout { width: surface.width(), color: surface.colors(args.color), all: args.all, remarks: args.remarks }
}

/// The policy of a file, or the built-in policy.
pub(crate) fn policy(file: Option<&Path>, profile: Option<ProfileArg>) -> Result<Policy, CheckError> {
    let mut policy = match file {
        None => Policy::built_in(),
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|source| CheckError::PolicyFile { file: file.to_owned(), source })?;
            Policy::read(&text)
        }
    }
    .map_err(CheckError::Policy)?;
    if let Some(profile) = profile {
        policy.profile = profile.into();
    }
    Ok(policy)
}

fn evaluate(reading: &Reading, policy: &Policy, has_more: bool) -> Judged {
    let now = Timestamp::now();
    let mut judged = Judged {
        evaluation: Evaluation { findings: Vec::new(), waived: Vec::new() },
        undecided: Vec::new(),
        places: places(&reading.faults, policy, now),
        notices: Vec::new(),
    };
    let meshes = reading.meshes();
    let is_whole = |mesh: &Mesh| !has_more && is_whole(mesh, reading);
    for mesh in meshes.values() {
        judged.add(judge(mesh, &Readings::default(), policy, now), is_whole(mesh), reading);
    }
    let (whole, part): (Vec<Fault>, Vec<Fault>) =
        reading.faults.iter().cloned().partition(|fault| meshes.get(fault.resource.mesh()).is_some_and(is_whole));
    for (faults, is_whole) in [(whole, true), (part, false)] {
        judged.add(judge_faults(&faults, policy, now), is_whole, reading);
    }
    judged
}

impl Judged {
    fn add(&mut self, Evaluation { findings, waived }: Evaluation, is_whole: bool, reading: &Reading) {
        let certainty = Certainty { is_whole, stand_ins: stand_ins(reading) };
        let partial = partial(reading);
        let (sure, open): (Vec<_>, Vec<_>) = findings.into_iter().partition(|finding| {
            certainty.is_sure_of(finding) && !rests_on(finding, &partial) && !rests_on_selectors(finding, reading)
        });
        self.evaluation.findings.extend(sure);
        self.evaluation.waived.extend(waived);
        self.undecided.extend(open);
    }
}

/// The resources with unread dynamic blocks, since only Terraform knows the number of their blocks.
fn partial(reading: &Reading) -> HashSet<&ResourcePath> {
    let has_blocks = |expressions: &[String]| expressions.iter().any(|expression| expression.starts_with("dynamic "));
    let partial = reading.faults.iter().filter(|fault| match &fault.defect {
        Defect::Undecided { expressions } => has_blocks(expressions),
        _ => false,
    });
    partial.map(|fault| &fault.resource).collect()
}

/// Whether the unread blocks of such a resource may change a finding on it or about it. Findings of the group `Files`
/// stay certain, since other blocks cannot resolve them.
fn rests_on(finding: &Finding, partial: &HashSet<&ResourcePath>) -> bool {
    let names = |path: &ResourcePath| {
        let (path, name) = (path.to_string(), path.name());
        finding.facts.values().any(|fact| fact.as_str().is_some_and(|fact| fact == name || fact == path))
    };
    let is_of_file = rule_named(finding.rule).is_some_and(|rule| rule.group == Group::Files);
    !is_of_file && partial.iter().any(|path| **path == finding.resource || names(path))
}

/// Whether a `gateway-without-routes` finding is uncertain, since a gateway route in the mesh has ambiguous or
/// unmatched gateway selectors.
fn rests_on_selectors(finding: &Finding, reading: &Reading) -> bool {
    finding.rule.as_str() == "gateway-without-routes"
        && reading.faults.iter().any(|fault| {
            let is_open = matches!(fault.defect, Defect::GatewayAmbiguous { .. } | Defect::GatewayMissing { .. });
            is_open && fault.resource.mesh() == finding.resource.mesh()
        })
}

/// The locations of the faults, by the findings that they produce.
fn places(faults: &[Fault], policy: &Policy, now: Timestamp) -> HashMap<FindingId, DeclaredLine> {
    let places = faults.iter().flat_map(|fault| {
        let Evaluation { findings, waived } = judge_faults(std::slice::from_ref(fault), policy, now);
        let place = DeclaredLine { source: fault.source.clone(), line: fault.line };
        findings.into_iter().chain(waived).map(move |finding| (finding.id(), place.clone()))
    });
    places.collect()
}

/// Whether the files contain a whole mesh: the mesh and a resource in it, with no refused resource.
fn is_whole(mesh: &Mesh, reading: &Reading) -> bool {
    mesh.spec.is_some() && mesh.paths().len() > 1 && reading.refusals.is_empty()
}

/// The expressions of values that are not in the files.
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
