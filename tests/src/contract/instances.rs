//! The contract of [`InstanceDirectory`].

use std::collections::BTreeSet;

use async_trait::async_trait;
use aws_sdk_servicediscovery::Client;
use aws_sdk_servicediscovery::types::{CustomHealthStatus, HealthCheckCustomConfig, NamespaceSummary};
use ports::{InstanceDirectory, PortErrorKind};
use ports_memory::MemoryInstances;

/// A test fixture with a directory that the contract can change.
#[async_trait]
pub trait InstancesUnderTest: Sync {
    /// The port under test.
    fn directory(&self) -> &dyn InstanceDirectory;

    /// Sets the instances of the service `cart` in the namespace `prod` to exactly these. Each has its last octet and
    /// whether it is healthy. The service may not exist before.
    async fn set(&self, instances: &[(u8, bool)]);
}

/// Runs every check.
pub async fn all(fixture: &impl InstancesUnderTest) {
    let missing = fixture.directory().discover("prod", "cart").await.unwrap_err();
    assert_eq!(missing.kind, PortErrorKind::NotFound, "{missing}");
    for (instances, found) in [
        (&[(1, true), (2, true)][..], &[1, 2][..]),
        (&[(1, true), (2, false)], &[1]),
        (&[(1, false), (2, false)], &[1, 2]),
        (&[(3, true)], &[3]),
        (&[], &[]),
    ] {
        fixture.set(instances).await;
        let answer = fixture.directory().discover("prod", "cart").await.unwrap();
        let addresses: BTreeSet<String> =
            answer.iter().map(|attributes| attributes["AWS_INSTANCE_IPV4"].clone()).collect();
        assert_eq!(addresses, found.iter().map(|last| address(*last)).collect(), "{instances:?}");
        assert!(answer.iter().all(|attributes| attributes["version"] == "7"), "{answer:?}");
    }
    let missing = fixture.directory().discover("prod", "absent").await.unwrap_err();
    assert_eq!(missing.kind, PortErrorKind::NotFound, "{missing}");
}

fn address(last: u8) -> String {
    format!("10.0.0.{last}")
}

#[async_trait]
impl InstancesUnderTest for MemoryInstances {
    fn directory(&self) -> &dyn InstanceDirectory {
        self
    }

    async fn set(&self, instances: &[(u8, bool)]) {
        let attributes = |last: u8| [("AWS_INSTANCE_IPV4", address(last)), ("version", "7".to_owned())];
        let instance = |&(last, healthy): &(u8, bool)| {
            (attributes(last).into_iter().map(|(key, value)| (key.to_owned(), value)).collect(), healthy)
        };
        self.register("prod", "cart", instances.iter().map(instance));
    }
}

/// The fixture over a Cloud Map endpoint.
#[derive(Debug)]
pub struct InstancesOverApi {
    /// The adapter under test.
    pub directory: aws::CloudMap,
    /// The client that changes the directory.
    pub client: Client,
}

impl InstancesOverApi {
    /// The id of the namespace, which is created if it does not exist.
    async fn namespace(&self) -> String {
        let is_it = |namespace: &NamespaceSummary| namespace.name.as_deref() == Some("prod");
        loop {
            let listed = self.client.list_namespaces().send().await.unwrap().namespaces.unwrap_or_default();
            if let Some(namespace) = listed.into_iter().find(is_it) {
                return namespace.id.unwrap();
            }
            self.client.create_http_namespace().name("prod").send().await.unwrap();
        }
    }

    async fn service(&self) -> String {
        let namespace = self.namespace().await;
        let listed = self.client.list_services().send().await.unwrap().services.unwrap_or_default();
        if let Some(service) = listed.into_iter().find(|service| service.name.as_deref() == Some("cart")) {
            return service.id.unwrap();
        }
        let checked = HealthCheckCustomConfig::builder().build();
        let request = self.client.create_service().name("cart").namespace_id(namespace);
        let created = request.health_check_custom_config(checked).send().await.unwrap();
        created.service.unwrap().id.unwrap()
    }
}

#[async_trait]
impl InstancesUnderTest for InstancesOverApi {
    fn directory(&self) -> &dyn InstanceDirectory {
        &self.directory
    }

    async fn set(&self, instances: &[(u8, bool)]) {
        let service = self.service().await;
        let registered = self.client.list_instances().service_id(&service).send().await.unwrap();
        for instance in registered.instances.unwrap_or_default() {
            let request = self.client.deregister_instance().service_id(&service);
            request.instance_id(instance.id.unwrap()).send().await.unwrap();
        }
        for (last, healthy) in instances {
            let id = format!("i-{last}");
            let request = self.client.register_instance().service_id(&service).instance_id(&id);
            let request = request.attributes("AWS_INSTANCE_IPV4", address(*last)).attributes("version", "7");
            request.send().await.unwrap();
            let status = if *healthy { CustomHealthStatus::Healthy } else { CustomHealthStatus::Unhealthy };
            let request = self.client.update_instance_custom_health_status().service_id(&service).instance_id(&id);
            request.status(status).send().await.unwrap();
        }
    }
}
