use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde_json::Value;

use super::{Cell, Faults};
use ports::{PortError, RefusedFinding, SecurityHub};

/// Stores the imported findings by their ids.
#[derive(Clone, Debug)]
pub struct MemorySecurityHub(Cell<HubState>);

#[derive(Clone, Debug, Default, PartialEq)]
struct HubState {
    findings: BTreeMap<String, Value>,
    refused: BTreeSet<String>,
}

impl MemorySecurityHub {
    /// Creates a hub without findings.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(HubState::default(), faults))
    }

    /// The last import of every finding.
    #[must_use]
    pub fn findings(&self) -> BTreeMap<String, Value> {
        self.0.peek(|state| state.findings.clone())
    }

    /// Rejects further imports of the finding with this id.
    pub fn refuse(&self, id: &str) {
        self.0.poke(|state| state.refused.insert(id.to_owned()));
    }
}

#[async_trait]
impl SecurityHub for MemorySecurityHub {
    async fn import(&self, findings: &[Value]) -> Result<Vec<RefusedFinding>, PortError> {
        self.0
            .write("import findings", findings.len(), |state| {
                let mut refused = Vec::new();
                for finding in findings {
                    let id = finding.get("Id").and_then(Value::as_str).unwrap_or_default().to_owned();
                    if id.is_empty() || state.refused.contains(&id) {
                        let (code, message) = ("InvalidInput".to_owned(), "it is not taken".to_owned());
                        refused.push(RefusedFinding { id, code, message });
                    } else {
                        state.findings.insert(id, finding.clone());
                    }
                }
                Ok(refused)
            })
            .await
    }
}
