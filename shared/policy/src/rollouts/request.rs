//! The request of a rollout: one form for events, files and the policy.

use std::collections::BTreeSet;
use std::fmt;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use strum::IntoStaticStr;

use super::{
    BakeTime, Contradiction, RolloutGates, RolloutStep, RouteSelection, RouterRoute, number_error, period_error,
};
use crate::read::{PolicyError, parse};
use crate::{Period, place};
use mesh::name::{MeshName, VirtualNodeName};

/// The maximum number of routes, moves and hooks of a rollout.
const MOST_ROUTES: usize = 10;
const MOST_MOVES: usize = 5;
const MOST_HOOKS: usize = 10;

/// The request of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutRequest {
    /// The id of the rollout. The same id in the same mesh is the same rollout. Absent: a digest of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RolloutId>,
    /// The mesh.
    pub mesh: MeshName,
    /// The routes, at most 10.
    pub routes: RouteSelection,
    /// The old and the new version: all pairs move at the same percent.
    pub moves: Vec<Move>,
    /// Routes that go to 100 % before the steps of the others, for an A/B test by request header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<FirstRoutes>,
    /// How the percent increases.
    pub strategy: Strategy,
    /// The steps of a canary, increasing. 100 % follows after the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<RolloutStep>,
    /// How long each step is watched: 1m to 24h. Absent: `rollouts.interval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Period>,
    /// How long 100 % is watched before the promotion. Absent: `rollouts.bake`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bake: Option<BakeTime>,
    /// The gates.
    #[serde(default, skip_serializing_if = "RolloutGates::is_empty")]
    pub gates: RolloutGates,
    /// The reason for a rollout without gates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ungated: Option<String>,
    /// The Lambda functions that are invoked at stages of the rollout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<RolloutHook>,
    /// What happens after the bake time.
    #[serde(default, skip_serializing_if = "AtEnd::is_default")]
    pub at_end: AtEnd,
    /// Whether failover may move traffic above the step to the new version, because it has the capacity.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub to_capacity: bool,
    /// Whether a rollout that is active on one of the routes is rolled back first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
}

/// The id of a rollout: 1 to 64 letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = "^[A-Za-z0-9._-]{1,64}$"))]
pub struct RolloutId(String);

impl RolloutId {
    /// Parses an id.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if (1..=64).contains(&text.len()) && text.chars().all(is_valid) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("invalid rollout id `{text}`: expected 1 to 64 letters, digits, `-`, `_` and `.`"))
        }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RolloutId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<RolloutId> for String {
    fn from(RolloutId(id): RolloutId) -> Self {
        id
    }
}

impl std::str::FromStr for RolloutId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error in the text of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}, at `{key}`: {problem}")]
pub struct RolloutRequestError {
    /// The line, counted from 1; 0 if the error concerns the whole text.
    pub line: u64,
    /// The column, counted from 1; 0 if the error concerns the whole text.
    pub column: u64,
    /// The key, as in `steps[1]`.
    pub key: String,
    /// The error and its remedy.
    pub problem: String,
}

/// The virtual nodes of the old and of the new version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Move {
    /// The virtual node of the old version.
    pub from: VirtualNodeName,
    /// The virtual node of the new version.
    pub to: VirtualNodeName,
}

/// Routes that go to 100 % before the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FirstRoutes {
    /// The routes, which are among those of the rollout and match requests by a header.
    pub routes: Vec<RouterRoute>,
    /// How long they are watched. Absent: the interval of the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Period>,
}

/// How the percent increases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Strategy {
    /// By the steps of the request.
    Canary,
    /// By equal steps.
    Linear {
        /// The percent of each step, from 1 to 50.
        every: u8,
    },
    /// At once.
    BlueGreen,
}

/// What happens after the bake time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AtEnd {
    /// The new version is promoted: its split becomes the declared one.
    #[default]
    Promote,
    /// The promotion waits for an operator's approval.
    Approve,
}

