//! The endpoints of nodes that Cloud Map finds.
//!
//! An Envoy takes an empty list of endpoints for what it says and fails every request, so nothing is ever sent that is
//! not known. Where nobody knows, a proxy that has endpoints keeps them; one that has none yet is told that there are
//! none, since it would wait fifteen seconds for them before it does anything else.

use std::collections::{BTreeMap, BTreeSet};

use xds::{Discovered, Finding};

use super::picture::{Means, Waiting};
use crate::instances::{InstanceProblem, Service, Unlisted, problem};

/// What came of looking for a picture's instances.
#[derive(Debug, Default)]
pub(super) struct Finds {
    /// The services that it needs.
    pub(super) services: BTreeSet<Service>,
    /// The clusters whose endpoints nobody knows.
    pub(super) unknown: BTreeSet<String>,
    /// What there is to say of them.
    pub(super) findings: Vec<Finding>,
}

/// Looks at what is known of the services of each cluster.
pub(super) fn find_instances(discovered: BTreeMap<String, Discovered>, means: Means<'_>) -> Result<Finds, Waiting> {
    let mut finds = Finds::default();
    let mut waits = false;
    for (cluster, Discovered { service, node }) in discovered {
        let is_known = means.book.known.contains_key(&service);
        let problem = match means.book.problems.get(&service) {
            Some(problem) => Some(problem.clone()),
            None if is_known => None,
            None => match means.instances.unlisted(&service) {
                Unlisted::None => {
                    finds.services.insert(service);
                    continue;
                }
                Unlisted::Pending => {
                    waits = true;
                    Some(InstanceProblem { id: problem::PENDING, message: "they are being asked for".to_owned() })
                }
                Unlisted::Missing(problem) => Some(problem),
            },
        };
        if !is_known {
            finds.unknown.insert(cluster);
        }
        if let Some(problem) = problem {
            let (namespace, name) = &service;
            let served = if is_known { "; those known before are served" } else { "" };
            let message = format!("service {name}.{namespace}: {}{served}", problem.message);
            finds.findings.push(Finding { id: problem.id, resource: node, message });
        }
        finds.services.insert(service);
    }
    finds.findings.sort();
    finds.findings.dedup();
    // All of them are asked for by now, so that they are waited for once.
    if waits && means.patient { Err(Waiting) } else { Ok(finds) }
}
