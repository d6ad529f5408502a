//! Tests the page: its content, the escaping of all texts, its readability, and its size.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod services;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mesh::name::ResourceKind::{VirtualNode, VirtualService};
use mesh::name::ResourcePath;
use reports::sarif::FileLine;
use reports::{FilesReport, History, MeshReport, files_page, page};
use rules::pack::{Evaluation, Finding};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use services::{Services, now};

/// The text between the first occurrences of two marks.
fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    text.split(begin).nth(1).unwrap().split(end).next().unwrap()
}

#[test]
fn page_shows_every_workload_call_and_finding_once() {
    let services = Services::new(40);
    let html = services.page();
    for node in services.mesh.nodes.keys() {
        assert_eq!(
            html.matches(&format!(" data-resource=\"mesh/shop/virtualNode/{node}\" data-x=")).count(),
            1,
            "{node}"
        );
    }
    let findings = &services.evaluation.findings;
    assert_eq!(html.matches("<details class=\"finding\"").count(), findings.len());
    for finding in findings {
        let id = finding.id();
        for part in [format!("data-finding=\"{id}\""), format!("href=\"#finding-{id}\"")] {
            assert_eq!(html.matches(&part).count(), 1, "{part}: the page must contain it exactly once");
        }
    }
    assert_eq!(between(&html, "<tbody>", "</tbody>").matches("<tr ").count(), services.edges.len());
    // There are fewer entries than findings: the findings that one missing service causes have one heading.
    let dangling =
        html.split("<details class=\"rule ").find(|group| group.contains("<code>reference-dangling</code>")).unwrap();
    assert!(dangling.contains("Root cause: <b>mesh/shop/virtualService/retired.shop.local</b>"), "{dangling}");
    let rules = html.matches("<details class=\"rule ").count();
    assert!((5..40).contains(&rules), "{rules} rules");
}

