//! Reads the drills of a mesh: which plans prove nothing.

use drills::findings;
use jiff::Timestamp;
use mesh::graph::{DrillFact, DrillFactState};
use mesh::name::MeshName;
use policy::DrillsPolicy;
use ports::{BudgetWindow, PortError, StateKey, StateStore};
use records::{DrillsRecord, read_record};

use crate::NAME;

/// The function that stores the drills.
const KEEPER: &str = "failover-drill";

/// The plans of the mesh that are overdue or failed. A document that cannot be read proves nothing about any plan.
pub(crate) async fn read(
    state: &dyn StateStore,
    mesh: &MeshName,
    policy: &DrillsPolicy,
    now: Timestamp,
) -> Result<Vec<DrillFact>, PortError> {
    if !policy.plans.iter().any(|plan| plan.mesh == *mesh) {
        return Ok(Vec::new());
    }
    let key = StateKey::mesh(KEEPER, mesh);
    // Every load has to name a window; this one spends no budget.
    let window = BudgetWindow { class: NAME.to_owned(), start: now, end: now };
    let view = state.load(std::slice::from_ref(&key), &window).await?;
    let record = match view.documents.get(&key) {
        None => DrillsRecord::default(),
        Some(stored) => match read_record(&key, &stored.document) {
            Ok(record) => record,
            Err(error) => {
                let plans = policy.plans.iter().filter(|plan| plan.mesh == *mesh);
                let unknown = plans.map(|plan| DrillFact {
                    drill: plan.name.clone(),
                    node: plan.virtual_node.clone(),
                    state: DrillFactState::Overdue,
                    text: format!("the results of drill {} cannot be read: {error}", plan.name),
                });
                return Ok(unknown.collect());
            }
        },
    };
    let facts = findings(mesh, &record.state, policy, now).into_iter().map(|finding| DrillFact {
        drill: finding.drill,
        node: finding.node,
        state: finding.state,
        text: finding.text,
    });
    Ok(facts.collect())
}
