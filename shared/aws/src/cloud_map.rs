use async_trait::async_trait;
use aws_sdk_servicediscovery::Client;
use aws_sdk_servicediscovery::config::endpoint::Params;
use aws_sdk_servicediscovery::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_servicediscovery::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_servicediscovery::error::BoxError;
use aws_sdk_servicediscovery::types::HealthStatusFilter;
use aws_smithy_runtime_api::client::endpoint::{EndpointPrefix, EndpointResolverParams};
use ports::{InstanceAttributes, InstanceDirectory, PortError};

use crate::call::call;
use crate::connection::{Connection, client_config};

/// The maximum number of instances of one service. The API returns 100 by default and has no further pages.
const MOST: i32 = 1000;

/// The instances of services in Cloud Map.
///
/// Requests the healthy instances, or all of them if none is healthy. Revisions (`DiscoverInstancesRevision`) are not
/// requested. They save no call, and they stay the same when an instance's health changes.
#[derive(Clone, Debug)]
pub struct CloudMap {
    client: Client,
}

impl CloudMap {
    pub(crate) fn new(connection: &Connection) -> Self {
        let config = client_config!(aws_sdk_servicediscovery, connection).interceptor(EndpointAsGiven).build();
        Self { client: Client::from_conf(config) }
    }
}

#[async_trait]
impl InstanceDirectory for CloudMap {
    async fn discover(&self, namespace: &str, service: &str) -> Result<Vec<InstanceAttributes>, PortError> {
        let request = self.client.discover_instances().namespace_name(namespace).service_name(service);
        let request = request.health_status(HealthStatusFilter::HealthyOrElseAll).max_results(MOST);
        let answer = call(|| format!("discover the instances of {service}.{namespace}"), request.send()).await?;
        let instances = answer.instances.unwrap_or_default().into_iter();
        Ok(instances.map(|instance| instance.attributes.unwrap_or_default().into_iter().collect()).collect())
    }
}

/// Uses an endpoint from `AWS_ENDPOINT_URL_SERVICEDISCOVERY` unchanged. The SDK would prefix its host with `data-`, as
/// AWS requires, and `data-127.0.0.1` does not resolve.
#[derive(Debug)]
struct EndpointAsGiven;

impl Intercept for EndpointAsGiven {
    fn name(&self) -> &'static str {
        "EndpointAsGiven"
    }

    fn read_before_serialization(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let is_set = config
            .load::<EndpointResolverParams>()
            .and_then(EndpointResolverParams::get::<Params>)
            .is_some_and(|params| params.endpoint().is_some());
        if is_set {
            config.interceptor_state().unset::<EndpointPrefix>();
        }
        Ok(())
    }
}
