//! Writes findings as a JUnit report, which CI systems show alongside their tests.

use askama::Template;
use mesh::pack::{Finding, Severity};

use crate::sarif::{Level, Notification, Place, Placed};
use crate::visible::visible;

/// Writes a JUnit report with a test case per finding, which fails if its severity fails the run. Waived findings,
/// warnings and notes are skipped test cases, and error notifications are errors. `clean` are the files without
/// findings: test cases that pass.
#[must_use]
pub fn junit(
    results: &[Placed<'_>],
    notifications: &[Notification],
    clean: &[&str],
    fails: impl Fn(Severity) -> bool,
) -> String {
    let of_result = |placed: &Placed<'_>| {
        let Placed { finding, place, waived } = placed;
        let outcome = match (waived, fails(finding.severity)) {
            (true, _) => Outcome::Skipped,
            (false, true) => Outcome::Failure,
            (false, false) => Outcome::Passed,
        };
        case(finding, place.as_ref(), outcome)
    };
    let of_notification = |Notification { level, message, place }: &Notification| {
        let outcome = match level {
            Level::Error => Outcome::Error,
            Level::Warning | Level::Note => Outcome::Skipped,
        };
        let name = visible(message).into_owned();
        let (class, kind) = ("meshwarden".to_owned(), "reading".to_owned());
        let at = place.as_ref().map(|Place { file, line }| (visible(file).into_owned(), *line));
        Case { detail: name.clone(), name, class, at, kind, outcome }
    };
    let of_clean = |file: &&str| Case {
        name: format!("{}: no findings", visible(file)),
        class: "meshwarden".to_owned(),
        at: None,
        kind: String::new(),
        detail: String::new(),
        outcome: Outcome::Passed,
    };
    let notified = notifications.iter().map(of_notification);
    let cases: Vec<Case> = notified.chain(results.iter().map(of_result)).chain(clean.iter().map(of_clean)).collect();
    let count = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    let report = Report {
        failures: count(Outcome::Failure),
        errors: count(Outcome::Error),
        skipped: count(Outcome::Skipped),
        cases: &cases,
    };
    // The template writes to a string and calls nothing that can fail.
    report.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "junit.xml")]
struct Report<'c> {
    failures: usize,
    errors: usize,
    skipped: usize,
    cases: &'c [Case],
}

struct Case {
    name: String,
    class: String,
    /// The file and the line.
    at: Option<(String, usize)>,
    /// The severity of the finding; `reading` for a notification; empty for a clean file.
    kind: String,
    detail: String,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failure,
    Error,
    Skipped,
}

fn case(finding: &Finding, place: Option<&Place>, outcome: Outcome) -> Case {
    let Finding { rule, severity, resource, part, message, .. } = finding;
    let of = if part.is_empty() { String::new() } else { format!(" {part}") };
    let mend = rule.rule().map_or("", |rule| rule.mend);
    let at = place.map(|Place { file, line }| (visible(file).into_owned(), *line));
    let shown = at.as_ref().map_or_else(String::new, |(file, line)| format!("{file}:{line}\n"));
    Case {
        name: visible(&format!("{rule}: {resource}{of}")).into_owned(),
        class: format!("meshwarden.{rule}"),
        kind: severity.to_string(),
        detail: format!("{shown}{}\n{mend}", visible(message)),
        at,
        outcome,
    }
}
