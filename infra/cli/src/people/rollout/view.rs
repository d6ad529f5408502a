//! The texts about rollouts.

use std::fmt::Write as _;

use decisions::failover::Memory;
use decisions::weights::rollout_split;
use jiff::Timestamp;
use mesh::name::{ResourcePath, RouteId};
use mesh::resource::Resource;
use ports::StateKey;
use records::route_memory;
use rollouts::{GateResult, RolloutRecord, RolloutState};

use crate::columns::columns;

use super::super::desk::Desk;
use super::super::error::Trouble;
use super::super::requests;
use super::super::sentences;
use super::find::Found;

/// The journal entries that are shown.
const ENTRIES: u32 = 10;

/// One line about a rollout.
pub(crate) fn line(found: &Found, now: Timestamp) -> String {
    let record = &found.record;
    let rollout = &record.rollout;
    let percent = rollout.percent_of_step(record.step);
    let step = format!("{percent} % step {}/{}", record.step + 1, rollout.steps.len());
    let mut text = format!("{}/{} {}", found.mesh, found.id, record.state.name());
    if record.state.has_weight() {
        let _ = write!(text, " {step}");
    }
    if let Some(why) = reason(record, now) {
        let _ = write!(text, ": {why}");
    }
    text
}

/// One line about a rollout with its gates and its requests by version.
pub(super) async fn progress(desk: &Desk<'_>, found: &Found) -> String {
    let record = &found.record;
    let mut text = line(found, desk.now());
    if !record.state.is_final() && !record.gates.is_empty() {
        let passing = record.gates.values().filter(|gate| gate.result == GateResult::Pass).count();
        let _ = write!(text, "; {passing} of {} gates pass", record.gates.len());
    }
    if let Some(requests) = requests_of(desk, found).await {
        let _ = write!(text, "; {requests}");
    }
    text
}

/// The requests by version since the step began; `None` if the rollout has no weight, or has none yet.
async fn requests_of(desk: &Desk<'_>, found: &Found) -> Option<String> {
    let record = &found.record;
    let since = record.started.or(record.written).filter(|_| record.state.has_weight())?;
    let versions = record.rollout.moves.iter().flat_map(|pair| [&pair.from, &pair.to]);
    Some(requests::by_node(desk, &found.mesh, versions, since).await)
}

/// The part of the line that differs from change to change; the time that is left is not part of it.
pub(super) fn key(found: &Found) -> String {
    let record = &found.record;
    let code = record.reported.as_ref().map(|reported| reported.code.clone()).unwrap_or_default();
    let mut text = format!("{} {} {} {code}", found.id, record.state.name(), record.step);
    for (name, gate) in &record.gates {
        let _ = write!(text, " {name} {}", name_of(gate.result));
    }
    text.push('\n');
    text
}

fn reason(record: &RolloutRecord, now: Timestamp) -> Option<String> {
    if let Some(failure) = &record.failure {
        return Some(format!("{}: {}", failure.code, failure.text));
    }
    if let Some(pause) = &record.pause {
        return Some(format!("{}: {}", pause.code, pause.text));
    }
    let unknown: Vec<String> = record
        .gates
        .iter()
        .filter(|(_, gate)| gate.result != GateResult::Pass)
        .map(|(name, gate)| format!("{name} {}: {}", name_of(gate.result), gate.text))
        .collect();
    if !unknown.is_empty() {
        return Some(unknown.join("; "));
    }
    match record.state {
        RolloutState::Watching | RolloutState::Bake => {
            let rollout = &record.rollout;
            let interval = if record.state == RolloutState::Bake {
                rollout.bake
            } else {
                rollout.steps.get(record.step).map_or(rollout.bake, |step| step.interval)
            };
            let left = (interval - record.passed).as_secs().max(0);
            Some(format!("{left} s of {} s left", interval.as_secs()))
        }
        RolloutState::Waiting | RolloutState::Before => {
            record.reported.as_ref().map(|reported| reported.code.rsplit(' ').next().unwrap_or_default().to_owned())
        }
        RolloutState::Shifting
        | RolloutState::Confirming
        | RolloutState::After
        | RolloutState::Promoting
        | RolloutState::Paused
        | RolloutState::RollingBack => Some(format!("for {} s", now.duration_since(record.since).as_secs())),
        RolloutState::Promoted | RolloutState::RolledBack | RolloutState::Refused | RolloutState::Interrupted => None,
    }
}

