//! The report of a check as text: findings by rule and root cause, and the coverage.

use comfy_table::{ContentArrangement, Table, presets};
use reports::{Cause, RuleGroup, by_severity, group, visible};
use rules::pack::{Finding, rule_named};

use super::coverage::{Coverage, count};
use super::report::Report;
use super::terminal::{Layout, bold, colored};

/// The most findings of a rule and of a root cause before the table folds the rest.
const SHOWN: usize = 8;
const SHOWN_OF_CAUSE: usize = 3;

/// The width in columns below which a table has too little room for its messages.
const NARROW: u16 = 110;

/// The indentation of rows below a rule, in spaces.
const INDENT: usize = 2;

/// Renders the findings, the unread input and the summary.
pub(crate) fn write(report: &Report<'_>, layout: Layout) -> String {
    let mut page = Page { text: String::new(), layout };
    let groups = group(&report.evaluation.findings);
    for of_rule in &groups {
        page.rule(of_rule, report);
    }
    page.section("Not read:", report.unread.iter().map(ToString::to_string));
    page.section("Refused:", report.reading.refusals.iter().map(ToString::to_string));
    page.section("Not evaluated:", report.notices.iter().cloned());
    if layout.remarks {
        let open = report.undecided.iter();
        let open = open.map(|finding| format!("{}: {}: {}", shown(finding), finding.rule, finding.message));
        page.section("Undecided, because the files are incomplete:", open);
        let waived = report.evaluation.waived.iter();
        page.section("Waived:", waived.map(|finding| format!("{}: {}", shown(finding), finding.rule)));
        page.section("Remarks:", report.reading.remarks.iter().map(ToString::to_string));
        let without = Coverage::new(report).without.into_iter().map(str::to_owned);
        page.section("Files without App Mesh resources:", without);
    }
    for line in summary(report, &groups, layout.remarks) {
        page.wrapped(&line, 0);
    }
    page.text
}

/// The rendered text, and its layout.
struct Page {
    text: String,
    layout: Layout,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn rule(&mut self, of_rule: &RuleGroup<'_>, report: &Report<'_>) {
        let color = self.layout.color;
        let title = rule_named(of_rule.rule).map_or("", |rule| rule.title);
        let severity = of_rule.worst.to_string().to_uppercase();
        let follow = match of_rule.consequences() {
            0 => String::new(),
            1 => ", 1 more follows".to_owned(),
            number => format!(", {number} more follow"),
        };
        let counts = format!("({}{follow})", count(of_rule.count(), "finding"));
        let plain = format!("{severity}  {}", of_rule.rule);
        let styled = format!("{}  {}", colored(&severity, of_rule.worst, color), bold(of_rule.rule.as_str(), color));
        for line in self.fit(&format!("{plain}  {title} {counts}"), 0) {
            // The style is applied after wrapping, since the wrapping counts characters.
            self.line(&line.strip_prefix(&plain).map_or_else(|| line.clone(), |rest| format!("{styled}{rest}")));
        }
        let mut rows = Vec::new();
        let (mut left, mut folded) = (if self.layout.all { usize::MAX } else { SHOWN }, 0);
        for cause in &of_rule.causes {
            let most = if self.layout.all { usize::MAX } else { SHOWN_OF_CAUSE.min(left) };
            // One more row takes the same room as a line that reports one folded finding.
            let most =
                if most > 0 && cause.findings.len() == most.saturating_add(1) { most.saturating_add(1) } else { most };
            let first = cause.findings.iter().take(most);
            rows.extend(first.map(|finding| row(finding, report, "", finding.severity != of_rule.worst)));
            if most > 0 {
                rows.extend(self.cause(cause, most, report));
            } else {
                folded += cause.findings.len();
            }
            left = left.saturating_sub(most.min(cause.findings.len()));
        }
        self.table(&rows);
        if folded > 0 {
            self.line(&format!("  and {folded} more; --all shows each"));
        }
        if let Some(rule) = rule_named(of_rule.rule) {
            self.wrapped(&format!("Fix: {}", rule.remedy), INDENT);
        }
        self.text.push('\n');
    }

    /// The rows below the findings of a cause: the shared root cause, and its consequences.
    fn cause(&self, cause: &Cause<'_>, shown_of_it: usize, report: &Report<'_>) -> Vec<[String; 3]> {
        let mut rows = Vec::new();
        let folded = cause.findings.len().saturating_sub(shown_of_it);
        if cause.is_shared() {
            let mut message = format!("root cause of {}", count(cause.findings.len(), "finding"));
            if folded > 0 {
                message = format!("{message}; {folded} not shown, --all shows each");
            }
            rows.push([String::new(), format!("└ {}", visible(&cause.root.to_string())), message]);
        }
        let most = if self.layout.all { usize::MAX } else { SHOWN_OF_CAUSE };
        let (shown, rest) = cause.consequences.split_at(most.min(cause.consequences.len()));
        rows.extend(shown.iter().map(|finding| row(finding, report, "└ follows: ", true)));
        let mut rules: Vec<(&str, usize)> = Vec::new();
        for finding in rest {
            match rules.last_mut() {
                Some((rule, number)) if *rule == finding.rule.as_str() => *number += 1,
                _ => rules.push((finding.rule.as_str(), 1)),
            }
        }
        if !rules.is_empty() {
            let rules: Vec<String> = rules.iter().map(|(rule, number)| format!("{number} of {rule}")).collect();
            let message = format!("{} more not shown, --all shows each", rules.join(", "));
            rows.push([String::new(), "└ follows".to_owned(), message]);
        }
        rows
    }

