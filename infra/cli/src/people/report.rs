//! `report`: judges the present state of a mesh, and writes the report files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use mesh::certificates::Readings;
use policy::edges::edges_by_policy;
use ports::{Pace, PortError, PortErrorKind, StateKey, survey};
use reports::sarif::{LocatedFinding, log};
use reports::{History, MeshReport, in_words, json, page};
use rules::pack::judge;
use serde_json::Value;

use super::args::ReportArgs;
use super::desk::Desk;
use super::error::Trouble;
use super::status::AT_A_TIME;
use super::sweeps::{self, SWEEP, Sweep};

pub(super) async fn report(desk: &Desk<'_>, args: &ReportArgs) -> Result<String, Trouble> {
    let (name, now) = (&args.mesh, desk.now());
    let read = survey(desk.ports.meshes.as_ref(), name, &mut Pace::new(AT_A_TIME, AT_A_TIME)).await?;
    let model = read.model(name).map_err(|error| {
        PortError::new(
            format!("read mesh {name}"),
            PortErrorKind::Other,
            format!("its resources are inconsistent: {error}"),
        )
    })?;
    let unread: Vec<String> = read.unread_tags.iter().map(|(path, error)| format!("tags of {path}: {error}")).collect();
    // An unread resource would look deleted.
    if let Some((_, error)) = read.unread.into_iter().next() {
        return Err(error.into());
    }
    let readings = Readings::default();
    let evaluation = judge(&model, &readings, &desk.policy, now);
    let edges = edges_by_policy(&model, &readings, &desk.policy.egress, now);
    let mut history = history(desk, args).await?;
    // A finding that the last sweep did not contain counts as new at this time. The update is not stored.
    drop(history.update(&evaluation.findings, now));
    let report = MeshReport {
        mesh: &model,
        edges: &edges,
        evaluation: &evaluation,
        history: &history,
        at: now,
        unread: &unread,
    };
    let placed = |waived| move |finding| LocatedFinding { finding, place: None, waived };
    let results: Vec<LocatedFinding<'_>> =
        (evaluation.findings.iter().map(placed(false))).chain(evaluation.waived.iter().map(placed(true))).collect();
    let mut summary = format!("mesh {name}: {}\n", in_words(&evaluation.findings));
    for (file, content) in [
        ("index.html", page(&report)),
        ("findings.json", text(&json(&report))),
        ("findings.sarif", text(&log(env!("CARGO_PKG_VERSION"), &results, &[]))),
    ] {
        let path = args.output.join(file);
        write(&path, &content)?;
        let _ = writeln!(summary, "{}", path.display());
    }
    Ok(summary)
}

/// The first occurrence of each finding, from the last sweep.
async fn history(desk: &Desk<'_>, args: &ReportArgs) -> Result<History, Trouble> {
    let key = StateKey::mesh(SWEEP, &args.mesh);
    let view = desk.load(std::slice::from_ref(&key)).await?;
    let Some(stored) = view.documents.get(&key) else { return Ok(History::default()) };
    match sweeps::sweep(desk, &args.mesh, stored).await? {
        // Without the history every finding would look new.
        Some(Sweep { unreadable: Some(why), .. }) => Err(Trouble::NoRecord { what: key.as_str().to_owned(), why }),
        Some(sweep) => Ok(sweep.history),
        None => Ok(History::default()),
    }
}

fn write(path: &Path, content: &str) -> Result<(), Trouble> {
    let failed = |call| move |source| Trouble::File { call, path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed("create the folder of"))?;
    }
    fs::write(path, content).map_err(failed("write"))
}

fn text(value: &Value) -> String {
    let mut text = format!("{value:#}");
    text.push('\n');
    text
}
