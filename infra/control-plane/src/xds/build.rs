//! Builds the snapshot of one proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use mesh::graph::Mesh;
use mesh::name::ResourcePath;
use xds::{Proxy, ProxyId, ResourceType, SecretRef, SecretRole, Snapshot, Translation, translate};

use super::build_inputs::{BuildInputs, NotReady};
use super::endpoints::{EndpointState, find_instances};
use super::find_secret::look_up;
use super::proxy_snapshot::{ProxySnapshot, SecretUses};
use super::withhold::{Resources, separate};

/// Builds a proxy's snapshot; the error means that it has to wait for secrets or instances. Returns `None` after a
/// panic of the translation, which is a defect that must not affect other proxies: this proxy keeps
/// its configuration.
pub(super) fn build_proxy_snapshot(
    mesh: &Mesh,
    proxy: &Proxy,
    inputs: BuildInputs<'_>,
) -> Option<Result<ProxySnapshot, NotReady>> {
    let id = ProxyId { mesh: mesh.name.clone(), owner: None, proxy: proxy.clone() };
    let made =
        catch_unwind(AssertUnwindSafe(|| assemble(translate(mesh, proxy, inputs.surroundings), &id.path(), inputs)));
    if made.is_err() {
        tracing::error!(mesh = %mesh.name, ?proxy, "translation panicked; the proxy keeps its configuration");
    }
    made.ok()
}

fn assemble(translation: Translation, path: &ResourcePath, inputs: BuildInputs<'_>) -> Result<ProxySnapshot, NotReady> {
    let uses = translation.secret_uses();
    let resources: Resources =
        translation.encode().into_iter().map(|(kind, name, body)| ((kind, name), body)).collect();
    let Translation { secrets: named, mut findings, discovered, .. } = translation;
    let EndpointState { services, unknown, findings: of_instances } = find_instances(discovered, inputs)?;
    findings.extend(of_instances);
    let mut known = BTreeMap::new();
    for secret in named {
        let (state, body) = look_up(&secret, &roles(&uses, &secret), inputs)?;
        known.insert(secret, (state, body));
    }
    let plan = separate(resources, uses, known, inputs);
    let snapshot_of = |resources: &Resources| {
        Snapshot::new(resources.iter().map(|((kind, name), body)| (*kind, name.clone(), body.clone())))
    };
    let whole = (!plan.withheld.is_empty() || !unknown.is_empty()).then(|| {
        let mut whole = plan.resources.clone();
        whole.extend(plan.withheld.clone());
        whole.retain(|(kind, name), _| *kind != ResourceType::Endpoint || !unknown.contains(name));
        snapshot_of(&whole)
    });
    findings.extend(plan.findings(path));
    findings.sort();
    Ok(ProxySnapshot {
        snapshot: snapshot_of(&plan.resources),
        whole,
        findings,
        secrets: plan.secrets,
        uses: plan.uses,
        services,
    })
}

fn roles(uses: &SecretUses, secret: &SecretRef) -> BTreeSet<SecretRole> {
    let name = secret.name();
    uses.values().flatten().filter(|usage| usage.name == name).map(|usage| usage.role).collect()
}
