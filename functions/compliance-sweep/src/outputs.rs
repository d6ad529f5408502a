//! Keeps the reports of a mesh.

use ports::{PortError, ResourceRef};
use reports::sarif::{Placed, log};
use reports::{Changes, MeshReport, Place, asff, json, page};
use serde_json::Value;

use crate::Ports;
use crate::handler::folder;

/// Where the reports now lie, and what could not be kept.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) places: Vec<String>,
    pub(crate) failed: Option<PortError>,
}

/// Writes every report. They are written anew each time, so one that fails is mended by the next sweep.
pub(crate) async fn keep(ports: &Ports, report: &MeshReport<'_>, changes: &Changes, mesh: &ResourceRef) -> Kept {
    let placed = |waived| move |finding| Placed { finding, place: None, waived };
    let evaluation = report.evaluation;
    let results: Vec<Placed<'_>> =
        (evaluation.findings.iter().map(placed(false))).chain(evaluation.waived.iter().map(placed(true))).collect();
    let mut files = vec![
        ("findings.json", text(&json(report))),
        ("findings.sarif", text(&log(env!("CARGO_PKG_VERSION"), &results, &[]))),
        ("index.html", page(report)),
    ];
    if let Some(place) = place(&mesh.arn) {
        files.push(("findings.asff.json", text(&Value::Array(asff(report, changes, &place)))));
    }
    let mut kept = Kept::default();
    for (name, content) in files {
        match ports.reports.put(&format!("{}/{name}", folder(&report.mesh.name)), content.as_bytes()).await {
            Ok(place) => kept.places.push(place),
            Err(error) => {
                kept.failed.get_or_insert(error);
            }
        }
    }
    kept
}

/// The partition, region and account of a mesh's ARN: `arn:aws:appmesh:REGION:ACCOUNT:mesh/NAME`.
fn place(arn: &str) -> Option<Place> {
    let mut parts = arn.split(':').skip(1);
    let partition = parts.next()?.to_owned();
    let region = parts.nth(1)?.to_owned();
    let account = parts.next()?.to_owned();
    Some(Place { partition, region, account })
}

fn text(value: &Value) -> String {
    let mut text = format!("{value:#}");
    text.push('\n');
    text
}
