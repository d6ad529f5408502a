//! The mesh as SVG.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mesh::edges::{Edge, Verdict};
use mesh::name::ResourcePath;

use super::escape::escape;
use super::layout::Layout;
use crate::MeshReport;

const WIDTH: usize = 190;
const HEIGHT: usize = 46;
const ACROSS: usize = 130;
const DOWN: usize = 26;
const MARGIN: usize = 24;

/// How an edge is drawn: its class, which the style sheet colours, and the sign on it, for eyes that don't tell colours
/// apart.
pub(super) const fn look(edge: &Edge) -> (&'static str, &'static str) {
    match (&edge.verdict, edge.unknown.is_empty()) {
        (Verdict::Broken(_), _) => ("broken", "✕"),
        (Verdict::Plaintext, _) => ("plaintext", "plain"),
        (Verdict::Tls, true) => ("tls", "TLS"),
        (Verdict::Tls, false) => ("tls unproven", "TLS?"),
        (Verdict::Mtls, true) => ("mtls", "mTLS"),
        (Verdict::Mtls, false) => ("mtls unproven", "mTLS?"),
    }
}

/// How bad it is, to draw the worst of several edges between two workloads.
const fn badness(edge: &Edge) -> u8 {
    match &edge.verdict {
        Verdict::Broken(_) => 3,
        Verdict::Plaintext => 2,
        Verdict::Tls => 1,
        Verdict::Mtls => 0,
    }
}

/// Draws the mesh.
pub(super) fn drawing(report: &MeshReport<'_>, layout: &Layout) -> String {
    let width = layout.columns * (WIDTH + ACROSS) + 2 * MARGIN - if layout.columns > 0 { ACROSS } else { 0 };
    let height = layout.rows * (HEIGHT + DOWN) + 2 * MARGIN;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         aria-label=\"The calls of mesh {}\">\n",
        escape(report.mesh.name.as_str())
    );
    svg.push_str(MARKERS);
    for edge in worst(report.edges) {
        draw_edge(&mut svg, edge, layout);
    }
    for (path, place) in &layout.places {
        draw_workload(&mut svg, path, *place, report);
    }
    svg.push_str("</svg>\n");
    svg
}

const MARKERS: &str = "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
markerHeight=\"7\" orient=\"auto-start-reverse\"><path d=\"M0 0 8 4 0 8z\" fill=\"context-stroke\"/></marker></defs>\n";

/// One edge between any two workloads: the worst, those that carry traffic first.
fn worst(edges: &[Edge]) -> Vec<&Edge> {
    let mut chosen: BTreeMap<(&ResourcePath, &ResourcePath), &Edge> = BTreeMap::new();
    for edge in edges {
        let rank = |edge: &Edge| (edge.carries_traffic, badness(edge));
        let known = chosen.entry((&edge.from, &edge.to)).or_insert(edge);
        if rank(edge) > rank(known) {
            *known = edge;
        }
    }
    chosen.into_values().collect()
}

const fn corner((column, row): (usize, usize)) -> (usize, usize) {
    (MARGIN + column * (WIDTH + ACROSS), MARGIN + row * (HEIGHT + DOWN))
}

fn draw_edge(svg: &mut String, edge: &Edge, layout: &Layout) {
    let (Some(from), Some(to)) = (layout.places.get(&edge.from), layout.places.get(&edge.to)) else { return };
    let ((from_x, from_y), (to_x, to_y)) = (corner(*from), corner(*to));
    let (x1, y1, x2, y2) = (from_x + WIDTH, from_y + HEIGHT / 2, to_x, to_y + HEIGHT / 2);
    // A call to the left, or to itself, leaves and arrives on the same sides and swings out around the boxes.
    let swing = if x2 > x1 { (x2 - x1) / 2 } else { ACROSS };
    let (class, sign) = look(edge);
    let idle = if edge.carries_traffic { "" } else { " idle" };
    let title = format!("{} → {}: {}", edge.from.name(), edge.service, edge.verdict);
    let (c1, c2) = (x1 + swing, x2.saturating_sub(swing));
    let (middle_x, middle_y) = (usize::midpoint(x1, x2), usize::midpoint(y1, y2));
    // Writing to a string does not fail.
    let _ = writeln!(
        svg,
        "<g class=\"edge {class}{idle}\" data-from=\"{from}\" data-to=\"{to}\"><title>{title}</title>\
         <path d=\"M{x1} {y1}C{c1} {y1} {c2} {y2} {x2} {y2}\" marker-end=\"url(#arrow)\"/>\
         <text x=\"{middle_x}\" y=\"{middle_y}\" dy=\"-5\">{sign}</text></g>",
        from = escape(&edge.from.to_string()),
        to = escape(&edge.to.to_string()),
        title = escape(&title),
    );
}

fn draw_workload(svg: &mut String, path: &ResourcePath, place: (usize, usize), report: &MeshReport<'_>) {
    let (x, y) = corner(place);
    let kind = match path {
        ResourcePath::VirtualGateway(..) => "gateway",
        ResourcePath::VirtualNode(_, node) if report.mesh.nodes.contains_key(node) => "node",
        _ => "missing",
    };
    let findings = report.evaluation.findings.iter().filter(|finding| finding.resource == *path);
    let worst = findings.clone().map(|finding| finding.severity).max();
    let count = findings.count();
    let name = path.name();
    let shown: String =
        if name.chars().count() > 22 { name.chars().take(21).chain(['…']).collect() } else { name.to_owned() };
    let _ = write!(
        svg,
        "<g class=\"workload {kind}\" tabindex=\"0\" data-resource=\"{path}\" transform=\"translate({x} {y})\">\
         <title>{path}</title><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"8\"/>\
         <text x=\"12\" y=\"20\">{shown}</text><text class=\"kind\" x=\"12\" y=\"36\">{kind}</text>",
        path = escape(&path.to_string()),
        shown = escape(&shown),
    );
    if let Some(severity) = worst {
        let _ = write!(
            svg,
            "<circle class=\"{severity}\" cx=\"{cx}\" cy=\"14\" r=\"11\"/><text class=\"count\" x=\"{cx}\" y=\"18\">{count}</text>",
            cx = WIDTH - 16,
        );
    }
    svg.push_str("</g>\n");
}
