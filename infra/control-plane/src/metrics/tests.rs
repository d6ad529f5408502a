//! The README's table of metrics names exactly the emitted ones.

use std::collections::{BTreeMap, BTreeSet};

use mesh::name::ResourcePath;

use super::*;
use crate::connections::{Closed, Service};

const README: &str = include_str!("../../README.md");

/// The type and the labels of a metric.
type Metric = (String, BTreeSet<String>);

/// The metrics of the README's table.
fn documented() -> BTreeMap<String, Metric> {
    let table = README.split_once("\n## Metrics\n").unwrap().1.split_once("\n## ").unwrap().0;
    let rows = table.lines().filter(|line| line.starts_with("| `meshwarden_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").map(|label| label.trim_matches('`').to_owned());
        (
            cells[1].trim_matches('`').to_owned(),
            (cells[2].to_owned(), labels.filter(|label| !label.is_empty()).collect()),
        )
    })
    .collect()
}

/// The metrics of a page.
fn emitted(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            name.clone_into(&mut current);
            metrics.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#')
            && let Some((_, labels)) = line.split_once('{')
        {
            let names = labels.split_once('}').unwrap().0.split("\",").map(|pair| pair.split_once('=').unwrap().0);
            let known = &mut metrics.get_mut(&current).unwrap().1;
            known.extend(names.filter(|name| *name != "le").map(str::to_owned));
        }
    }
    metrics
}

#[test]
fn readme_lists_the_emitted_metrics_with_their_types_and_labels() {
    let metrics = Metrics::new();
    metrics.completed("DescribeMesh", None, Duration::from_millis(1));
    let path = ResourcePath::parse("mesh/shop").unwrap();
    metrics.changed(&Change { path, version: 2, operation: Operation::Deleted });
    metrics.judged("warned", Severity::High);
    metrics.certificates(&CertificateCounts::default());
    metrics.events().initialize("webhook");
    metrics.events().backlog("webhook", 1);
    metrics.events().sending("webhook", true);
    metrics.rights().denied("CreateMesh", "write");
    metrics.connections().limits(&crate::connections::ConnectionLimits::default());
    metrics.connections().closed(Service::Api, Closed::NotAccepted);
    let text = metrics.text(&State::default()).unwrap();
    let (documented, emitted) = (documented(), emitted(&text));
    for (name, metric) in &emitted {
        assert_eq!(documented.get(name), Some(metric), "the README's row of {name}");
    }
    for name in documented.keys() {
        assert!(emitted.contains_key(name), "the README documents {name}, which is not emitted");
    }
}

#[test]
fn responses_are_counted_by_code() {
    let metrics = Metrics::new();
    metrics.completed("DescribeMesh", None, Duration::from_millis(1));
    metrics.completed("DescribeMesh", Some(ErrorType::NotFound), Duration::from_millis(1));
    metrics.store().conflicted();
    metrics.store().read(Duration::from_millis(2));
    metrics.store().reported(3);
    let text = metrics.text(&State::default()).unwrap();
    for line in [
        r#"meshwarden_responses_total{operation="DescribeMesh",code="200"} 1"#,
        r#"meshwarden_responses_total{operation="DescribeMesh",code="404"} 1"#,
        "meshwarden_storage_conflicts_total 1",
        "meshwarden_storage_read_duration_seconds_count 1",
        "meshwarden_replicas 3",
        "meshwarden_registry_age_seconds 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(text.contains("meshwarden_build_info{version=\""), "{text}");
}

#[test]
fn code_of_an_error_is_its_status() {
    use ErrorType::{
        BadRequest, Conflict, Forbidden, LimitExceeded, MethodNotAllowed, NotFound, ResourceInUse, ServiceUnavailable,
        TooManyRequests, TooManyTags, UnknownOperation,
    };
    for error in [
        BadRequest,
        Conflict,
        Forbidden,
        LimitExceeded,
        MethodNotAllowed,
        NotFound,
        ResourceInUse,
        ServiceUnavailable,
        TooManyRequests,
        TooManyTags,
        UnknownOperation,
    ] {
        assert_eq!(code(error), error.status().to_string(), "{error:?}");
    }
}
