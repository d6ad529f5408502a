//! Writes of the declared split by infrastructure-as-code roles.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::WeightSplit;
use super::admit::{Ending, admit};
use super::layers::{EndReason, LayerKind, Layers};
use super::stored::{PendingWrite, StoredLayers};
use super::writer::Writer;
use crate::reason_entry::reason_entries;
use policy::WeightsPolicy;

/// The author of a split that Meshwarden did not write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "author", rename_all = "kebab-case")]
pub enum Author {
    /// An operator, or a caller that is not known.
    Operator,
    /// An infrastructure-as-code role of the policy.
    Declared {
        /// The ARN or key name of the caller.
        caller: String,
    },
}

/// The author by the caller that wrote the version. An unknown caller is an operator: an edit by hand is respected, and
/// an infrastructure-as-code role must be named in the policy.
#[must_use]
pub fn author(written_by: Option<&str>, policy: &WeightsPolicy) -> Author {
    match written_by {
        Some(caller) if policy.declared_by.iter().any(|pattern| pattern.matches(caller)) => {
            Author::Declared { caller: caller.to_owned() }
        }
        Some(_) | None => Author::Operator,
    }
}

/// What a declared write leads to, as it is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum DeclaredCode {
    /// The route had no other layer; the split is declared.
    Declared,
    /// The layers are written again over the declared split.
    Reapplied,
    /// The rollout ends, because another split was declared.
    DeclaredChanged,
    /// The drill ends, because the write restored its node.
    DrillOverwritten,
    /// The split from before a promotion is overwritten.
    StaleDeclaration,
    /// The role has written the promoted split.
    PromotionAdopted,
    /// The split of a route on hold was replaced.
    HoldOverwritten,
    /// The layers and the declared split are written in turns.
    WritersFighting,
}

reason_entries! { DeclaredCode {
    Declared: Never,
        "An infrastructure-as-code role declared a split on a route without a failover, rollout or drill.",
        "";
    Reapplied: Never,
        "An infrastructure-as-code role wrote its split during a failover or rollout. It is declared, and the layers are written again.",
        "";
    DeclaredChanged: Never,
        "An infrastructure-as-code role declared another split during a rollout, so the rollout ends.",
        "Start the rollout again on the new split.";
    DrillOverwritten: Never,
        "An infrastructure-as-code role wrote its split during a drill. The drill ends, and the write is its restore.",
        "";
    StaleDeclaration: AtOnce,
        "An infrastructure-as-code role wrote the split from before a promotion. It is overwritten with the promoted split.",
        "Change the declared weights to the promoted split, or run `meshwarden release ROUTE --accept-declared`.";
    PromotionAdopted: Never,
        "The infrastructure-as-code role declares the promoted split.",
        "";
    HoldOverwritten: AtOnce,
        "An infrastructure-as-code role replaced the split of a route that an operator holds. Its split stands.",
        "Write the wanted split again, or run `meshwarden release ROUTE`.";
    WritersFighting: AtOnce,
        "An infrastructure-as-code role has reverted the weights repeatedly within `weights.reverts.window`.",
        "Let the role ignore the weights of the route, or declare the split that is wanted.";
}}

impl DeclaredCode {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.entry().code
    }

    /// The text of the notification; `None` if nothing is reported, or the write that follows reports it.
    #[must_use]
    pub fn note(self, split: &WeightSplit, caller: &str) -> Option<String> {
        Some(match self {
            Self::Declared | Self::PromotionAdopted | Self::Reapplied | Self::StaleDeclaration => return None,
            Self::DeclaredChanged => format!("{caller} declared {split} during a rollout, which ends"),
            Self::DrillOverwritten => format!("{caller} declared {split} during a drill, which ends"),
            Self::HoldOverwritten => format!("{caller} replaced the split of a route on hold: {split}"),
            Self::WritersFighting => {
                format!("{caller} has reverted the weights of the route repeatedly, the last time to {split}")
            }
        })
    }
}

