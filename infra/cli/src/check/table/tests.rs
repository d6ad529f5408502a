//! Tests of the table at several widths.

use mesh::certificates::Readings;
use policy::Policy;
use readers::{File, Surroundings, read_all};
use rules::pack::judge;

use super::super::files::Text;
use super::super::judged::Judged;
use super::*;

const PLAIN: Layout = Layout { width: None, color: false, all: false, remarks: false };

/// The table for files, each with a name and a text.
fn table(files: &[(&str, &str)], layout: Layout) -> String {
    let around = Surroundings::default();
    let given: Vec<File<'_>> = files.iter().map(|(name, text)| File { name, text }).collect();
    let (reading, errors) = read_all(&given, &around);
    assert!(errors.is_empty(), "{errors:?}");
    let texts: Vec<Text> = files
        .iter()
        .map(|(name, text)| Text { name: (*name).to_owned(), content: (*text).to_owned(), named: true })
        .collect();
    let policy = Policy::built_in().unwrap();
    let mut evaluation = rules::pack::Evaluation { findings: Vec::new(), waived: Vec::new() };
    for of_mesh in reading.meshes().values() {
        let judged = judge(of_mesh, &Readings::default(), &policy, jiff::Timestamp::UNIX_EPOCH);
        evaluation.findings.extend(judged.findings);
    }
    let judged =
        Judged { evaluation, undecided: Vec::new(), places: std::collections::HashMap::new(), notices: Vec::new() };
    let report = Report::new(&texts, &reading, &judged, &[]);
    write(&report, layout)
}

/// A mesh with several routes to a virtual node that does not exist.
fn dangling(routes: usize) -> String {
    let listener = r#"{"portMapping": {"port": 8080, "protocol": "http"}}"#;
    let mut documents = vec![
        r#"{"meshName": "shop", "spec": {}}"#.to_owned(),
        format!(r#"{{"meshName": "shop", "virtualRouterName": "r", "spec": {{"listeners": [{listener}]}}}}"#),
    ];
    for route in 0..routes {
        documents.push(format!(
            r#"{{"meshName": "shop", "virtualRouterName": "r", "routeName": "route-{route}", "spec": {{"httpRoute": {{
                "match": {{"prefix": "/{route}/"}}, "action": {{"weightedTargets": [{{"virtualNode": "gone", "weight": 1}}]}}}}}}}}"#
        ));
    }
    format!("[{}]", documents.join(",\n"))
}

#[test]
fn findings_stand_under_their_rule_with_file_line_and_root_cause() {
    let text = table(&[("mesh.json", &dangling(3))], PLAIN);
    let group = text.split("\n\n").find(|group| group.contains("reference-dangling")).unwrap();
    let lines: Vec<&str> = group.lines().collect();
    assert!(lines[0].starts_with("HIGH  reference-dangling  A resource refers to one that does not exist"), "{group}");
    assert!(
        lines[1].starts_with("  mesh.json:4  mesh/shop/virtualRouter/r/route/route-0 virtualNode gone  it refers"),
        "{group}"
    );
    assert!(
        lines[4].contains("└ mesh/shop/virtualNode/gone") && lines[4].contains("root cause of 3 findings"),
        "{group}"
    );
    assert!(lines[5].starts_with("  Fix: "), "{group}");
}

#[test]
fn many_findings_of_one_cause_are_folded_unless_all_are_wanted() {
    let mesh = dangling(40);
    let shown = |text: &str| text.matches("it refers to virtual node gone").count();
    let text = table(&[("mesh.json", &mesh)], PLAIN);
    assert_eq!(shown(&text), SHOWN_OF_CAUSE, "{text}");
    assert!(text.contains("root cause of 40 findings; 37 not shown, --all shows each"), "{text}");
    let text = table(&[("mesh.json", &mesh)], Layout { all: true, ..PLAIN });
    assert_eq!(shown(&text), 40);
    assert!(!text.contains("--all"), "{text}");
}

/// Many findings of one rule with separate causes are folded too.
#[test]
fn many_findings_of_one_rule_are_folded() {
    let nodes: Vec<String> = (0..30)
        .map(|node| {
            format!(
                r#"{{"meshName": "shop", "virtualNodeName": "n{node}", "spec": {{"serviceDiscovery": {{"dns": {{"hostname": "localhost"}}}},
                "listeners": [{{"portMapping": {{"port": 8080, "protocol": "http"}}}}]}}}}"#
            )
        })
        .collect();
    let mesh = format!("[{}]", nodes.join(","));
    let text = table(&[("mesh.json", &mesh)], PLAIN);
    let group = text.split("\n\n").find(|group| group.contains("  discovery-on-loopback  ")).unwrap();
    assert_eq!(group.lines().filter(|line| line.contains("its host name is localhost")).count(), SHOWN, "{group}");
    assert!(group.contains("and 22 more; --all shows each"), "{group}");
}

#[test]
fn no_line_is_wider_than_the_terminal_and_no_word_is_lost() {
    let mesh = dangling(3);
    let words = |text: &str| text.chars().filter(|character| !character.is_whitespace()).collect::<String>();
    let whole = words(&table(&[("mesh.json", &mesh)], PLAIN));
    for width in [40_u16, 60, 80, 120, 200] {
        let text = table(&[("mesh.json", &mesh)], Layout { width: Some(width), ..PLAIN });
        let widest = text.lines().map(console::measure_text_width).max().unwrap();
        assert!(widest <= usize::from(width), "{widest} > {width}:\n{text}");
        assert_eq!(words(&text).len(), whole.len(), "at {width}:\n{text}");
    }
}

#[test]
fn colours_change_nothing_but_the_colours() {
    let mesh = dangling(2);
    let plain = table(&[("mesh.json", &mesh)], PLAIN);
    let colored = table(&[("mesh.json", &mesh)], Layout { color: true, ..PLAIN });
    assert!(!plain.contains('\x1b') && colored.contains("\x1b[31mHIGH\x1b[0m"), "{colored}");
    assert_eq!(console::strip_ansi_codes(&colored), plain);
}

#[test]
fn summary_counts_read_and_unread_input() {
    let refused = r#"{"meshName": "shop", "virtualNodeName": "a", "spec": {"listeners": [{}]}}"#;
    let text = table(&[("mesh.json", &dangling(1)), ("bad.json", refused)], PLAIN);
    let last: Vec<&str> = text.lines().rev().take(2).collect();
    assert_eq!(last[0], "Read: 2 files, 3 resources, 1 mesh. Not read: 1 refused resource.");
    assert!(last[1].starts_with("Findings: ") && last[1].contains("root cause"), "{}", last[1]);
    let text = table(&[("bad.json", refused)], PLAIN);
    assert!(text.contains("No findings in the read files."), "unknown is not clean: {text}");
}

/// No value of a mesh moves the cursor, changes colours or reverses the reading direction.
#[test]
fn hidden_characters_of_values_are_written_out() {
    let spec = r#"{"listeners": [{"portMapping": {"port": 8080, "protocol": "\u001b]0;x\u0007\u202e\u009b31m"}}]}"#;
    let mesh = format!(r#"{{"meshName": "shop", "virtualNodeName": "a", "spec": {spec}}}"#);
    for width in [None, Some(60)] {
        let text = table(&[("a\u{1b}[31m.json", &mesh)], Layout { width, all: true, remarks: true, color: false });
        let hidden: Vec<char> = text.chars().filter(|c| reports::is_hidden(*c) && *c != '\n').collect();
        assert!(hidden.is_empty(), "{hidden:?} in {text}");
        assert!(text.contains("\\u{1b}"), "{text}");
    }
}