const fn name_of(result: GateResult) -> &'static str {
    match result {
        GateResult::Pass => "PASS",
        GateResult::Fail => "FAIL",
        GateResult::Unknown => "UNKNOWN",
    }
}

/// The table of a rollout: its routes, gates and hooks, and with `journal` its last decisions.
pub(super) async fn rollout(desk: &Desk<'_>, found: &Found, journal: bool) -> Result<String, Trouble> {
    let record = &found.record;
    let rollout = &record.rollout;
    let moves: Vec<String> = rollout.moves.iter().map(|pair| format!("{} to {}", pair.from, pair.to)).collect();
    let mut text = format!("rollout {}\n  {}, requested by {}\n", line(found, desk.now()), moves.join(", "), record.by);
    if let Some(command) = &record.command {
        let _ = writeln!(text, "  {} by {} is executed by the next run", command.kind, command.by);
    }
    let routes: Vec<RouteId> = rollout.routes.iter().cloned().collect();
    let keys: Vec<StateKey> = routes.iter().map(StateKey::route).collect();
    let view = desk.load(&keys).await?;
    let mut rows = vec![["ROUTE", "DECLARED", "ROLLOUT", "PRESENT"].map(str::to_owned)];
    for (route, key) in routes.iter().zip(&keys) {
        let stored = view.documents.get(key).map(|stored| route_memory(key, &stored.document));
        let (declared, base) = match stored {
            Some(Memory::Record(record)) => {
                let layers = record.all_layers();
                (layers.declared.to_string(), rollout_split(&layers).to_string())
            }
            Some(Memory::Unreadable(why)) => (format!("unreadable: {why}"), String::new()),
            Some(Memory::None) | None => ("-".to_owned(), "-".to_owned()),
        };
        let (present, is_tcp) = present(desk, route).await?;
        let name = format!("{}/{}", route.router, route.route);
        let tcp = if is_tcp { " (TCP: new connections only)" } else { "" };
        rows.push([name, declared, base, format!("{present}{tcp}")]);
    }
    text.push_str(&columns(&rows, 2));
    if let Some(requests) = requests_of(desk, found).await {
        let _ = writeln!(text, "  {requests}");
    }
    for (name, gate) in &record.gates {
        let _ = writeln!(text, "  gate {name}: {}: {}", name_of(gate.result), gate.text);
    }
    if let Some(reason) = &rollout.ungated {
        let _ = writeln!(text, "  no gates: {reason}");
    }
    for hook in record.hooks.values() {
        let reason = hook.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let status = serde_json::to_string(&hook.status).unwrap_or_default();
        let _ =
            writeln!(text, "  hook {} of {}: {}{reason}", hook.function, hook.stage.as_str(), status.trim_matches('"'));
    }
    if journal {
        let entries = desk.ports.state.journal(&StateKey::rollout(&found.mesh, &found.id), ENTRIES).await?;
        text.push_str("  Journal, newest first:\n");
        for entry in &entries {
            let _ = writeln!(text, "    {}", sentences::entry(entry));
        }
    }
    Ok(text)
}

/// The split on a route, and whether the route is for TCP.
async fn present(desk: &Desk<'_>, route: &RouteId) -> Result<(String, bool), Trouble> {
    match desk.ports.meshes.describe(&ResourcePath::Route(route.clone())).await {
        Ok(Resource::Route(data)) => {
            let is_tcp = matches!(data.spec.rule, mesh::spec::RouteRule::Tcp(_));
            Ok((data.spec.split().map_or_else(|| "-".to_owned(), |split| split.to_string()), is_tcp))
        }
        Ok(_) => Ok(("-".to_owned(), false)),
        Err(error) if error.kind == ports::PortErrorKind::NotFound => Ok(("deleted".to_owned(), false)),
        Err(error) => Err(error.into()),
    }
}