impl AtEnd {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_default(&self) -> bool {
        *self == Self::Promote
    }
}

/// A Lambda function that is invoked at a stage of a rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutHook {
    /// The stage.
    pub stage: HookStage,
    /// The function.
    pub function: HookFunction,
    /// How long the hook may take: 1m to 24h. Absent: `rollouts.hookTimeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
}

/// A stage of a rollout at which hooks are invoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum HookStage {
    /// Before the first write.
    Before,
    /// In each step, after the proxies have acknowledged it.
    Step,
    /// At 100 %.
    Bake,
    /// After the bake time.
    After,
    /// After a rollback. The answer has no effect.
    Rollback,
}

impl HookStage {
    /// The name, as in the request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The name or the ARN of a Lambda function, with an alias or a version if there is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct HookFunction(String);

impl HookFunction {
    /// The name or the ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HookFunction {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '$');
        let parts: Vec<&str> = text.split(':').collect();
        let is_arn = matches!(parts.as_slice(), ["arn", _, "lambda", _, _, "function", name, ..] if !name.is_empty());
        let is_name = parts.len() <= 2 && parts.iter().all(|part| !part.is_empty());
        if (1..=170).contains(&text.len()) && text.chars().all(is_valid) && (is_arn || is_name) {
            Ok(Self(text))
        } else {
            Err(format!("invalid Lambda function `{text}`: expected its name or its ARN"))
        }
    }
}

impl From<HookFunction> for String {
    fn from(HookFunction(function): HookFunction) -> Self {
        function
    }
}

impl RolloutRequest {
    /// Reads a request from YAML or JSON.
    pub fn read(text: &str) -> Result<Self, RolloutRequestError> {
        let error = |PolicyError { line, column, key, problem }| RolloutRequestError { line, column, key, problem };
        let request: Self = parse(text).map_err(error)?;
        match request.contradiction() {
            Some((key, problem)) => {
                let (line, column) = place::of_key(text, &key);
                Err(RolloutRequestError { line, column, key, problem })
            }
            None => Ok(request),
        }
    }

    /// The id, or a digest of the request.
    #[must_use]
    pub fn id_or_digest(&self) -> RolloutId {
        let digest = || {
            // Requests have only string keys, so this cannot fail.
            let text = serde_json::to_string(self).unwrap_or_default();
            let hash = Sha256::digest(text.as_bytes());
            let first = hash.iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            RolloutId(format!("r-{first:012x}"))
        };
        self.id.clone().unwrap_or_else(digest)
    }

    /// The first contradiction: the key of the member, and the error with its remedy.
    #[must_use]
    pub fn contradiction(&self) -> Option<(String, String)> {
        self.routes_error()
            .or_else(|| self.moves_error())
            .or_else(|| self.steps_error())
            .or_else(|| {
                let (minute, day) = (SignedDuration::from_mins(1), SignedDuration::from_hours(24));
                let first = self.first.as_ref().and_then(|first| first.interval);
                let periods = [("interval", self.interval), ("first.interval", first)];
                periods.into_iter().find_map(|(key, period)| period_error(key, period?, minute, day))
            })
            .or_else(|| self.gates.contradiction())
            .or_else(|| self.ungated_error())
            .or_else(|| self.hooks_error())
    }

