use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{Cell, Faults};
use ports::{InstanceAttributes, InstanceDirectory, PortError, PortErrorKind};

/// Cloud Map in memory: services with instances that are healthy or not.
#[derive(Clone, Debug)]
pub struct MemoryInstances(Cell<Services>);

/// By namespace and name, each instance with whether it is healthy.
type Services = BTreeMap<(String, String), Vec<(InstanceAttributes, bool)>>;

impl MemoryInstances {
    /// Without any service.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Cell::new(BTreeMap::new(), faults))
    }

    /// Gives a service these instances, each with whether it is healthy.
    pub fn register(
        &self,
        namespace: &str,
        service: &str,
        instances: impl IntoIterator<Item = (InstanceAttributes, bool)>,
    ) {
        let key = (namespace.to_owned(), service.to_owned());
        self.0.poke(|services| services.insert(key, instances.into_iter().collect()));
    }
}

#[async_trait]
impl InstanceDirectory for MemoryInstances {
    async fn discover(&self, namespace: &str, service: &str) -> Result<Vec<InstanceAttributes>, PortError> {
        let subject = format!("{service}.{namespace}");
        self.0
            .read("discover the instances of", subject.clone(), |services| {
                let Some(instances) = services.get(&(namespace.to_owned(), service.to_owned())) else {
                    let call = format!("discover the instances of {subject}");
                    return Err(PortError::new(call, PortErrorKind::NotFound, "the service does not exist"));
                };
                let fails_open = instances.iter().all(|(_, healthy)| !healthy);
                let found = instances.iter().filter(|(_, healthy)| fails_open || *healthy);
                Ok(found.map(|(attributes, _)| attributes.clone()).collect())
            })
            .await
    }
}
