//! What is remembered of a mesh from one wake to the next.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::decide::{Decision, Verdict};
use crate::name::ResourcePath;

/// The most resources whose last telling is remembered: a document of the state table has at most 400 KB, and an entry
/// up to a hundred bytes. What is beyond is told each time.
const MOST_TOLD: usize = 3000;

/// What is remembered of a mesh.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// The plans that were begun and whose end is not known, by resource.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub intents: BTreeMap<ResourcePath, String>,
    /// What was last said of each resource that is not as it must be.
    pub told: BTreeMap<ResourcePath, String>,
}

/// What tells a decision from what may be said of the same resource another time; `None` for what is not worth saying.
#[must_use]
pub fn digest(decision: &Decision) -> Option<String> {
    let (code, said) = match &decision.verdict {
        Verdict::Keep(_) => return None,
        Verdict::Hold(reason) => reason.parts(),
        // A repair that is made is said; the next one of the same resource is another.
        Verdict::Act(plan) => ("Act".to_owned(), serde_json::json!([plan.apply, plan.would])),
    };
    let messages: Vec<&str> = decision.judged.findings.iter().map(|finding| finding.message.as_str()).collect();
    let text = format!("{code}\0{said}\0{}", messages.join("\0"));
    let first = Sha256::digest(text).iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    Some(format!("{first:016x}"))
}

/// Whether a decision says something that was not said before: something new that is wrong, or that it no longer is.
#[must_use]
pub fn is_news(decision: &Decision, record: &Record) -> bool {
    digest(decision).as_ref() != record.told.get(&decision.resource)
}

impl Record {
    /// Remembers that a decision was told.
    pub fn tell(&mut self, decision: &Decision) {
        match digest(decision) {
            Some(digest) if self.told.len() < MOST_TOLD || self.told.contains_key(&decision.resource) => {
                self.told.insert(decision.resource.clone(), digest);
            }
            Some(_) => {}
            None => {
                self.told.remove(&decision.resource);
            }
        }
    }

    /// Forgets resources that are gone.
    pub fn keep(&mut self, exists: impl Fn(&ResourcePath) -> bool) {
        self.told.retain(|path, _| exists(path));
        self.intents.retain(|path, _| exists(path));
    }
}
