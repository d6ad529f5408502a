//! What has to wait for secrets.
//!
//! Envoy waits fifteen seconds for a secret that a listener or cluster names, and then uses it without: whatever it
//! served before is gone, and connections are reset. So what names a secret that is not to be had is not sent. What the
//! proxy was sent before under the same name stays, with all that it needs; where there was nothing, it is left out.

use std::collections::{BTreeMap, BTreeSet};

use mesh::name::ResourcePath;
use xds::{Finding, Resource, ResourceType, SecretFrom, SecretRef, SecretRole, SecretUse};

use super::picture::{Means, Picture, SecretState, Uses, look_up};

/// Encoded resources by type and name.
pub(super) type Resources = BTreeMap<(ResourceType, String), Resource>;

/// A picture's resources, sorted into what goes and what waits.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// What is sent, secrets among it.
    pub(super) resources: Resources,
    /// What is left out.
    pub(super) withheld: Resources,
    /// What stays as it was.
    kept: BTreeMap<(ResourceType, String), BTreeSet<SecretUse>>,
    /// All secrets that are named.
    pub(super) secrets: BTreeMap<SecretRef, SecretState>,
    /// What takes which secrets, what is left out included.
    pub(super) uses: Uses,
}

/// Sorts them.
pub(super) fn hold_back(
    resources: Resources,
    uses: Uses,
    known: BTreeMap<SecretRef, (SecretState, Option<Resource>)>,
    means: Means<'_>,
) -> Held {
    let missing: BTreeSet<String> =
        known.iter().filter(|(_, (_, body))| body.is_none()).map(|(secret, _)| secret.name()).collect();
    let mut held = Held { resources, uses, ..Held::default() };
    for (secret, (state, body)) in known {
        if let Some(body) = body {
            held.resources.insert((ResourceType::Secret, secret.name()), body);
        }
        held.secrets.insert(secret, state);
    }
    let waits =
        |uses: &BTreeSet<SecretUse>| uses.iter().any(|of| of.from == SecretFrom::Ads && missing.contains(&of.name));
    let waiting: Vec<_> = held.uses.iter().filter(|(_, uses)| waits(uses)).map(|(key, _)| key.clone()).collect();
    for key in waiting {
        let former = means.previous.and_then(|picture| Some((picture, picture.snapshot.find(key.0, &key.1)?)));
        match former {
            Some((picture, body)) => held.keep(key, body.clone(), picture),
            None => held.withhold(key),
        }
    }
    if let Some(previous) = means.previous.filter(|_| !held.kept.is_empty()) {
        held.keep_what_it_needs(previous, means);
    }
    held
}

impl Held {
    fn keep(&mut self, key: (ResourceType, String), body: Resource, previous: &Picture) {
        let wanted = self.uses.remove(&key).unwrap_or_default();
        if let Some(uses) = previous.uses.get(&key) {
            self.uses.insert(key.clone(), uses.clone());
        }
        self.resources.insert(key.clone(), body);
        self.kept.insert(key, wanted);
    }

    fn withhold(&mut self, key: (ResourceType, String)) {
        let endpoints = (ResourceType::Endpoint, key.1.clone());
        for key in [Some(endpoints).filter(|_| key.0 == ResourceType::Cluster), Some(key)].into_iter().flatten() {
            if let Some(body) = self.resources.remove(&key) {
                self.withheld.insert(key, body);
            }
        }
    }

    /// Adds what there was before and is not there any more: a listener that stays may name any of it.
    fn keep_what_it_needs(&mut self, previous: &Picture, means: Means<'_>) {
        for kind in [ResourceType::Route, ResourceType::Cluster, ResourceType::Endpoint] {
            for (name, body) in previous.snapshot.of(kind) {
                let key = (kind, name.clone());
                if self.withheld.contains_key(&key) || self.resources.contains_key(&key) {
                    continue;
                }
                if let Some(uses) = previous.uses.get(&key) {
                    self.uses.insert(key.clone(), uses.clone());
                }
                self.resources.insert(key, body.clone());
            }
        }
        let mut needed: BTreeMap<String, BTreeSet<SecretRole>> = BTreeMap::new();
        for of in self.uses.values().flatten().filter(|of| of.from == SecretFrom::Ads) {
            needed.entry(of.name.clone()).or_default().insert(of.role);
        }
        for secret in
            previous.secrets.keys().filter(|secret| !self.secrets.contains_key(*secret)).cloned().collect::<Vec<_>>()
        {
            let name = secret.name();
            let Some(roles) = needed.get(&name) else { continue };
            // Renewed as any other; it can't be waited for, since there is a previous picture.
            if let Ok((state, body)) = look_up(&secret, roles, means) {
                self.resources.extend(body.map(|body| ((ResourceType::Secret, name), body)));
                self.secrets.insert(secret, state);
            }
        }
    }

    /// What there is to say of it.
    pub(super) fn findings(&self, path: &ResourcePath) -> Vec<Finding> {
        let problems = self.secrets.iter().filter_map(|(secret, state)| Some((secret, state, state.problem()?)));
        let finding = |(secret, state, problem): (&SecretRef, &SecretState, &crate::secrets::SecretProblem)| {
            let name = secret.name();
            let served = match state {
                SecretState::Known(..) => "; what was served before still is".to_owned(),
                SecretState::Missing(_) | SecretState::BesideProxy => self.consequences(&name),
            };
            let message = format!("secret {name}: {}{served}", problem.message);
            Finding { id: problem.id, resource: path.clone(), message }
        };
        problems.map(finding).collect()
    }

    fn consequences(&self, secret: &str) -> String {
        let name_it = |uses: &BTreeSet<SecretUse>| uses.iter().any(|of| of.name == secret);
        let told = |keys: Vec<&(ResourceType, String)>, fate: &str| {
            let what = keys.iter().map(|(kind, name)| match kind {
                ResourceType::Listener => format!("listener {name}"),
                _ => format!("cluster {name}"),
            });
            let what = what.collect::<Vec<_>>().join(", ");
            if what.is_empty() { String::new() } else { format!("; {what} {fate}") }
        };
        let kept = self.kept.iter().filter(|(_, uses)| name_it(uses)).map(|(key, _)| key).collect();
        let left_out = self.withheld.keys().filter(|key| self.uses.get(*key).is_some_and(name_it)).collect();
        told(kept, "stays as it was") + &told(left_out, "is left out")
    }
}

#[cfg(test)]
mod tests;
