//! What a check found, for people.

use std::collections::BTreeMap;

use mesh::pack::{Finding, Severity};

use super::report::Report;

/// Findings by file, what can't be read, and a line that sums up.
pub(crate) fn write(report: &Report<'_>, remarks: bool) -> String {
    let mut text = String::new();
    for (file, findings) in by_file(report) {
        line(&mut text, file);
        let width =
            |cell: fn(&Finding) -> String| findings.iter().map(|finding| cell(finding).len()).max().unwrap_or(0);
        let (rule, resource) = (width(|finding| finding.rule.as_str().to_owned()), width(shown));
        for finding in findings {
            let Finding { severity, rule: name, message, .. } = finding;
            line(
                &mut text,
                &format!(
                    "  {:<8}  {:<rule$}  {:<resource$}  {message}",
                    severity.to_string(),
                    name.as_str(),
                    shown(finding)
                ),
            );
        }
        text.push('\n');
    }
    section(&mut text, "can't be read:", report.unread.iter().map(ToString::to_string));
    section(&mut text, "refused:", report.reading.refusals.iter().map(ToString::to_string));
    if remarks {
        let open = report.undecided.iter();
        let open = open.map(|finding| format!("{}: {}: {}", shown(finding), finding.rule, finding.message));
        section(&mut text, "not decided, since not everything is known:", open);
        section(&mut text, "remarks:", report.reading.remarks.iter().map(ToString::to_string));
    }
    line(&mut text, &summary(report));
    text
}

fn by_file<'r>(report: &'r Report<'_>) -> BTreeMap<&'r str, Vec<&'r Finding>> {
    let mut files = BTreeMap::<&str, Vec<&Finding>>::new();
    for finding in &report.evaluation.findings {
        let file = report.source(&finding.resource).map_or("(no file)", |source| source.file.as_str());
        files.entry(file).or_default().push(finding);
    }
    for findings in files.values_mut() {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    }
    files
}

/// The resource and the part of it: `mesh/shop/virtualNode/orders listener 8080`.
fn shown(finding: &Finding) -> String {
    match finding.part.as_str() {
        "" => finding.resource.to_string(),
        part => format!("{} {part}", finding.resource),
    }
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return;
    }
    line(text, title);
    for one in lines {
        line(text, &format!("  {one}"));
    }
    text.push('\n');
}

fn summary(report: &Report<'_>) -> String {
    let Report { texts, reading, evaluation, undecided, unread, .. } = report;
    let mut by_severity = BTreeMap::<Severity, usize>::new();
    for finding in &evaluation.findings {
        *by_severity.entry(finding.severity).or_default() += 1;
    }
    let found: Vec<String> = by_severity.iter().rev().map(|(severity, count)| format!("{count} {severity}")).collect();
    let found = if found.is_empty() { "no findings".to_owned() } else { format!("findings: {}", found.join(", ")) };
    let counts = [
        (evaluation.waived.len(), "waived"),
        (undecided.len(), "undecided"),
        (unread.len(), "unreadable"),
        (reading.refusals.len(), "refused"),
        (reading.remarks.len(), "remarks"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, of)| format!("; {count} {of}"));
    let counts: Vec<String> = counts.collect();
    format!("{} files, {} resources; {found}{}", texts.len(), reading.resources.len(), counts.concat())
}

fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}
