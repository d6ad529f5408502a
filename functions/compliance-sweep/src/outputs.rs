//! Stores the reports of a mesh, and imports its findings into Security Hub.

use ports::{PortError, RefusedFinding};
use reports::sarif::{LocatedFinding as Placed, log};
use reports::{Asff, Changes, MeshReport, SecurityHubAccount as Place, asff, json, page};
use serde::Serialize;
use serde_json::Value;

use crate::Ports;
use crate::handler::{folder, named};

/// The locations of the stored reports, the result of the import, and the errors of both.
#[derive(Debug, Default)]
pub(crate) struct StoredOutputs {
    pub(crate) places: Vec<String>,
    pub(crate) failed: Option<PortError>,
    pub(crate) imported: Option<Imported>,
    pub(crate) not_imported: Option<PortError>,
}

/// The result of an import.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Imported {
    taken: usize,
    refused_count: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<String>,
}

/// Writes every report, and imports the findings. Every sweep writes all of them again, so the next sweep repairs a
/// failed write or import.
pub(crate) async fn store(ports: &Ports, report: &MeshReport<'_>, changes: &Changes, arn: &str) -> StoredOutputs {
    let placed = |waived| move |finding| Placed { finding, place: None, waived };
    let evaluation = report.evaluation;
    let results: Vec<Placed<'_>> =
        (evaluation.findings.iter().map(placed(false))).chain(evaluation.waived.iter().map(placed(true))).collect();
    let mut files = vec![
        ("findings.json", text(&json(report))),
        ("findings.sarif", text(&log(env!("CARGO_PKG_VERSION"), &results, &[]))),
        ("index.html", page(report)),
    ];
    let asff = place(arn).map(|place| asff(report, changes, &place)).unwrap_or_default();
    files.push(("findings.asff.json", text(&Value::Array(asff.clone()))));
    let mut stored = StoredOutputs::default();
    for (name, content) in files {
        match ports.reports.put(&format!("{}/{name}", folder(&report.mesh.name)), content.as_bytes()).await {
            Ok(place) => stored.places.push(place),
            Err(error) => {
                stored.failed.get_or_insert(error);
            }
        }
    }
    import(ports, &asff, &mut stored).await;
    stored
}

async fn import(ports: &Ports, findings: &Asff, stored: &mut StoredOutputs) {
    let Some(hub) = ports.security_hub.as_ref().filter(|_| !findings.is_empty()) else { return };
    match hub.import(findings).await {
        Ok(refused) => {
            let described = |one: &RefusedFinding| format!("{}: {} {}", one.id, one.code, one.message);
            stored.imported = Some(Imported {
                taken: findings.len().saturating_sub(refused.len()),
                refused_count: refused.len(),
                refused: named(&refused, described),
            });
        }
        Err(error) => stored.not_imported = Some(error),
    }
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
