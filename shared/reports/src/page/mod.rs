//! Writes one page that draws meshes and lists their findings. The page is one file and fetches nothing. Without
//! scripts it lacks only the filters, the zoom and the link to one finding: `index.html#finding-ID` opens that finding.
//!
//! ```text
//!   MeshReport, FilesReport ──▶ view: texts, numbers, places ──▶ template, which escapes each of them ──▶ page
//! ```
//!
//! The template (`templates/page`) contains all markup. The content security policy names its style and its script by
//! their hashes, so nothing else on the page can run.

mod drawing;
mod findings;
mod layout;

use std::collections::BTreeMap;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use mesh::graph::Mesh;
use policy::edges::Edge;
use rules::pack::{Evaluation, Finding, Severity};
use sha2::{Digest as _, Sha256};

use crate::sarif::FileLine;
use crate::visible::visible;
use crate::{MeshReport, by_severity};
use drawing::{Drawing, drawing, tags, verdict_tag};
use findings::{RuleView, groups};

const STYLE: &str = include_str!("../../templates/page/page.css");
const SCRIPT: &str = include_str!("../../templates/page/page.js");

/// The findings in files, for a page of all meshes that they describe.
pub struct FilesReport<'a> {
    /// Sentences about the parts that were read and the parts that were not.
    pub summary: &'a [String],
    /// The meshes with their calls.
    pub meshes: &'a [(Mesh, Vec<Edge>)],
    /// The findings and the waived findings.
    pub evaluation: &'a Evaluation,
    /// The findings that would exist if undecided values were as they seem.
    pub undecided: &'a [Finding],
    /// The parts that could not be read, so that their findings are unknown.
    pub unread: &'a [String],
    /// The file and the line of a finding.
    pub place: &'a dyn Fn(&Finding) -> Option<FileLine>,
}

impl std::fmt::Debug for FilesReport<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FilesReport").field("summary", &self.summary).finish_non_exhaustive()
    }
}

/// Writes the page of a mesh at one time.
#[must_use]
pub fn page(report: &MeshReport<'_>) -> String {
    let at = |time: Timestamp| time.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let Evaluation { findings, waived } = report.evaluation;
    let since = |finding: &Finding| at(report.history.first_seen(finding).unwrap_or(report.at));
    let context = findings::FindingContext { since: &since, place: &|_| String::new() };
    let resources = report.mesh.resources().len();
    let view = View {
        title: format!("Mesh {}", visible(report.mesh.name.as_str())),
        subtitle: format!("{resources} resources, {} calls, read {}", report.edges.len(), at(report.at)),
        unread: report.unread.iter().map(|text| visible(text).into_owned()).collect(),
        drawings: vec![drawing(0, report.mesh, report.edges, findings)],
        groups: groups(findings, &context),
        lists: vec![list("Waived", waived)],
        calls: report.edges.iter().map(Call::new).collect(),
        ..View::new(findings, report.unread.is_empty(), report.edges.iter())
    };
    view.page()
}

/// Writes the page of files before they are deployed.
#[must_use]
pub fn files_page(report: &FilesReport<'_>) -> String {
    let Evaluation { findings, waived } = report.evaluation;
    let place = |finding: &Finding| {
        let place = (report.place)(finding);
        place.map_or_else(String::new, |FileLine { file, line }| visible(&format!("{file}:{line}")).into_owned())
    };
    let context = findings::FindingContext { since: &|_| String::new(), place: &place };
    let edges = || report.meshes.iter().flat_map(|(_, edges)| edges);
    let names: Vec<&str> = report.meshes.iter().map(|(mesh, _)| mesh.name.as_str()).collect();
    let view = View {
        title: match names.as_slice() {
            [name] => format!("Check of mesh {}", visible(name)),
            _ => format!("Check of {} meshes", names.len()),
        },
        subtitle: visible(&report.summary.join(" ")).into_owned(),
        unread: report.unread.iter().map(|text| visible(text).into_owned()).collect(),
        drawings: (0..)
            .zip(report.meshes)
            .map(|(number, (mesh, edges))| drawing(number, mesh, edges, findings))
            .collect(),
        groups: groups(findings, &context),
        lists: vec![list("Waived", waived), list("Undecided, since not everything is known", report.undecided)],
        calls: edges().map(Call::new).collect(),
        ..View::new(findings, report.unread.is_empty() && report.undecided.is_empty(), edges())
    };
    view.page()
}

