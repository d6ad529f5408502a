//! The body of a journal entry.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::decision::{DecisionEntry, OutcomeEntry};
use crate::function::Function;
use crate::observation::ObservedRef;
use crate::{NEWEST_FORMAT, OperatorFacts, ReadError};

/// The body of a journal entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum JournalBody {
    /// Decisions, without the beginning of a change. Each change has further entries.
    Decided {
        /// The function.
        function: Function,
        /// The decisions.
        decisions: Vec<DecisionEntry>,
        /// The observation that they were made from; unset for functions that do not record it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        observed: Option<ObservedRef>,
    },
    /// The beginning of a change.
    Begun {
        /// The function.
        function: Function,
        /// The decision.
        decision: DecisionEntry,
        /// The observation that it was made from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        observed: Option<ObservedRef>,
    },
    /// The end of a change.
    Ended {
        /// The id of the plan.
        plan: String,
        /// The outcome.
        outcome: OutcomeEntry,
    },
    /// A command of an operator.
    Operator {
        /// The command, as in `restore`; empty for a command that this version does not know.
        command: String,
        /// The name of the operator; empty if the entry does not have it.
        by: String,
        /// The effect of the command.
        decision: DecisionEntry,
    },
}

impl From<Function> for String {
    fn from(function: Function) -> Self {
        function.as_str().to_owned()
    }
}

/// The place of the decisions in an entry of format 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The members of one decision are members of the entry: route-failover, certificate-rotation, commands.
    Flat,
    /// The entry has a member `decision`: compliance-sweep, and the beginnings of repairs.
    Single,
    /// The entry has a member `decisions`: tag-compliance, egress-compliance, change-audit.
    List,
}

/// The end of the ids of entries about the beginning of a change.
const BEGUN: &str = "-begun";

impl JournalBody {
    /// Reads an entry of either format. `id` is the entry's id, which format 0 uses for the kind of the entry.
    pub fn read(id: &str, body: &Value) -> Result<Self, ReadError> {
        match body.get("format").map(Value::as_u64) {
            None | Some(Some(0)) => Self::read_format_0(id, body),
            Some(Some(1)) => ReadError::decode(body, "entry"),
            Some(Some(format)) => {
                let message =
                    format!("a newer version wrote it: format {format}, and this version reads up to {NEWEST_FORMAT}");
                Err(ReadError::new("entry.format", message))
            }
            Some(None) => Err(ReadError::new("entry.format", "expected a number")),
        }
    }

    fn read_format_0(id: &str, body: &Value) -> Result<Self, ReadError> {
        if body.get("outcome").is_some() {
            let EndedMembers { plan, outcome } = ReadError::decode(body, "entry")?;
            return Ok(Self::Ended { plan, outcome });
        }
        let Members { function, decision, decisions, observed } = ReadError::decode(body, "entry")?;
        let mut all: Vec<DecisionEntry> = decision.into_iter().chain(decisions.unwrap_or_default()).collect();
        let is_list = body.get("decisions").is_some();
        if all.is_empty() && !is_list {
            all.push(ReadError::decode(body, "entry")?);
        }
        let observed = observed.filter(|observed| !observed.is_null()).map(ObservedRef::from_format_0);
        let single = if is_list || all.len() != 1 { None } else { all.pop() };
        Ok(match (single, function) {
            (Some(decision), Function::Operator) => {
                let by = OperatorFacts::read(&decision).map(|facts| facts.by).unwrap_or_default();
                Self::Operator { command: command(&decision.reason).to_owned(), by, decision }
            }
            (Some(decision), function) if id.ends_with(BEGUN) => Self::Begun { function, decision, observed },
            (single, function) => {
                Self::Decided { function, decisions: single.into_iter().chain(all).collect(), observed }
            }
        })
    }

