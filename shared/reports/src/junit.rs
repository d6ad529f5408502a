//! Writes findings as a JUnit report, which CI systems show alongside their tests.

use askama::Template;
use rules::pack::{Finding, Severity, rule_named};

use crate::sarif::{FileLine, Level, LocatedFinding, Notification};
use crate::visible::visible;

/// Writes a JUnit report with a test case per finding, which fails if its severity fails the run. Waived findings,
/// warnings and notes are skipped test cases, and error notifications are errors. `clean` are the files without
/// findings: test cases that pass.
#[must_use]
pub fn junit(
    results: &[LocatedFinding<'_>],
    notifications: &[Notification],
    clean: &[&str],
    fails: impl Fn(Severity) -> bool,
) -> String {
    let result_case = |placed: &LocatedFinding<'_>| {
        let LocatedFinding { finding, place, waived } = placed;
        let outcome = match (waived, fails(finding.severity)) {
            (true, _) => JunitOutcome::Skipped,
            (false, true) => JunitOutcome::Failure,
            (false, false) => JunitOutcome::Passed,
        };
        case(finding, place.as_ref(), outcome)
    };
    let notification_case = |Notification { level, message, place }: &Notification| {
        let outcome = match level {
            Level::Error => JunitOutcome::Error,
            Level::Warning | Level::Note => JunitOutcome::Skipped,
        };
        let name = visible(message).into_owned();
        let (class, kind) = ("meshwarden".to_owned(), "reading".to_owned());
        let at = place.as_ref().map(|FileLine { file, line }| (visible(file).into_owned(), *line));
        JunitCase { detail: name.clone(), name, class, at, kind, outcome }
    };
    let clean_case = |file: &&str| JunitCase {
        name: format!("{}: no findings", visible(file)),
        class: "meshwarden".to_owned(),
        at: None,
        kind: String::new(),
        detail: String::new(),
        outcome: JunitOutcome::Passed,
    };
    let notified = notifications.iter().map(notification_case);
    let cases: Vec<JunitCase> =
        notified.chain(results.iter().map(result_case)).chain(clean.iter().map(clean_case)).collect();
    let count = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    let report = JunitReport {
        failures: count(JunitOutcome::Failure),
        errors: count(JunitOutcome::Error),
        skipped: count(JunitOutcome::Skipped),
        cases: &cases,
    };
    // The template writes to a string and calls nothing that can fail.
    report.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "junit.xml")]
struct JunitReport<'c> {
    failures: usize,
    errors: usize,
    skipped: usize,
    cases: &'c [JunitCase],
}

struct JunitCase {
    name: String,
    class: String,
    /// The file and the line.
    at: Option<(String, usize)>,
    /// The severity of the finding; `reading` for a notification; empty for a clean file.
    kind: String,
    detail: String,
    outcome: JunitOutcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JunitOutcome {
    Passed,
    Failure,
    Error,
    Skipped,
}

fn case(finding: &Finding, place: Option<&FileLine>, outcome: JunitOutcome) -> JunitCase {
    let Finding { rule, severity, resource, part, message, .. } = finding;
    let of = if part.is_empty() { String::new() } else { format!(" {part}") };
    let remedy = rule_named(*rule).map_or("", |rule| rule.remedy);
    let at = place.map(|FileLine { file, line }| (visible(file).into_owned(), *line));
    let shown = at.as_ref().map_or_else(String::new, |(file, line)| format!("{file}:{line}\n"));
    JunitCase {
        name: visible(&format!("{rule}: {resource}{of}")).into_owned(),
        class: format!("meshwarden.{rule}"),
        kind: severity.to_string(),
        detail: format!("{shown}{}\n{remedy}", visible(message)),
        at,
        outcome,
    }
}