/// A page that is opened from a file fetches nothing, and runs only its own style and script.
#[test]
fn content_policy_allows_only_the_style_and_script_of_the_page() {
    let html = Services::new(3).page();
    let policy = between(&html, "http-equiv=\"Content-Security-Policy\" content=\"", "\"");
    for (tag, directive) in [("style", "style-src"), ("script", "script-src")] {
        assert_eq!(html.matches(&format!("<{tag}>")).count(), 1);
        let content = between(&html, &format!("<{tag}>"), &format!("</{tag}>"));
        let hash = STANDARD.encode(Sha256::digest(content.as_bytes()));
        assert!(policy.replace("&#39;", "'").contains(&format!("{directive} 'sha256-{hash}'")), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    // The page contains nothing that the policy would block.
    for fetched in ["http://", "https://", " src=", "url(http", "@import", " style=", " onclick=", "javascript:"] {
        assert!(!html.contains(fetched), "{fetched}");
    }
    assert_eq!(html.matches("href=").count(), html.matches("href=\"#finding-").count());
}

#[test]
fn text_of_a_mesh_is_escaped_and_visible() {
    let mut services = Services::new(3);
    let hostile = "\"><img onerror=x></script></style>'\u{202e}\u{1b}[31m";
    for finding in &mut services.evaluation.findings {
        finding.message = hostile.to_owned();
        finding.part = hostile.to_owned();
        finding.facts.insert(hostile.into(), json!(hostile));
    }
    let waived = services.evaluation.findings[0].clone();
    services.evaluation.waived.push(waived);
    let (mesh, edges) = (&services.mesh, &services.edges);
    let evaluation = &services.evaluation;
    let unread = [hostile.to_owned()];
    let report = MeshReport { mesh, edges, evaluation, history: &History::default(), at: now(), unread: &unread };
    let summary = [hostile.to_owned()];
    let place = |_: &Finding| Some(FileLine { file: hostile.to_owned(), line: 1 });
    let meshes = [(mesh.clone(), edges.clone())];
    let findings = &evaluation.findings;
    let of_files = FilesReport {
        summary: &summary,
        meshes: &meshes,
        evaluation,
        undecided: findings,
        unread: &unread,
        place: &place,
    };
    for html in [page(&report), files_page(&of_files)] {
        assert!(!html.contains("<img"), "text of the mesh became markup");
        assert_eq!((html.matches("<script>").count(), html.matches("</script>").count()), (1, 1));
        let hidden: Vec<char> = html.chars().filter(|c| reports::is_hidden(*c) && *c != '\n').collect();
        assert!(hidden.is_empty(), "{hidden:?}");
    }
}

/// The names of workloads are escaped too: of a called service, and of the callee of an edge.
#[test]
fn names_in_the_drawing_are_escaped() {
    let mut mesh = mesh::graph::Mesh::new("shop".parse().unwrap());
    let put = |mesh: &mut mesh::graph::Mesh, path: &str, kind, spec| {
        mesh.insert(path.parse::<ResourcePath>().unwrap(), mesh::spec::Spec::read(kind, &spec).unwrap()).unwrap();
    };
    let spec = json!({"backends": [{"virtualService": {"virtualServiceName": "<img onerror=x>"}}]});
    put(&mut mesh, "mesh/shop/virtualNode/a", VirtualNode, spec);
    let listener = json!({"listeners": [{"portMapping": {"port": 8080, "protocol": "http"}}]});
    put(&mut mesh, "mesh/shop/virtualNode/b", VirtualNode, listener);
    let provider = json!({"provider": {"virtualNode": {"virtualNodeName": "b"}}});
    put(&mut mesh, "mesh/shop/virtualService/<img onerror=x>", VirtualService, provider);
    let edges = policy::edges::edges(&mesh, &mesh::certificates::Readings::default(), now());
    assert!(!edges.is_empty());
    let evaluation = Evaluation { findings: Vec::new(), waived: Vec::new() };
    let report = MeshReport {
        mesh: &mesh,
        edges: &edges,
        evaluation: &evaluation,
        history: &History::default(),
        at: now(),
        unread: &[],
    };
    let html = page(&report);
    assert!(!html.contains("<img") && html.contains("&#60;img onerror=x&#62;"), "{html}");
}

/// The text on a page without findings depends on whether everything was read.
#[test]
fn unreadable_mesh_is_not_shown_as_without_findings() {
    let services = Services::new(2);
    let evaluation = Evaluation { findings: Vec::new(), waived: Vec::new() };
    let (mesh, edges, history) = (&services.mesh, &services.edges, &History::default());
    let unread = ["tags of mesh/shop: denied".to_owned()];
    let at = now();
    let known = page(&MeshReport { mesh, edges, evaluation: &evaluation, history, at, unread: &[] });
    assert!(known.contains(">no findings</span>") && !known.contains("Not known</h2>"));
    let partly = page(&MeshReport { mesh, edges, evaluation: &evaluation, history, at, unread: &unread });
    assert!(partly.contains(">no findings in the readable part</span>") && partly.contains("Not known</h2>"));
    assert!(!partly.contains(">no findings</span>"));
}

/// The sizes are small enough for a browser to open at once, and for a mail gateway to accept.
#[test]
fn page_of_many_services_is_small() {
    for (count, budget) in [(10, 150_000), (120, 900_000), (500, 4_000_000)] {
        let services = Services::new(count);
        let html = services.page();
        let findings = services.evaluation.findings.len();
        assert!(html.len() < budget, "{count} services, {findings} findings: {} bytes", html.len());
    }
}

/// The drawing has about the shape of a screen, so that its boxes are as large as possible in a window. The test uses a
/// mesh in which all services call the same few, and one long chain of calls.
#[test]
fn drawing_of_many_services_has_the_shape_of_a_screen() {
    for (what, services) in
        [("120", Services::new(120)), ("500", Services::new(500)), ("a chain of 200", Services::chain(200))]
    {
        let html = services.page();
        let view: Vec<f64> =
            between(&html, "<svg viewBox=\"", "\"").split(' ').map(|number| number.parse().unwrap()).collect();
        let shape = view[2] / view[3];
        assert!((0.8..3.2).contains(&shape), "{what}: {view:?}");
        // No two boxes overlap, and no box is outside the drawing.
        let corners: Vec<(usize, usize)> = html
            .split(" data-x=\"")
            .skip(1)
            .map(|rest| {
                (rest.split('"').next().unwrap().parse().unwrap(), between(rest, "data-y=\"", "\"").parse().unwrap())
            })
            .collect();
        assert_eq!(corners.len(), services.mesh.nodes.len() + services.mesh.gateways.len());
        let distinct: std::collections::BTreeSet<_> = corners.iter().collect();
        assert_eq!(distinct.len(), corners.len(), "{what}");
        for (x, y) in corners {
            let (right, bottom) = (u32::try_from(x + 190).unwrap(), u32::try_from(y + 46).unwrap());
            assert!(f64::from(right) <= view[2] && f64::from(bottom) <= view[3], "{what}: {x} {y} in {view:?}");
        }
    }
}

/// Text is readable in both themes: WCAG requires a contrast of 4.5 to 1.
#[test]
fn colours_of_text_have_contrast_in_both_themes() {
    let style = include_str!("../templates/page/page.css");
    let themes: Vec<BTreeMap<&str, &str>> = style
        .split(":root {")
        .skip(1)
        .map(|theme| {
            let theme = theme.split('}').next().unwrap();
            theme.split(';').filter_map(|pair| pair.trim().split_once(": ")).collect()
        })
        .collect();
    assert_eq!(themes.len(), 2);
    for theme in &themes {
        for text in ["ink", "soft", "mtls", "tls", "plaintext", "broken", "critical", "high", "medium", "low", "info"] {
            for paper in ["paper", "card"] {
                let [text_colour, paper_colour] = [text, paper].map(|name| theme[format!("--{name}").as_str()]);
                let contrast = contrast(text_colour, paper_colour);
                assert!(contrast >= 4.5, "{text} on {paper}: {contrast:.2} ({text_colour} on {paper_colour})");
            }
        }
    }
}

/// The contrast of two colours as WCAG defines it.
fn contrast(one: &str, other: &str) -> f64 {
    let [one, other] = [one, other].map(luminance);
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

fn luminance(colour: &str) -> f64 {
    let digits = colour.trim_start_matches('#');
    let digits =
        if digits.len() == 3 { digits.chars().flat_map(|digit| [digit, digit]).collect() } else { digits.to_owned() };
    let channel = |at: usize| {
        let value = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.039_28 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}