/// The result of a declared write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredOutcome {
    /// The layers as they are stored from now on.
    pub stored: StoredLayers,
    /// The declared split from now on.
    pub declared: WeightSplit,
    /// The layers that end with the write.
    pub ends: Vec<Ending>,
    /// The reported code; [`DeclaredCode::entry`] has its paging.
    pub code: DeclaredCode,
}

/// Determines what a write of the declared split leads to. `stored` are the layers of the route's record, and `layers`
/// the same layers with failover and hold.
#[must_use]
pub fn declared_write(
    layers: &Layers,
    stored: &StoredLayers,
    split: &WeightSplit,
    policy: &WeightsPolicy,
    now: Timestamp,
) -> DeclaredOutcome {
    let mut next = stored.clone();
    next.pending = None;
    next.reverts.retain(|at| now < *at + policy.reverts.window.get());
    if let Some(promoted) = &stored.promoted {
        let is_stale = promoted.before == *split && layers.declared == promoted.promoted;
        if is_stale && layers.held_at(now).is_none() {
            next.pending = Some(PendingWrite::StaleDeclaration);
            let declared = layers.declared.clone();
            let ends = Vec::new();
            return reverted(
                DeclaredOutcome { stored: next, declared, ends, code: DeclaredCode::StaleDeclaration },
                layers,
                policy,
                now,
            );
        }
        next.promoted = None;
    }
    let adopted = stored.promoted.as_ref().is_some_and(|promoted| promoted.promoted == *split);
    // A declared write is made already, so it always proceeds.
    let ends = admit(&Writer::DeclaredWrite { split }, layers, None, now).ends().unwrap_or_default().to_vec();
    let reason_of = |layer: LayerKind| ends.iter().find(|end| end.layer == layer).map(|end| end.reason);
    if let Some(reason) = reason_of(LayerKind::Drill) {
        next.end_drill(reason, now);
    }
    if let Some(reason) = reason_of(LayerKind::Rollout) {
        next.end_rollout(reason, now);
    }
    if next.has_layer() {
        next.declared = Some(split.clone());
    }
    let outcome = |stored, code| DeclaredOutcome { stored, declared: split.clone(), ends: ends.clone(), code };
    if layers.held_at(now).is_some() {
        return outcome(next, DeclaredCode::HoldOverwritten);
    }
    if next.rollout.is_some() || layers.failover.is_active() {
        next.pending = Some(PendingWrite::Reapplied);
        let code = if layers.rollout.is_some() && next.rollout.is_none() {
            DeclaredCode::DeclaredChanged
        } else {
            DeclaredCode::Reapplied
        };
        return reverted(outcome(next, code), layers, policy, now);
    }
    let code = match (reason_of(LayerKind::Rollout), reason_of(LayerKind::Drill)) {
        (Some(_), _) => DeclaredCode::DeclaredChanged,
        (None, Some(_)) => DeclaredCode::DrillOverwritten,
        (None, None) if adopted => DeclaredCode::PromotionAdopted,
        (None, None) => DeclaredCode::Declared,
    };
    outcome(next, code)
}

/// Counts a write that is about to be overwritten. At the limit of the policy, the rollout ends: its steps cannot be
/// observed while another program reverts them.
fn reverted(mut outcome: DeclaredOutcome, layers: &Layers, policy: &WeightsPolicy, now: Timestamp) -> DeclaredOutcome {
    let stored = &mut outcome.stored;
    stored.reverts.push(now);
    if stored.reverts.len() < usize::from(policy.reverts.limit) {
        return outcome;
    }
    if stored.rollout.is_some() {
        stored.end_rollout(EndReason::WritersFighting, now);
        outcome.ends.push(Ending { layer: LayerKind::Rollout, reason: EndReason::WritersFighting });
        if !layers.failover.is_active() && stored.pending == Some(PendingWrite::Reapplied) {
            stored.pending = None;
        }
    }
    DeclaredOutcome { code: DeclaredCode::WritersFighting, ..outcome }
}

#[cfg(test)]
mod tests;