/// The values that the template shows.
#[derive(Template)]
#[template(path = "page/page.html")]
struct View {
    title: String,
    subtitle: String,
    style: &'static str,
    style_hash: String,
    script: &'static str,
    script_hash: String,
    badges: Vec<Badge>,
    /// The parts that could not be read, shown above the findings.
    unread: Vec<String>,
    severities: Vec<Severity>,
    tags: Vec<Badge>,
    drawings: Vec<Drawing>,
    /// The number of findings.
    total: usize,
    groups: Vec<RuleView>,
    lists: Vec<List>,
    calls_in_words: String,
    calls: Vec<Call>,
}

/// A text and the CSS class that colours it.
struct Badge {
    class: String,
    text: String,
}

/// Findings that do not count now, such as waived ones, each on a line.
struct List {
    title: &'static str,
    lines: Vec<String>,
}

struct Call {
    from: String,
    from_name: String,
    service: String,
    to: String,
    to_name: String,
    tags: String,
    verdict: String,
    unknown: String,
}

impl View {
    /// Computes the values that follow from findings and calls alone. The badge reports no findings only if everything
    /// is known.
    fn new<'e>(findings: &[Finding], is_complete: bool, edges: impl Iterator<Item = &'e Edge>) -> Self {
        let counts = by_severity(findings);
        let badge = |(severity, count): &(Severity, usize)| Badge {
            class: severity.to_string(),
            text: format!("{count} {severity}"),
        };
        let mut badges: Vec<Badge> = counts.iter().map(badge).collect();
        if badges.is_empty() {
            let (class, text) =
                if is_complete { ("well", "no findings") } else { ("info", "no findings in the readable part") };
            badges.push(Badge { class: class.to_owned(), text: text.to_owned() });
        }
        let mut numbers: BTreeMap<&'static str, usize> = BTreeMap::new();
        for edge in edges {
            *numbers.entry(verdict_tag(&edge.verdict)).or_default() += 1;
        }
        let words = TAGS.iter().filter_map(|(tag, words)| Some(format!("{} {words}", numbers.get(tag)?)));
        let words: Vec<String> = words.collect();
        Self {
            title: String::new(),
            subtitle: String::new(),
            style: STYLE,
            style_hash: hash(STYLE),
            script: SCRIPT,
            script_hash: hash(SCRIPT),
            badges,
            unread: Vec::new(),
            severities: counts.into_iter().map(|(severity, _)| severity).collect(),
            tags: TAGS.map(|(class, text)| Badge { class: class.to_owned(), text: text.to_owned() }).into(),
            drawings: Vec::new(),
            total: findings.len(),
            groups: Vec::new(),
            lists: Vec::new(),
            calls_in_words: if words.is_empty() { "none".to_owned() } else { words.join(", ") },
            calls: Vec::new(),
        }
    }

    fn page(mut self) -> String {
        self.lists.retain(|list| !list.lines.is_empty());
        // The template writes to a string and calls nothing that can fail.
        self.render().unwrap_or_default()
    }
}

/// The tags of calls, each with its label, the worst first.
const TAGS: [(&str, &str); 6] = [
    ("broken", "broken"),
    ("plaintext", "plain text"),
    ("tls", "TLS"),
    ("mtls", "mTLS"),
    ("unproven", "certificate not read (?)"),
    ("idle", "no traffic now"),
];

impl Call {
    fn new(edge: &Edge) -> Self {
        let port = edge.port.map_or(String::new(), |port| format!(":{port}"));
        let unknown: Vec<String> = edge.unknown.iter().map(ToString::to_string).collect();
        let shown = |text: &str| visible(text).into_owned();
        Self {
            from: shown(&edge.from.to_string()),
            from_name: shown(edge.from.name()),
            service: shown(edge.service.as_str()),
            to: shown(&edge.to.to_string()),
            to_name: format!("{}{port}", shown(edge.to.name())),
            tags: tags(edge),
            verdict: shown(&edge.verdict.to_string()),
            unknown: shown(&unknown.join("; ")),
        }
    }
}

fn list(title: &'static str, findings: &[Finding]) -> List {
    let line = |finding: &Finding| {
        let Finding { rule, resource, message, .. } = finding;
        visible(&format!("{rule}: {resource}: {message}")).into_owned()
    };
    List { title, lines: findings.iter().map(line).collect() }
}

/// The hash by which a content security policy names an inline style or script.
fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}