    /// Renders rows in columns. A narrow terminal shows location and resource above the message.
    fn table(&mut self, rows: &[[String; 3]]) {
        if self.layout.width.is_some_and(|width| width < NARROW) {
            for [place, resource, message] in rows {
                let place = if place.is_empty() { String::new() } else { format!("{place}  ") };
                self.wrapped(&format!("{place}{resource}"), INDENT);
                self.wrapped(message, 3 * INDENT);
            }
            return;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if let Some(width) = self.layout.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.saturating_sub(2));
        }
        table.add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.lines() {
            self.line(&format!("{:INDENT$}{line}", ""));
        }
    }

    /// Writes a wrapped paragraph.
    fn wrapped(&mut self, text: &str, indent: usize) {
        for line in self.fit(text, indent) {
            self.line(&format!("{:indent$}{line}", ""));
        }
    }

    /// The lines of a text, wrapped to the width without the indentation.
    fn fit(&self, text: &str, indent: usize) -> Vec<String> {
        let Some(width) = self.layout.width else { return vec![text.to_owned()] };
        let mut table = Table::new();
        let width = width.saturating_sub(u16::try_from(indent).unwrap_or(0)).max(20);
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        table.add_row([text]);
        for column in table.column_iter_mut() {
            column.set_padding((0, 0));
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    fn section(&mut self, title: &str, lines: impl Iterator<Item = String>) {
        let mut lines = lines.peekable();
        if lines.peek().is_none() {
            return;
        }
        let title = bold(title, self.layout.color);
        self.line(&title);
        for text in lines {
            // `visible` keeps the text on one line, since a line break in a file name could inject a workflow command.
            self.wrapped(&visible(&text), INDENT);
        }
        self.text.push('\n');
    }
}

/// The location, resource and message of a finding. `follows` is the prefix of a consequence, which is listed under the
/// rule of its cause. The severity is shown if it differs from the heading.
fn row(finding: &Finding, report: &Report<'_>, follows: &str, shows_severity: bool) -> [String; 3] {
    let place = report.place(finding);
    let place = place.map_or_else(|| "(no file)".to_owned(), |place| format!("{}:{}", place.file, place.line));
    let of = match (follows, shows_severity) {
        ("", false) => String::new(),
        ("", true) => format!("({}) ", finding.severity),
        _ => format!("{follows}{} ({}): ", finding.rule, finding.severity),
    };
    let message = format!("{of}{}", finding.message);
    [visible(&place).into_owned(), visible(&shown(finding)).into_owned(), visible(&message).into_owned()]
}

/// The resource and its part: `mesh/shop/virtualNode/orders listener 8080`.
fn shown(finding: &Finding) -> String {
    match finding.part.as_str() {
        "" => finding.resource.to_string(),
        part => format!("{} {part}", finding.resource),
    }
}

/// The counts of findings and of read and unread input. The hint at `--remarks` is omitted if `lists_all` is set.
pub(crate) fn summary(report: &Report<'_>, groups: &[RuleGroup<'_>], lists_all: bool) -> Vec<String> {
    let Report { reading, evaluation, undecided, unread, .. } = report;
    let severities = by_severity(&evaluation.findings);
    let found = if severities.is_empty() {
        // An incomplete read cannot prove that there are no findings.
        if report.is_complete() { "No findings.".to_owned() } else { "No findings in the read files.".to_owned() }
    } else {
        let counts: Vec<String> = severities.iter().map(|(severity, count)| format!("{count} {severity}")).collect();
        let causes = groups.iter().map(|of_rule| of_rule.causes.len()).sum();
        let (rules, causes) = (count(groups.len(), "rule"), count(causes, "root cause"));
        format!("Findings: {} ({rules}, {causes}).", counts.join(", "))
    };
    let others = [
        (evaluation.waived.len(), "waived"),
        (undecided.len(), "undecided"),
        (reading.remarks.len(), if reading.remarks.len() == 1 { "remark" } else { "remarks" }),
    ];
    let others: Vec<String> =
        others.iter().filter(|(count, _)| *count > 0).map(|(count, of)| format!("{count} {of}")).collect();
    let hint = if lists_all { "" } else { " (--remarks lists them)" };
    let others = if others.is_empty() { String::new() } else { format!(" Also {}{hint}.", others.join(", ")) };

    let coverage = Coverage::new(report);
    let files = count(coverage.read.len(), "file");
    let resources = count(reading.resources.len(), "resource");
    let read = format!("Read: {files}, {resources}, {}.", count(coverage.meshes.len(), "mesh"));
    let gaps = [
        (unread.len(), count(unread.len(), "file") + " with errors"),
        (reading.refusals.len(), count(reading.refusals.len(), "refused resource")),
        (coverage.without.len(), count(coverage.without.len(), "file") + " without App Mesh resources"),
        (coverage.certificates, count(coverage.certificates, "certificate") + " (files only name them)"),
    ];
    let gaps: Vec<String> = gaps.into_iter().filter(|(count, _)| *count > 0).map(|(_, gap)| gap).collect();
    let gaps =
        if gaps.is_empty() { "Not read: nothing.".to_owned() } else { format!("Not read: {}.", gaps.join(", ")) };
    vec![format!("{found}{others}"), format!("{read} {gaps}")]
}

#[cfg(test)]
mod tests;
