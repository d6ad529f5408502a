//! Draws a mesh: boxes for its workloads, lines for its calls.

use std::collections::{BTreeMap, HashMap};

use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use policy::edges::{Edge, TlsVerdict};
use rules::pack::{Finding, Severity};

use super::layout::{BOX_HEIGHT, BOX_WIDTH, Layout, SPACE, layout};
use crate::visible::visible;

/// The number of characters of a name that fit into its box.
const NAME: usize = 22;

/// A mesh with the position of each workload and line.
pub(super) struct Drawing {
    /// The index of the drawing among the drawings of the page.
    pub(super) number: usize,
    pub(super) mesh: String,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) box_width: usize,
    pub(super) box_height: usize,
    /// The horizontal position of the number of findings in a box.
    pub(super) badge_x: usize,
    pub(super) lines: Vec<Line>,
    pub(super) workloads: Vec<Workload>,
}

/// One or several calls between two workloads with the same verdict.
pub(super) struct Line {
    /// The index of the caller in the list of workloads.
    pub(super) from: usize,
    /// The index of the callee in the list of workloads.
    pub(super) to: usize,
    pub(super) tags: String,
    pub(super) sign: &'static str,
    pub(super) title: String,
    pub(super) path: String,
    pub(super) x: usize,
    pub(super) y: usize,
}

/// A virtual node or gateway.
pub(super) struct Workload {
    pub(super) resource: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) label: String,
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) count: usize,
    pub(super) worst: Severity,
}

/// The tags of a call, by which the page colours and filters it. They are the verdict, whether it is proven, and
/// whether there is traffic now.
pub(super) fn tags(edge: &Edge) -> String {
    let mut tags = verdict_tag(&edge.verdict).to_owned();
    if !edge.is_proven() {
        tags.push_str(" unproven");
    }
    if !edge.carries_traffic {
        tags.push_str(" idle");
    }
    tags
}

/// The tag of a verdict.
pub(super) const fn verdict_tag(verdict: &TlsVerdict) -> &'static str {
    match verdict {
        TlsVerdict::Broken(_) => "broken",
        TlsVerdict::Plaintext => "plaintext",
        TlsVerdict::Tls => "tls",
        TlsVerdict::Mtls => "mtls",
    }
}

/// The sign on a line, for readers who cannot distinguish its colour.
const fn sign(edge: &Edge) -> &'static str {
    match (&edge.verdict, edge.unknown.is_empty()) {
        (TlsVerdict::Broken(_), _) => "✕",
        (TlsVerdict::Plaintext, _) => "plain",
        (TlsVerdict::Tls, true) => "TLS",
        (TlsVerdict::Tls, false) => "TLS?",
        (TlsVerdict::Mtls, true) => "mTLS",
        (TlsVerdict::Mtls, false) => "mTLS?",
    }
}

/// Draws a mesh. The number in each box counts the findings of that resource.
pub(super) fn drawing(number: usize, mesh: &Mesh, edges: &[Edge], findings: &[Finding]) -> Drawing {
    let layout = layout(mesh, edges);
    let mut found: HashMap<&ResourcePath, (usize, Severity)> = HashMap::new();
    for finding in findings {
        let (count, worst) = found.entry(&finding.resource).or_insert((0, Severity::Info));
        *count += 1;
        *worst = (*worst).max(finding.severity);
    }
    let numbers: HashMap<&ResourcePath, usize> = layout.places.keys().zip(0..).collect();
    let workload = |(path, (x, y)): (&ResourcePath, &(usize, usize))| {
        let (count, worst) = found.get(path).copied().unwrap_or((0, Severity::Info));
        workload(mesh, path, (*x, *y), count, worst)
    };
    let workloads = layout.places.iter().map(workload).collect();
    let lines = lines(edges).into_iter().filter_map(|(edge, others)| line(edge, others, &layout, &numbers)).collect();
    Drawing {
        number,
        mesh: visible(mesh.name.as_str()).into_owned(),
        width: layout.width,
        height: layout.height,
        box_width: BOX_WIDTH,
        box_height: BOX_HEIGHT,
        badge_x: BOX_WIDTH - 16,
        lines,
        workloads,
    }
}

fn workload(mesh: &Mesh, path: &ResourcePath, (x, y): (usize, usize), count: usize, worst: Severity) -> Workload {
    let kind = match path {
        ResourcePath::VirtualGateway(..) => "gateway",
        ResourcePath::VirtualNode(_, node) if mesh.nodes.contains_key(node) => "node",
        _ => "missing",
    };
    let full = visible(path.name());
    let name = if full.chars().count() > NAME {
        full.chars().take(NAME - 1).chain(['…']).collect()
    } else {
        full.into_owned()
    };
    let resource = visible(&path.to_string()).into_owned();
    let findings = match count {
        0 => "no findings".to_owned(),
        1 => format!("1 finding ({worst})"),
        count => format!("{count} findings, worst {worst}"),
    };
    Workload { label: format!("{resource}: {findings}"), resource, name, kind, x, y, count, worst }
}

/// One edge for each pair of workloads and tags, with the number of further edges like it.
fn lines(edges: &[Edge]) -> Vec<(&Edge, usize)> {
    let mut chosen: BTreeMap<(&ResourcePath, &ResourcePath, String), (&Edge, usize)> = BTreeMap::new();
    for edge in edges {
        let key = (&edge.from, &edge.to, tags(edge));
        chosen.entry(key).and_modify(|(_, others)| *others += 1).or_insert((edge, 0));
    }
    chosen.into_values().collect()
}

fn line(edge: &Edge, others: usize, layout: &Layout, numbers: &HashMap<&ResourcePath, usize>) -> Option<Line> {
    let ((from_x, from_y), (to_x, to_y)) = (layout.places.get(&edge.from)?, layout.places.get(&edge.to)?);
    let (x1, y1, x2, y2) = (from_x + BOX_WIDTH, from_y + BOX_HEIGHT / 2, *to_x, to_y + BOX_HEIGHT / 2);
    // A call to the left, or to itself, leaves and arrives on the same sides and curves around the boxes.
    let swing = if x2 > x1 { (x2 - x1) / 2 } else { SPACE };
    let (c1, c2) = (x1 + swing, x2.saturating_sub(swing));
    let more = if others > 0 { format!(", and {others} more calls of this kind") } else { String::new() };
    let title = format!("{} → {}: {}{more}", edge.from.name(), edge.service, edge.verdict);
    Some(Line {
        from: *numbers.get(&edge.from)?,
        to: *numbers.get(&edge.to)?,
        tags: tags(edge),
        sign: sign(edge),
        title: visible(&title).into_owned(),
        path: format!("M{x1} {y1}C{c1} {y1} {c2} {y2} {x2} {y2}"),
        x: usize::midpoint(x1, x2),
        y: usize::midpoint(y1, y2),
    })
}
