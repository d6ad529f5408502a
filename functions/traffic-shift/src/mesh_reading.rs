//! The mesh around a rollout: the callers of its routes, and the model for what-if checks. It is read when a decision
//! needs it, and kept for a few minutes.

use std::collections::BTreeSet;

use decisions::failover::HarmFact;
use jiff::{SignedDuration, Timestamp};
use mesh::change::Change;
use mesh::graph::{Links, Mesh};
use mesh::harm;
use mesh::name::{MeshName, ResourcePath, RouteId, VirtualServiceName};
use mesh::split::WeightSplit;
use ports::{MeshReader, Pace, PortError, PortErrorKind, survey};
use rollouts::SeriesCaller;

/// Calls at a time: App Mesh's own controller reads at up to 40 a second.
const AT_A_TIME: usize = 8;

/// How long a reading serves decisions that write nothing.
const AGE: SignedDuration = SignedDuration::from_mins(5);

/// The most callers with series of their own: `GetMetricData` bills each series of each run, and reads 500 a call. A mesh with
/// more callers uses the series of all callers together.
const MOST_CALLERS: usize = 100;

/// A mesh as it was read.
#[derive(Clone, Debug)]
pub(crate) struct MeshReading {
    model: Mesh,
    read: Timestamp,
}

impl MeshReading {
    /// Reads a mesh as a whole: a missing resource could be a caller or a target.
    pub(crate) async fn read(meshes: &dyn MeshReader, mesh: &MeshName, now: Timestamp) -> Result<Self, PortError> {
        let mut pace = Pace::new(AT_A_TIME, AT_A_TIME);
        let read = survey(meshes, mesh, &mut pace).await?;
        if let Some((_, error)) = read.unread.into_iter().next() {
            return Err(error);
        }
        let mut model = Mesh::new(mesh.clone());
        for (path, found) in read.resources {
            let failed = |error| PortError::new(format!("read {path}"), PortErrorKind::Other, format!("{error}"));
            model.insert_resource(found.resource).map_err(failed)?;
        }
        Ok(Self { model, read: now })
    }

    /// Whether the reading is too old for a decision that writes nothing.
    pub(crate) fn is_old(&self, now: Timestamp) -> bool {
        now.duration_since(self.read) >= AGE
    }

    /// The virtual nodes and gateways that call these routes.
    pub(crate) fn callers(&self, routes: &BTreeSet<RouteId>) -> BTreeSet<ResourcePath> {
        let links = Links::new(&self.model);
        let services = routes.iter().flat_map(|route| links.services_of_router(&route.router));
        let callers = services.flat_map(|service| links.callers_of_service(service).collect::<Vec<_>>());
        callers.map(|caller| caller.path(&self.model)).collect()
    }

    /// The callers of these routes with the virtual services that they call: the dimensions of their metrics.
    pub(crate) fn series_callers(&self, routes: &BTreeSet<RouteId>) -> BTreeSet<SeriesCaller> {
        let links = Links::new(&self.model);
        let services: BTreeSet<_> = routes.iter().flat_map(|route| links.services_of_router(&route.router)).collect();
        let of_service = |service: &VirtualServiceName| -> Vec<SeriesCaller> {
            let callers = links.callers_of_service(service);
            callers.map(|caller| SeriesCaller { caller: caller.path(&self.model), service: service.clone() }).collect()
        };
        let callers: BTreeSet<SeriesCaller> = services.into_iter().flat_map(of_service).collect();
        // A part of the callers would hide the failures of the others.
        if callers.len() > MOST_CALLERS { BTreeSet::new() } else { callers }
    }

    /// The harms of a split on a route.
    pub(crate) fn harms(&self, route: &RouteId, split: &WeightSplit) -> Vec<HarmFact> {
        let change = Change::SetRouteWeights { route: route.clone(), split: split.clone() };
        let mut after = self.model.clone();
        match change.apply(&mut after) {
            Ok(()) => harm::harms(&self.model, &after, [route])
                .into_iter()
                .map(|harm| HarmFact { id: harm.id().to_owned(), text: harm.to_string() })
                .collect(),
            Err(error) => vec![HarmFact { id: "what-if-failed".to_owned(), text: error.to_string() }],
        }
    }
}

/// The answer of a what-if check without a reading: it forbids the write.
pub(crate) fn unread() -> Vec<HarmFact> {
    vec![HarmFact { id: "what-if-failed".to_owned(), text: "the mesh was not read".to_owned() }]
}
