//! Withholding of resources with secrets that are not available.
//!
//! Envoy waits fifteen seconds for a secret that a listener or cluster names, and then uses the resource without it:
//! the previous configuration is lost, and connections are reset. So a resource that names an unavailable secret is
//! not sent. The version that the proxy received before stays, with everything that it needs; without an earlier
//! version the resource is left out.

use std::collections::{BTreeMap, BTreeSet};

use mesh::name::ResourcePath;
use xds::{Finding, Resource, ResourceType, SecretFrom, SecretRef, SecretRole, SecretUse};

use super::build_inputs::BuildInputs;
use super::find_secret::look_up;
use super::proxy_snapshot::{ProxySnapshot, SecretState, SecretUses};

/// Encoded resources by type and name.
pub(super) type Resources = BTreeMap<(ResourceType, String), Resource>;

/// The resources of a proxy snapshot, separated into sent and withheld ones.
#[derive(Debug, Default)]
pub(super) struct SendPlan {
    /// The resources to send, including secrets.
    pub(super) resources: Resources,
    /// The resources that are left out.
    pub(super) withheld: Resources,
    /// The resources that stay in their previous version, with the secrets of the new one.
    kept: BTreeMap<(ResourceType, String), BTreeSet<SecretUse>>,
    /// All secrets that the resources name.
    pub(super) secrets: BTreeMap<SecretRef, SecretState>,
    /// The secrets of each resource, including withheld ones.
    pub(super) uses: SecretUses,
}

/// Separates the resources.
pub(super) fn separate(
    resources: Resources,
    uses: SecretUses,
    known: BTreeMap<SecretRef, (SecretState, Option<Resource>)>,
    inputs: BuildInputs<'_>,
) -> SendPlan {
    let missing: BTreeSet<String> =
        known.iter().filter(|(_, (_, body))| body.is_none()).map(|(secret, _)| secret.name()).collect();
    let mut plan = SendPlan { resources, uses, ..SendPlan::default() };
    for (secret, (state, body)) in known {
        if let Some(body) = body {
            plan.resources.insert((ResourceType::Secret, secret.name()), body);
        }
        plan.secrets.insert(secret, state);
    }
    let waits = |uses: &BTreeSet<SecretUse>| {
        uses.iter().any(|usage| usage.from == SecretFrom::Ads && missing.contains(&usage.name))
    };
    let waiting: Vec<_> = plan.uses.iter().filter(|(_, uses)| waits(uses)).map(|(key, _)| key.clone()).collect();
    for key in waiting {
        let previous = inputs
            .previous
            .and_then(|proxy_snapshot| Some((proxy_snapshot, proxy_snapshot.snapshot.find(key.0, &key.1)?)));
        match previous {
            Some((proxy_snapshot, body)) => plan.keep(key, body.clone(), proxy_snapshot),
            None => plan.withhold(key),
        }
    }
    if let Some(previous) = inputs.previous.filter(|_| !plan.kept.is_empty()) {
        plan.keep_dependencies(previous, inputs);
    }
    plan
}

impl SendPlan {
    fn keep(&mut self, key: (ResourceType, String), body: Resource, previous: &ProxySnapshot) {
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

    /// Adds resources of the previous snapshot that the new one lacks: a kept listener may use any of them.
    fn keep_dependencies(&mut self, previous: &ProxySnapshot, inputs: BuildInputs<'_>) {
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
        for usage in self.uses.values().flatten().filter(|usage| usage.from == SecretFrom::Ads) {
            needed.entry(usage.name.clone()).or_default().insert(usage.role);
        }
        for secret in
            previous.secrets.keys().filter(|secret| !self.secrets.contains_key(*secret)).cloned().collect::<Vec<_>>()
        {
            let name = secret.name();
            let Some(roles) = needed.get(&name) else { continue };
            // It is renewed like any other. The lookup never waits, since there is a previous snapshot.
            if let Ok((state, body)) = look_up(&secret, roles, inputs) {
                self.resources.extend(body.map(|body| ((ResourceType::Secret, name), body)));
                self.secrets.insert(secret, state);
            }
        }
    }

    /// The problems of the secrets, and their consequences.
    pub(super) fn findings(&self, path: &ResourcePath) -> Vec<Finding> {
        let problems = self.secrets.iter().filter_map(|(secret, state)| Some((secret, state, state.problem()?)));
        let finding = |(secret, state, problem): (&SecretRef, &SecretState, &crate::secrets::SecretProblem)| {
            let name = secret.name();
            let served = match state {
                SecretState::Known(..) => "; the last valid version is served".to_owned(),
                SecretState::Missing(_) | SecretState::OnProxyMachine => self.consequences(&name),
            };
            let message = format!("secret {name}: {}{served}", problem.message);
            Finding { id: problem.id, resource: path.clone(), message }
        };
        problems.map(finding).collect()
    }

    fn consequences(&self, secret: &str) -> String {
        let names_it = |uses: &BTreeSet<SecretUse>| uses.iter().any(|usage| usage.name == secret);
        let describe = |keys: Vec<&(ResourceType, String)>, consequence: &str| {
            let names = keys.iter().map(|(kind, name)| match kind {
                ResourceType::Listener => format!("listener {name}"),
                _ => format!("cluster {name}"),
            });
            let names = names.collect::<Vec<_>>().join(", ");
            if names.is_empty() { String::new() } else { format!("; {names} {consequence}") }
        };
        let kept = self.kept.iter().filter(|(_, uses)| names_it(uses)).map(|(key, _)| key).collect();
        let left_out = self.withheld.keys().filter(|key| self.uses.get(*key).is_some_and(names_it)).collect();
        describe(kept, "stays unchanged") + &describe(left_out, "is left out")
    }
}

#[cfg(test)]
mod tests;
