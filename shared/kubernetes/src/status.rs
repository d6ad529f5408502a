//! The status of objects: a condition with its reason, the observed generation, and ARNs.

use std::collections::BTreeMap;

use imports::{Held, comparable};
use jiff::Timestamp;
use mesh::name::ResourcePath;
use serde_json::{Map, Value, json};

use crate::cluster::ClusterObjects;
use crate::object::{Object, ObjectKey, ObjectKind};
use crate::problem::{Problem, ProblemCode};
use crate::reconciliation::Reconciliation;

/// The reason of a condition that is true.
pub const ACTIVE_REASON: &str = "Active";

/// The longest message of a condition, in bytes.
const LONGEST_MESSAGE: usize = 4096;

/// The changed status of each object, by what App Mesh has after the writes. `failures` are the problems of writes that failed.
#[must_use]
pub fn statuses(
    cluster: &ClusterObjects,
    reconciliation: &Reconciliation,
    held: &Held,
    failures: &BTreeMap<ObjectKey, Problem>,
    now: Timestamp,
) -> BTreeMap<ObjectKey, Value> {
    let mut paths: BTreeMap<&ObjectKey, Vec<&ResourcePath>> = BTreeMap::new();
    for (path, key) in &reconciliation.owners {
        paths.entry(key).or_default().push(path);
    }
    let mut changed = BTreeMap::new();
    for object in cluster.objects.values() {
        let (Some(condition), Some(arn_member)) = (object.key.kind.condition(), object.key.kind.arn_member()) else {
            continue;
        };
        let paths = paths.get(&object.key).map(Vec::as_slice).unwrap_or_default();
        let problem = problem(object, paths, reconciliation, held, failures);
        let arns = Arns::new(object.key.kind, paths, held);
        let mut status = object.status.as_object().cloned().unwrap_or_default();
        status.insert("conditions".to_owned(), conditions(object, condition, problem.as_ref(), now));
        status.insert("observedGeneration".to_owned(), json!(object.generation));
        // An object with a problem has no paths, and keeps the ARN that it had.
        if problem.is_none() || !paths.is_empty() {
            set(&mut status, arn_member, arns.own);
            if object.key.kind == ObjectKind::VirtualRouter {
                set(&mut status, "routeARNs", (!arns.routes.is_empty()).then_some(Value::Object(arns.routes)));
            }
        }
        let status = Value::Object(status);
        if status != object.status {
            changed.insert(object.key.clone(), status);
        }
    }
    changed
}

fn set(status: &mut Map<String, Value>, member: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(status.insert(member.to_owned(), value)),
        None => drop(status.shift_remove(member)),
    }
}

/// The most important problem of an object; `None` if App Mesh has its resources as it declares them.
fn problem(
    object: &Object,
    paths: &[&ResourcePath],
    reconciliation: &Reconciliation,
    held: &Held,
    failures: &BTreeMap<ObjectKey, Problem>,
) -> Option<Problem> {
    if let Some(problems) = reconciliation.problems.get(&object.key).filter(|problems| !problems.is_empty()) {
        let code = problems.iter().map(|problem| problem.code).min()?;
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Some(Problem::new(code, "", texts.join("\n")));
    }
    if let Some(problem) = failures.get(&object.key) {
        return Some(problem.clone());
    }
    if object.is_deleted {
        return Some(Problem::new(ProblemCode::Pending, "", "the object is being deleted"));
    }
    let is_in_place = |path: &&&ResourcePath| {
        let (Some(held), Some(desired)) = (held.get(**path), reconciliation.desired.get(**path)) else { return false };
        comparable(&held.spec) == comparable(&desired.spec)
    };
    let missing: Vec<String> = paths.iter().filter(|path| !is_in_place(path)).map(ToString::to_string).collect();
    if missing.is_empty() && !paths.is_empty() {
        return None;
    }
    let message = format!("App Mesh does not have the declared state yet: {}", missing.join(", "));
    Some(Problem::new(ProblemCode::Pending, "", message))
}

/// The conditions of an object. Those of other types stay.
fn conditions(object: &Object, kind: &str, problem: Option<&Problem>, now: Timestamp) -> Value {
    let mut conditions: Vec<Value> =
        object.status.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let place = conditions.iter().position(|condition| condition.get("type").and_then(Value::as_str) == Some(kind));
    let before = place.and_then(|place| conditions.get(place));
    let (status, reason, message) = match problem {
        None => ("True", ACTIVE_REASON, String::new()),
        Some(problem) if problem.code.is_unknown() => ("Unknown", problem.code.as_str(), problem.to_string()),
        Some(problem) => ("False", problem.code.as_str(), problem.to_string()),
    };
    let is_same = before.and_then(|before| before.get("status")).and_then(Value::as_str) == Some(status);
    let since = before.filter(|_| is_same).and_then(|before| before.get("lastTransitionTime")).cloned();
    let condition = json!({
        "type": kind,
        "status": status,
        "lastTransitionTime": since.unwrap_or_else(|| json!(seconds(now))),
        "reason": reason,
        "message": shortened(message),
    });
    match place.and_then(|place| conditions.get_mut(place)) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
    Value::Array(conditions)
}

/// A time in RFC 3339 without fractions, as Kubernetes writes it.
fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

fn shortened(mut message: String) -> String {
    if message.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or_default();
        message.truncate(end);
    }
    message
}

/// The ARNs of an object.
struct Arns {
    own: Option<Value>,
    routes: Map<String, Value>,
}

impl Arns {
    fn new(kind: ObjectKind, paths: &[&ResourcePath], held: &Held) -> Self {
        let mut arns = Self { own: None, routes: Map::new() };
        for path in paths {
            let Some(resource) = held.get(*path) else { continue };
            match path {
                ResourcePath::Route(id) if kind == ObjectKind::VirtualRouter => {
                    arns.routes.insert(id.route.to_string(), json!(resource.arn));
                }
                ResourcePath::Mesh(_)
                | ResourcePath::VirtualNode(..)
                | ResourcePath::VirtualGateway(..)
                | ResourcePath::VirtualRouter(..)
                | ResourcePath::Route(_)
                | ResourcePath::VirtualService(..)
                | ResourcePath::GatewayRoute(..) => arns.own = Some(json!(resource.arn)),
            }
        }
        arns
    }
}
