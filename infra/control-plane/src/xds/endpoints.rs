//! The endpoints of nodes with Cloud Map service discovery.
//!
//! Envoy applies an empty list of endpoints and then fails every request, so unknown endpoints are never sent as an
//! empty list to a proxy that has some: it keeps them. A proxy without endpoints receives the empty list, since
//! otherwise it would wait fifteen seconds for them before it does anything else.

use std::collections::{BTreeMap, BTreeSet};

use xds::{Discovered, Finding};

use super::build_inputs::{BuildInputs, NotReady};
use crate::instances::{CloudMapService, InstanceProblem, Unlisted, problem};

/// The instances for a proxy snapshot.
#[derive(Debug, Default)]
pub(super) struct EndpointState {
    /// The services that it needs.
    pub(super) services: BTreeSet<CloudMapService>,
    /// The clusters with unknown endpoints.
    pub(super) unknown: BTreeSet<String>,
    /// The problems of the services.
    pub(super) findings: Vec<Finding>,
}

/// Looks up the instances of each cluster's service.
pub(super) fn find_instances(
    discovered: BTreeMap<String, Discovered>,
    inputs: BuildInputs<'_>,
) -> Result<EndpointState, NotReady> {
    let mut endpoint_state = EndpointState::default();
    let mut waits = false;
    for (cluster, Discovered { service, node }) in discovered {
        let is_known = inputs.book.known.contains_key(&service);
        let problem = match inputs.book.problems.get(&service) {
            Some(problem) => Some(problem.clone()),
            None if is_known => None,
            None => match inputs.instances.unlisted(&service) {
                Unlisted::None => {
                    endpoint_state.services.insert(service);
                    continue;
                }
                Unlisted::Pending => {
                    waits = true;
                    Some(InstanceProblem { id: problem::PENDING, message: "the first poll is in progress".to_owned() })
                }
                Unlisted::Missing(problem) => Some(problem),
            },
        };
        if !is_known {
            endpoint_state.unknown.insert(cluster);
        }
        if let Some(problem) = problem {
            let (namespace, name) = &service;
            let served = if is_known { "; the last known instances are served" } else { "" };
            let message = format!("service {name}.{namespace}: {}{served}", problem.message);
            endpoint_state.findings.push(Finding { id: problem.id, resource: node, message });
        }
        endpoint_state.services.insert(service);
    }
    endpoint_state.findings.sort();
    endpoint_state.findings.dedup();
    // By now all of them are being polled, so one wait covers all.
    if waits && inputs.patient { Err(NotReady) } else { Ok(endpoint_state) }
}
