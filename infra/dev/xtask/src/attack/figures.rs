//! The figures that the attack suites append to a file, one JSON document per line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use stack::failure::{Failure, Result};

/// One line.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum FigureLine {
    /// One case of a function.
    Case(Case),
    /// A figure of the control plane, such as its memory under a flood.
    Figure { figure: String, value: String },
}

/// One misbehaviour of one service.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    /// The function, and what sets its scene apart from others.
    suite: String,
    #[serde(rename = "case")]
    name: String,
    outcome: Outcome,
    /// Whether the misbehaving service was called.
    #[serde(default)]
    met: bool,
    /// Whether the invocation failed, which is right for most misbehaviours.
    #[serde(default)]
    invocation_failed: bool,
    #[serde(default)]
    ms: u64,
    #[serde(default)]
    mib: u64,
}

/// The outcome of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    Passed,
    Failed,
    /// It was not run, because the time was up.
    LeftOut,
}

/// All lines.
#[derive(Debug, Default)]
pub(super) struct Figures {
    cases: Vec<Case>,
    /// The newest value of each figure: that of the largest round.
    values: BTreeMap<String, String>,
}

impl Figures {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(Failure::file("read", path))?;
        Ok(Self::parse(&text))
    }

    /// A line that is being written is left out.
    fn parse(text: &str) -> Self {
        let mut figures = Self::default();
        for line in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            match line {
                FigureLine::Case(case) => figures.cases.push(case),
                FigureLine::Figure { figure, value } => drop(figures.values.insert(figure, value)),
            }
        }
        figures
    }

    /// The progress in one line.
    pub(super) fn progress(&self) -> String {
        let failed = self.count(|case| case.outcome != Outcome::Passed);
        format!("{} cases of functions, {failed} not withstood; {} figures", self.cases.len(), self.values.len())
    }

    fn count(&self, is_counted: impl Fn(&&Case) -> bool) -> usize {
        self.cases.iter().filter(is_counted).count()
    }

    /// The cases that were not withstood.
    pub(super) fn failures(&self) -> Vec<String> {
        let bad = self.cases.iter().filter(|case| case.outcome != Outcome::Passed);
        bad.map(|case| format!("{}, {}: {:?}", case.suite, case.name, case.outcome)).collect()
    }

    /// The tables in Markdown.
    pub(super) fn table(&self, rounds: &[(u32, String)]) -> String {
        let mut text = String::new();
        if !rounds.is_empty() {
            text.push_str("| control plane | result |\n|---|---|\n");
            for (rounds, result) in rounds {
                writeln!(text, "| {rounds} x the size of every commit's tests | {result} |").ok();
            }
            for (figure, value) in &self.values {
                writeln!(text, "| {figure} | {value} |").ok();
            }
            text.push('\n');
        }
        let mut suites: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
        for case in &self.cases {
            suites.entry(&case.suite).or_default().push(case);
        }
        if !suites.is_empty() {
            text.push_str(
                "| function | cases | service called | invocations that fail | slowest start or invocation | peak memory \
                 | not withstood | left out |\n|---|---|---|---|---|---|---|---|\n",
            );
        }
        for (suite, cases) in suites {
            let count = |is_counted: &dyn Fn(&Case) -> bool| cases.iter().filter(|case| is_counted(case)).count();
            let slowest = cases.iter().map(|case| case.ms).max().unwrap_or_default();
            let memory = cases.iter().map(|case| case.mib).max().unwrap_or_default();
            writeln!(
                text,
                "| {suite} | {} | {} | {} | {}.{} s | {memory} MiB | {} | {} |",
                cases.len(),
                count(&|case| case.met),
                count(&|case| case.invocation_failed),
                slowest / 1000,
                slowest % 1000 / 100,
                count(&|case| case.outcome == Outcome::Failed),
                count(&|case| case.outcome == Outcome::LeftOut),
            )
            .ok();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"{"figure":"4000 connections","value":"90 MiB"}
{"figure":"4000 connections","value":"93 MiB"}
{"suite":"route-failover","case":"Reset at s3","outcome":"passed","met":true,"invocationFailed":true,"ms":8512,"mib":61}
{"suite":"route-failover","case":"Redirect at sns","outcome":"failed","met":true,"invocationFailed":false,"ms":12,"mib":93}
{"suite":"change-audit","case":"Reset at dynamodb","outcome":"leftOut"}
{"suite":"change-audit","case":"Rese"#;

    #[test]
    fn table_has_a_row_for_each_suite_and_figure() {
        let figures = Figures::parse(LINES);
        let table = figures.table(&[(1, "withstood in 60 s".to_owned())]);
        for row in [
            "| 1 x the size of every commit's tests | withstood in 60 s |",
            "| 4000 connections | 93 MiB |",
            "| route-failover | 2 | 2 | 1 | 8.5 s | 93 MiB | 1 | 0 |",
            "| change-audit | 1 | 0 | 0 | 0.0 s | 0 MiB | 0 | 1 |",
        ] {
            assert!(table.contains(row), "{row}:\n{table}");
        }
        assert_eq!(figures.progress(), "3 cases of functions, 2 not withstood; 1 figures");
    }

    #[test]
    fn failed_and_left_out_cases_are_failures() {
        let failures = Figures::parse(LINES).failures();
        assert_eq!(failures, ["route-failover, Redirect at sns: Failed", "change-audit, Reset at dynamodb: LeftOut"]);
    }
}
