//! The README of each function: its tables of triggers, permissions, alarms and reason codes are written from
//! `infra/template.yaml` and from the code. `UPDATE_GOLDENS=1` writes them again.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "the pages and the sources are files")]

mod cost;
mod links;
mod sources;
mod template;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use decisions::reason_entry::ReasonEntry;
use rules::reason_catalogue::reason_tables;

use self::template::Template;

/// Every function, by the name of its folder, which is also the name of its binary.
const FUNCTIONS: [&str; 8] = [
    "route-failover",
    "failover-drill",
    "certificate-rotation",
    "traffic-shift",
    "tag-compliance",
    "egress-compliance",
    "compliance-sweep",
    "change-audit",
];

/// A file below the root of the repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().parent().unwrap().join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("failed to read {path}: {error}"))
}

/// The text with the content of each generated section replaced.
fn with_sections(text: &str, section: impl Fn(&str) -> String) -> String {
    let mut written = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<!-- generated: ") {
        let (name, after) = after.split_once(" -->\n").unwrap_or_else(|| panic!("a section has no end of its name"));
        let (_, after) = after.split_once("<!-- end -->").unwrap_or_else(|| panic!("section `{name}` has no end"));
        write!(written, "{before}<!-- generated: {name} -->\n\n{}\n<!-- end -->", section(name)).unwrap();
        rest = after;
    }
    written + rest
}

/// Compares a page with its generated sections, or writes them.
fn check_page(path: &str, sections: &[&str], section: impl Fn(&str) -> String) {
    let present = read(path);
    for name in sections {
        assert!(present.contains(&format!("<!-- generated: {name} -->")), "{path} lacks the section `{name}`");
    }
    let wanted = with_sections(&present, section);
    if std::env::var("UPDATE_GOLDENS").as_deref() == Ok("1") {
        std::fs::write(file(path), &wanted).unwrap();
        return;
    }
    let differs = wanted.lines().zip(present.lines()).find(|(wanted, present)| wanted != present);
    assert!(wanted == present, "{path} is out of date, first at {differs:#?}; UPDATE_GOLDENS=1 writes it again");
}

fn reasons(function: &str) -> String {
    let mut text = String::new();
    for table in reason_tables(function) {
        writeln!(text, "#### {}\n\n| code | meaning | pages | what to do |\n|---|---|---|---|", table.title).unwrap();
        for ReasonEntry { code, paging, meaning, action } in table.entries {
            writeln!(text, "| `{code}` | {meaning} | {} | {action} |", paging.text()).unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn function_pages_are_current() {
    let template = Template::parse(&read("infra/template.yaml"));
    for function in FUNCTIONS {
        let path = format!("functions/{function}/README.md");
        check_page(&path, &["triggers", "settings", "permissions", "alarms", "reasons"], |name| match name {
            "triggers" => template.triggers(function),
            "settings" => template.settings(function),
            "permissions" => template.permissions(function),
            "alarms" => template.alarms(function),
            "reasons" => reasons(function),
            other => panic!("{path} has an unknown section `{other}`"),
        });
    }
}

#[test]
fn tables_of_the_arbiter_are_current() {
    check_page("shared/README.md", &["writers", "deadlines"], |name| match name {
        "writers" => decisions::weights::writers_table(),
        "deadlines" => decisions::weights::deadlines_table(),
        other => panic!("shared/README.md has an unknown section `{other}`"),
    });
}

#[test]
fn cost_in_the_operator_guide_is_current() {
    let template = Template::parse(&read("infra/template.yaml"));
    check_page("infra/README.md", &["cost"], |_| cost::table(&template));
}

#[test]
fn operator_guide_has_every_alarm_setting_and_parameter() {
    let template = Template::parse(&read("infra/template.yaml"));
    let guide = read("infra/README.md");
    for suffix in template.alarm_kinds(&FUNCTIONS) {
        assert!(
            guide.contains(&format!("`{suffix}`")),
            "infra/README.md does not say what to do for the alarm `{suffix}`"
        );
    }
    for name in template.variables().iter().chain(&template.parameters()) {
        assert!(guide.contains(&format!("`{name}`")), "infra/README.md lacks `{name}`");
    }
}

#[test]
fn each_code_has_one_entry_in_a_table() {
    for function in FUNCTIONS {
        for table in reason_tables(function) {
            let mut codes = BTreeSet::new();
            for entry in table.entries {
                assert!(codes.insert(entry.code), "{function}, {}: {} is listed twice", table.title, entry.code);
                assert!(entry.meaning.ends_with('.'), "{function}: {}", entry.meaning);
                assert!(entry.action.is_empty() || entry.action.ends_with('.'), "{function}: {}", entry.action);
                assert!(!entry.meaning.contains('|') && !entry.action.contains('|'), "{function}: {}", entry.code);
            }
        }
    }
}

#[test]
fn codes_in_the_sources_of_functions_are_documented() {
    for function in FUNCTIONS {
        let documented: BTreeSet<&str> =
            reason_tables(function).iter().flat_map(|table| table.entries).map(|entry| entry.code).collect();
        let page = read(&format!("functions/{function}/README.md"));
        for (code, place) in sources::codes(function) {
            let is_metric = page.contains(&format!("`{code}`"));
            assert!(
                documented.contains(code.as_str()) || is_metric,
                "{place}: `{code}` is neither a documented reason of {function} nor in its README"
            );
        }
    }
}