    /// The entry in format 0. A list may have any number of decisions, the other layouts have one.
    #[must_use]
    pub fn to_format_0(&self, layout: Layout) -> Value {
        match self {
            Self::Ended { plan, outcome } => json!({ "plan": plan, "outcome": outcome }),
            Self::Operator { decision, .. } => {
                Value::Object(format_0(&Function::Operator, std::slice::from_ref(decision), None, layout))
            }
            Self::Begun { function, decision, observed } => {
                Value::Object(format_0(function, std::slice::from_ref(decision), observed.as_ref(), layout))
            }
            Self::Decided { function, decisions, observed } => {
                Value::Object(format_0(function, decisions, observed.as_ref(), layout))
            }
        }
    }

    /// The entry in format 1, which this version reads and does not write.
    #[must_use]
    pub fn to_format_1(&self) -> Value {
        // Bodies have only string keys, so this cannot fail.
        let mut body = serde_json::to_value(self).unwrap_or_default();
        if let Some(members) = body.as_object_mut() {
            members.insert("format".to_owned(), Value::from(1));
        }
        body
    }

    /// The writer of the entry; `None` for the end of a change, which format 0 stores without it.
    #[must_use]
    pub const fn function(&self) -> Option<&Function> {
        match self {
            Self::Decided { function, .. } | Self::Begun { function, .. } => Some(function),
            Self::Operator { .. } => Some(&Function::Operator),
            Self::Ended { .. } => None,
        }
    }

    /// The decisions of the entry.
    #[must_use]
    pub fn decisions(&self) -> &[DecisionEntry] {
        match self {
            Self::Decided { decisions, .. } => decisions,
            Self::Begun { decision, .. } | Self::Operator { decision, .. } => std::slice::from_ref(decision),
            Self::Ended { .. } => &[],
        }
    }

    /// The place of the observation, if the entry has one.
    #[must_use]
    pub const fn observed(&self) -> Option<&ObservedRef> {
        match self {
            Self::Decided { observed, .. } | Self::Begun { observed, .. } => observed.as_ref(),
            Self::Ended { .. } | Self::Operator { .. } => None,
        }
    }
}

/// The members of an entry of format 0, without the members of a flat decision.
#[derive(Deserialize)]
struct Members {
    function: Function,
    #[serde(default, deserialize_with = "nested")]
    decision: Option<DecisionEntry>,
    #[serde(default)]
    decisions: Option<Vec<DecisionEntry>>,
    #[serde(default)]
    observed: Option<Value>,
}

#[derive(Deserialize)]
struct EndedMembers {
    plan: String,
    outcome: OutcomeEntry,
}

/// A flat entry has the verdict's word where a nested one has the decision.
fn nested<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<DecisionEntry>, D::Error> {
    use serde::de::Error as _;
    match Value::deserialize(deserializer)? {
        Value::String(_) | Value::Null => Ok(None),
        decision => serde_json::from_value(decision).map(Some).map_err(D::Error::custom),
    }
}

fn format_0(
    function: &Function,
    decisions: &[DecisionEntry],
    observed: Option<&ObservedRef>,
    layout: Layout,
) -> Map<String, Value> {
    let mut members = Map::from_iter([("function".to_owned(), json!(function))]);
    match (layout, decisions) {
        (Layout::Flat, [decision]) => {
            if let Value::Object(decision_members) = json!(decision) {
                members.extend(decision_members);
            }
            // Flat entries have this member without a plan, too.
            members.entry("plan").or_insert(Value::Null);
        }
        (Layout::Single, [decision]) => drop(members.insert("decision".to_owned(), json!(decision))),
        (Layout::Flat | Layout::Single | Layout::List, _) => {
            drop(members.insert("decisions".to_owned(), json!(decisions)));
        }
    }
    if let Some(observed) = observed {
        members.insert("observed".to_owned(), observed.to_format_0());
    }
    members
}

/// The command that writes entries with a reason code.
fn command(reason: &str) -> &'static str {
    match reason {
        "PersonHeld" => "hold",
        "PersonReleased" | "CertificateReleased" => "release",
        "PersonRestored" => "restore",
        "PersonSwitchedOff" => "kill on",
        "PersonSwitchedOn" => "kill off",
        "DocumentReset" => "forget",
        "PersonDroppedLetters" => "dead-letters drop",
        "PersonRedroveLetters" => "dead-letters redrive",
        _ => "",
    }
}