    fn routes_error(&self) -> Option<Contradiction> {
        let listed = match &self.routes {
            RouteSelection::Routes(routes) => Some(routes),
            RouteSelection::Service(_) => None,
        };
        if let Some(routes) = listed {
            if routes.is_empty() || routes.len() > MOST_ROUTES {
                let problem = format!("invalid number of routes {}: expected 1 to {MOST_ROUTES}", routes.len());
                return Some(("routes".to_owned(), problem));
            }
            let mut known = BTreeSet::new();
            if let Some((index, route)) = routes.iter().enumerate().find(|(_, route)| !known.insert(*route)) {
                return Some((format!("routes[{index}]"), format!("route {route} is listed twice; keep one")));
            }
        }
        let first = self.first.as_ref()?;
        if first.routes.is_empty() {
            return Some(("first.routes".to_owned(), "it is empty: name a route, or leave `first` out".to_owned()));
        }
        let routes = listed?;
        if let Some((index, route)) = first.routes.iter().enumerate().find(|(_, route)| !routes.contains(route)) {
            let problem = format!("route {route} is not among `routes`: add it there, or remove it here");
            return Some((format!("first.routes[{index}]"), problem));
        }
        let others = routes.iter().filter(|route| !first.routes.contains(route)).count();
        (others == 0).then(|| {
            let problem = "every route is a first route: leave `first` out, or add the other routes to `routes`";
            ("first.routes".to_owned(), problem.to_owned())
        })
    }

    fn moves_error(&self) -> Option<Contradiction> {
        if self.moves.is_empty() || self.moves.len() > MOST_MOVES {
            let problem = format!("invalid number of moves {}: expected 1 to {MOST_MOVES}", self.moves.len());
            return Some(("moves".to_owned(), problem));
        }
        let mut known = BTreeSet::new();
        self.moves.iter().enumerate().find_map(|(index, pair)| {
            [("from", &pair.from), ("to", &pair.to)].into_iter().find_map(|(member, node)| {
                let problem = format!("virtual node {node} is in two moves or on both sides of one; use it once");
                (!known.insert(node)).then(|| (format!("moves[{index}].{member}"), problem))
            })
        })
    }

    fn steps_error(&self) -> Option<Contradiction> {
        match self.strategy {
            Strategy::Canary => {
                if self.steps.is_empty() {
                    return Some(("steps".to_owned(), "a canary needs steps: add them, as in [5, 25, 50]".to_owned()));
                }
                self.steps.windows(2).enumerate().find_map(|(index, pair)| match pair {
                    [lower, upper] if lower.percent >= upper.percent => {
                        let problem = format!("steps must increase: {} cannot follow {}", upper.percent, lower.percent);
                        Some((format!("steps[{}]", index + 1), problem))
                    }
                    _ => None,
                })
            }
            Strategy::Linear { .. } | Strategy::BlueGreen if !self.steps.is_empty() => {
                Some(("steps".to_owned(), "only a canary has steps: remove them, or use strategy canary".to_owned()))
            }
            Strategy::Linear { every } => number_error("strategy.linear.every", u32::from(every), 1, 50),
            Strategy::BlueGreen => None,
        }
    }

    fn ungated_error(&self) -> Option<Contradiction> {
        let reason = self.ungated.as_ref().map(|reason| reason.trim());
        let problem = match (self.gates.is_empty(), reason) {
            (true, None) => "the rollout has no gates: add gates, or give the reason in `ungated`",
            (true, Some("")) => "the reason is empty: write why the rollout needs no gates",
            (false, Some(_)) => "the rollout has gates: remove `ungated`",
            (true | false, None | Some(_)) => return None,
        };
        let key = if reason.is_none() { "gates" } else { "ungated" };
        Some((key.to_owned(), problem.to_owned()))
    }

    fn hooks_error(&self) -> Option<Contradiction> {
        if self.hooks.len() > MOST_HOOKS {
            return Some(("hooks".to_owned(), format!("too many hooks: expected at most {MOST_HOOKS}")));
        }
        let mut known = BTreeSet::new();
        let (minute, day) = (SignedDuration::from_mins(1), SignedDuration::from_hours(24));
        self.hooks.iter().enumerate().find_map(|(index, hook)| {
            let key = format!("hooks[{index}]");
            if !known.insert((hook.stage, &hook.function)) {
                return Some((key, "the stage has this function already; keep one".to_owned()));
            }
            period_error(&format!("{key}.timeout"), hook.timeout?, minute, day)
        })
    }
}

#[cfg(test)]
mod tests;
