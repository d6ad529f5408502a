//! `status`: the state of meshes, routes, certificates and functions.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

use decisions::failover::{LastNotification, Memory};
use jiff::Timestamp;
use mesh::name::{MeshName, ResourcePath, RouteId};
use mesh::resource::Resource;
use mesh::split::WeightSplit;
use ports::{KillSwitch, Pace, PortError, PortErrorKind, StateKey, StateView, Survey, Surveyed, survey};
use records::route_memory;
use serde::Serialize;

use crate::columns::columns;

use super::args::{Shape, StatusArgs};
use super::audits::AUDIT;
use super::certificates::Certificate;
use super::desk::Desk;
use super::drill::{DRILLS, DrillStatus};
use super::error::Trouble;
use super::route_state::{State, short};
use super::sweeps::{self, Audit, SWEEP, Sweep};

/// The functions with a document for each mesh.
pub(super) const MESH_FUNCTIONS: [&str; 4] = [SWEEP, "tag-compliance", "egress-compliance", DRILLS];

/// Concurrent calls, as many as in route-failover.
pub(super) const AT_A_TIME: usize = 8;

/// All data of `status`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    now: Timestamp,
    kill_switch: Option<KillSwitch>,
    meshes: Vec<MeshStatus>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MeshStatus {
    mesh: MeshName,
    routes: Vec<RouteStatus>,
    /// Unset if the mesh was never swept.
    sweep: Option<Sweep>,
    /// Unset if change-audit has never read the mesh.
    audit: Option<Audit>,
    /// The certificates and trusts to show: a known end, or an unfinished or failing rotation. The earliest
    /// end comes first.
    certificates: Vec<Certificate>,
    /// The drills; unset if none is planned or known.
    #[serde(skip_serializing_if = "Option::is_none")]
    drills: Option<DrillStatus>,
    /// The other functions with a document of the mesh.
    remembered_by: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RouteStatus {
    route: RouteId,
    #[serde(flatten)]
    state: State,
    /// The split before the shift; unset while no shift is active.
    original: Option<WeightSplit>,
    present: WeightSplit,
    /// The last notification to operators.
    #[serde(rename = "told")]
    last_notification: Option<LastNotification>,
    /// The current writer of the route.
    lease: Option<Holder>,
}

#[derive(Debug, Serialize)]
struct Holder {
    holder: String,
    until: Timestamp,
}

pub(super) async fn status(desk: &Desk<'_>, args: &StatusArgs) -> Result<String, Trouble> {
    // A line-based watch shows all routes, since a folded line would look removed.
    let all = args.all || (args.watch.is_some() && !io::stdout().is_terminal());
    let args = &args.show;
    let names = match &args.mesh {
        Some(mesh) => vec![mesh.clone()],
        None => desk.ports.meshes.meshes().await?.into_iter().map(|found| found.path.mesh().clone()).collect(),
    };
    let mut status = Status { now: desk.now(), kill_switch: desk.load(&[]).await?.kill_switch, meshes: Vec::new() };
    for mesh in names {
        status.meshes.push(mesh_status(desk, mesh, status.now).await?);
    }
    match args.format {
        Shape::Table => {
            let text = table(&status, Shown { all, days: desk.policy.certificates.expiry_days });
            Ok(text + &super::rollout::summary(desk).await?)
        }
        Shape::Json => {
            let mut text = serde_json::to_string_pretty(&status).map_err(Trouble::Output)?;
            text.push('\n');
            Ok(text)
        }
    }
}

async fn mesh_status(desk: &Desk<'_>, mesh: MeshName, now: Timestamp) -> Result<MeshStatus, Trouble> {
    let mut read = survey(desk.ports.meshes.as_ref(), &mesh, &mut Pace::new(AT_A_TIME, AT_A_TIME)).await?;
    if let Some((_, error)) = read.unread.pop() {
        return Err(error.into());
    }
    let splits = splits(&read);
    let model = read.model(&mesh).map_err(|error| {
        PortError::new(
            format!("read mesh {mesh}"),
            PortErrorKind::Other,
            format!("its resources are inconsistent: {error}"),
        )
    })?;
    let used = decisions::rotation::MeshCertificates::from_mesh(&model);
    let subjects: Vec<String> =
        used.leaves.keys().map(ToString::to_string).chain(used.trusts.keys().map(ToString::to_string)).collect();
    let mut keys: Vec<StateKey> = splits.iter().map(|(id, _)| StateKey::route(id)).collect();
    keys.extend(MESH_FUNCTIONS.map(|function| StateKey::mesh(function, &mesh)));
    keys.push(StateKey::mesh(AUDIT, &mesh));
    keys.extend(subjects.iter().map(|subject| StateKey::certificate(subject)));
    let view = desk.load(&keys).await?;
    let document = |function: &str| view.documents.get(&StateKey::mesh(function, &mesh));
    let sweep = match document(SWEEP) {
        Some(stored) => sweeps::sweep(desk, &mesh, stored).await?,
        None => None,
    };
    let remembered_by = MESH_FUNCTIONS
        .into_iter()
        .filter(|function| ![SWEEP, DRILLS].contains(function) && document(function).is_some());
    let remembered_by = remembered_by.collect();
    let audit = document(AUDIT).and_then(|stored| sweeps::audit(&StateKey::mesh(AUDIT, &mesh), stored));
    let certificates = subjects.into_iter().filter_map(|subject| {
        let stored = view.documents.get(&StateKey::certificate(&subject))?;
        Certificate::new(subject, &stored.document, now)
    });
    let mut certificates: Vec<Certificate> = certificates.collect();
    certificates.sort_by(|one, other| one.order().cmp(&other.order()));
    let routes = splits.into_iter().map(|(id, split)| route_status(id, split, &view, now)).collect();
    let drills = Some(DrillStatus::new(desk, &mesh, &view, now)).filter(|drills| !drills.is_empty());
    Ok(MeshStatus { mesh, routes, sweep, audit, certificates, drills, remembered_by })
}

/// The routes with weights, with their splits, in the order of their ids.
fn splits(survey: &Survey) -> Vec<(RouteId, WeightSplit)> {
    let split = |(path, found): (&ResourcePath, &Surveyed)| match (path, &found.resource) {
        (ResourcePath::Route(id), Resource::Route(data)) => Some((id.clone(), data.spec.split()?)),
        _ => None,
    };
    survey.resources.iter().filter_map(split).collect()
}

fn route_status(route: RouteId, present: WeightSplit, view: &StateView, now: Timestamp) -> RouteStatus {
    let stored = view.documents.get(&StateKey::route(&route));
    let lease = stored.and_then(|stored| stored.lease.as_ref()).filter(|lease| lease.until > now);
    let lease = lease.map(|lease| Holder { holder: lease.holder.clone(), until: lease.until });
    let key = StateKey::route(&route);
    let (state, original, last_notification) = match stored.map(|stored| route_memory(&key, &stored.document)) {
        None | Some(Memory::None) => (State::Steady, None, None),
        Some(Memory::Unreadable(why)) => (State::Unreadable { why }, None, None),
        Some(Memory::Record(record)) => {
            let original = record.shift.restore.as_ref().map(|point| point.split.clone());
            (State::from_record(&record, &present, now), original, record.last_notification)
        }
    };
    RouteStatus { route, state, original, present, last_notification, lease }
}

/// The rules for steady entries in the table.
#[derive(Debug, Clone, Copy)]
struct Shown {
    /// Whether all steady entries are shown.
    all: bool,
    /// A certificate that ends within so many days is always shown.
    days: u16,
}

impl MeshStatus {
    /// Whether the table shows nothing but counts for the mesh.
    fn is_steady(&self, shown: Shown) -> bool {
        self.routes.iter().all(RouteStatus::is_steady)
            && self.certificates.iter().all(|certificate| certificate.is_settled(shown.days))
            && self.sweep.as_ref().is_none_or(|sweep| sweep.unreadable.is_none())
            && self.drills.as_ref().is_none_or(DrillStatus::is_settled)
            && self.audit.as_ref().is_none_or(|audit| audit.unreadable.is_none())
    }
}

impl RouteStatus {
    /// Whether the route is as declared, has no active lease, and has no recorded notification.
    fn is_steady(&self) -> bool {
        self.state.rank().is_none() && self.lease.is_none() && self.last_notification.is_none()
    }
}

/// Renders meshes with open issues first, and steady entries as counts.
fn table(status: &Status, shown: Shown) -> String {
    let mut text = match &status.kill_switch {
        Some(KillSwitch { by, reason, at }) => format!("kill switch: ON since {} by {by}: {reason}\n", short(*at)),
        None => "kill switch: off\n".to_owned(),
    };
    let (steady, open): (Vec<_>, Vec<_>) = status.meshes.iter().partition(|mesh| mesh.is_steady(shown));
    for mesh in open.into_iter().chain(steady) {
        let _ = writeln!(text, "\nmesh {}", mesh.mesh);
        routes(&mut text, &mesh.routes, shown);
        let _ = writeln!(text, "  sweep: {}", sweep_in_words(mesh.sweep.as_ref()));
        audit(&mut text, mesh.audit.as_ref());
        if let Some(drills) = &mesh.drills {
            drills.lines(&mut text);
        }
        certificates(&mut text, &mesh.certificates, shown);
        if !mesh.remembered_by.is_empty() {
            let _ = writeln!(text, "  remembered by: {}", mesh.remembered_by.join(", "));
        }
    }
    text
}

fn routes(text: &mut String, routes: &[RouteStatus], shown: Shown) {
    let (steady, mut open): (Vec<_>, Vec<_>) = routes.iter().partition(|route| route.is_steady());
    open.sort_by_key(|route| route.state.rank().unwrap_or(u8::MAX));
    let folded = if shown.all { 0 } else { steady.len() };
    open.extend(steady.into_iter().filter(|_| shown.all));
    if !open.is_empty() {
        let mut rows = vec![["ROUTE", "STATE", "SINCE", "ORIGINAL", "PRESENT", "WHY"].map(str::to_owned)];
        rows.extend(open.into_iter().map(row));
        text.push_str(&columns(&rows, 2));
    }
    match (routes.len(), folded) {
        (0, _) => text.push_str("  routes: none with weights\n"),
        (_, 0) => {}
        (all, folded) if all == folded => drop(writeln!(text, "  routes: all {folded} steady (--all lists them)")),
        (_, folded) => drop(writeln!(text, "  routes: {folded} more steady (--all lists them)")),
    }
}

fn sweep_in_words(sweep: Option<&Sweep>) -> String {
    match sweep {
        None => "never".to_owned(),
        Some(Sweep { unreadable: Some(why), .. }) => format!("unknown: {why}"),
        Some(Sweep { findings: None, .. }) => "unknown".to_owned(),
        Some(Sweep { at, findings: Some(findings), .. }) => {
            let at = at.map_or_else(|| "at an unknown time".to_owned(), short);
            let counts: Vec<String> =
                findings.iter().rev().map(|(severity, count)| format!("{count} {severity}")).collect();
            let counts = if counts.is_empty() { "no findings".to_owned() } else { counts.join(", ") };
            format!("{at}: {counts}")
        }
    }
}

fn audit(text: &mut String, audit: Option<&Audit>) {
    if let Some(Audit { unreadable: Some(why), .. }) = audit {
        let _ = writeln!(text, "  changes: unknown: {why}");
    } else if let Some(Audit { at, open, owed, .. }) = audit {
        let at = at.map_or_else(|| "at an unknown time".to_owned(), short);
        let _ = write!(text, "  changes: read {at}");
        for (count, what) in [(open, "not fully reported by events"), (owed, "notices not sent yet")] {
            if *count > 0 {
                let _ = write!(text, "; {count} {what}");
            }
        }
        text.push('\n');
    }
}

fn certificates(text: &mut String, certificates: &[Certificate], shown: Shown) {
    let (settled, mut open): (Vec<_>, Vec<_>) =
        certificates.iter().partition(|certificate| certificate.is_settled(shown.days));
    let folded = if shown.all { &[][..] } else { &settled };
    if shown.all {
        open.extend(&settled);
    }
    for certificate in open {
        let _ = writeln!(text, "  certificate {}: {}", certificate.subject, certificate.words());
    }
    // The certificates are sorted by their ends.
    if let Some(first) = folded.first() {
        let number = folded.len();
        let _ = writeln!(text, "  certificates: {number} settled, the first with {} (--all lists them)", first.words());
    }
}

fn row(route: &RouteStatus) -> [String; 6] {
    let (words, since) = route.state.words();
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let mut why: Vec<String> = route.last_notification.iter().map(|last| last.code.clone()).collect();
    why.extend(route.lease.iter().map(|lease| format!("lease of {} until {}", lease.holder, short(lease.until))));
    [
        format!("{}/{}", route.route.router, route.route.route),
        words,
        or_dash(since.map(short)),
        or_dash(route.original.as_ref().map(ToString::to_string)),
        route.present.to_string(),
        if why.is_empty() { "-".to_owned() } else { why.join("; ") },
    ]
}
