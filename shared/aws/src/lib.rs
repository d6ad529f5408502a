//! The ports over the real AWS SDK clients.
//!
//! ```text
//! ports (traits) ◀── AppMesh, CloudWatch, StateTable, Topic, Bus, … ──▶ aws-sdk-* ──▶ AWS, or a compatible server
//!                        one HTTP client, one retry policy, one set of time-outs, one classification of errors
//! ```
//!
//! Region, credentials and endpoints come from the SDK's own variables (`AWS_REGION`, `AWS_ENDPOINT_URL_APP_MESH`, …)
//! and from nothing else.
//!
//! The SDK retries a failed call by the rules of `retry`. An error reports the class of the last attempt and, if there
//! were several, of each. [`ports::PortErrorKind`] has the table of classes.
//!
//! This crate decides nothing, and exposes an SDK type only as the source of an error.

mod answer;
mod app_mesh;
mod attempts;
mod call;
#[cfg(feature = "certificates")]
mod certificates;
#[cfg(feature = "cloud-map")]
mod cloud_map;
mod cloudwatch;
#[cfg(feature = "config-rules")]
mod config_rules;
mod connection;
mod error_kind;
mod event_bridge;
mod fresh_identity;
#[cfg(feature = "functions")]
mod functions;
mod item_table;
mod lazy;
mod local;
#[cfg(not(all(
    feature = "cloud-map",
    feature = "config-rules",
    feature = "functions",
    feature = "queues",
    feature = "security-hub",
    feature = "ssm"
)))]
mod not_built;
#[cfg(feature = "queues")]
mod queues;
mod retry;
mod s3;
#[cfg(feature = "security-hub")]
mod security_hub;
mod settings;
mod sns;
#[cfg(feature = "ssm")]
mod ssm;
mod state_table;
mod trusted_roots;

use std::sync::Arc;

use aws_config::SdkConfig;
use ports::{BuiltInPolicy, EventBus, Notifier, PolicyLocation, PolicySource, ReportStore, ReportsLocation};

pub use answer::{LONGEST_ANSWER, LONGEST_TOGETHER, MOST_PAGES};
use app_mesh::PresentIdentity;
pub use app_mesh::{AppMesh, IssuedNodeToken, NodeTokenRequest};
#[cfg(feature = "certificates")]
pub use certificates::{Acm, PrivateCa, Secrets};
#[cfg(feature = "cloud-map")]
pub use cloud_map::CloudMap;
pub use cloudwatch::CloudWatch;
#[cfg(feature = "config-rules")]
pub use config_rules::Config;
pub use connection::{ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, OPERATION_TIMEOUT};
use connection::{Connection, client, client_config};
pub use event_bridge::Bus;
#[cfg(feature = "functions")]
pub use functions::Functions;
pub use item_table::{ItemPage, ItemTable, PutOutcome, TableDescription, TableItem, TableValue};
use lazy::Lazy;
pub use local::{PolicyFile, ReportsFolder, Unset};
#[cfg(not(all(
    feature = "cloud-map",
    feature = "config-rules",
    feature = "functions",
    feature = "queues",
    feature = "security-hub",
    feature = "ssm"
)))]
pub use not_built::NotBuilt;
#[cfg(feature = "queues")]
pub use queues::Sqs;
pub use retry::{ATTEMPTS, LONGEST_DELAY, SHORTEST_DELAY, config as retry_config};
pub use s3::{PolicyObject, ReportsBucket};
#[cfg(feature = "security-hub")]
pub use security_hub::FindingsImport;
pub use settings::SettingsError;
pub use sns::Topic;
#[cfg(feature = "ssm")]
pub use ssm::PolicyParameter;
pub use state_table::StateTable;
pub use trusted_roots::RootsError;

/// Creates all adapters, which share one connection.
#[derive(Clone, Debug)]
pub struct Aws {
    connection: Connection,
    sts: Option<String>,
    /// The endpoint of the App Mesh API, instead of the SDK's variable.
    app_mesh: Option<String>,
}

impl Aws {
    /// Reads the SDK's variables. This makes no call; credentials are loaded with the first one.
    pub async fn open() -> Self {
        let sts = std::env::var("AWS_ENDPOINT_URL_STS").ok().filter(|endpoint| !endpoint.is_empty());
        Self { connection: Connection::open().await, sts, app_mesh: None }
    }

    /// Creates the adapters with a configuration that was created elsewhere, as tests do.
    #[must_use]
    pub fn with_config(config: SdkConfig) -> Self {
        Self { connection: Connection::new(config), sts: None, app_mesh: None }
    }

    /// Uses STS at this endpoint, like `AWS_ENDPOINT_URL_STS`.
    #[must_use]
    pub fn asking_sts_at(self, endpoint: &str) -> Self {
        Self { sts: Some(endpoint.to_owned()), ..self }
    }

    /// Calls the App Mesh API at this endpoint, like `AWS_ENDPOINT_URL_APP_MESH`. Other services are not affected.
    #[must_use]
    pub fn calling_app_mesh_at(self, endpoint: &str) -> Self {
        Self { app_mesh: Some(endpoint.to_owned()), ..self }
    }

    /// Whether the SDK's variables name a region, without which no request can be signed.
    #[must_use]
    pub fn has_region(&self) -> bool {
        self.connection.config.region().is_some()
    }

    /// The settings of the App Mesh client.
    fn app_mesh_config(&self) -> aws_sdk_appmesh::config::Builder {
        let config = client_config!(aws_sdk_appmesh, &self.connection);
        match &self.app_mesh {
            Some(endpoint) => config.endpoint_url(endpoint),
            None => config,
        }
    }

    /// The adapter of the mesh ports.
    #[must_use]
    pub fn mesh(&self) -> AppMesh {
        AppMesh::new(aws_sdk_appmesh::Client::from_conf(self.app_mesh_config().build()))
    }

    /// The adapter of the mesh ports for a control plane that authenticates its callers with STS (`--api-auth sts`).
    /// `audience` is the control plane's `--auth-audience`. Without it, this is [`Aws::mesh`].
    #[must_use]
    pub fn mesh_known_to(&self, audience: Option<&str>) -> AppMesh {
        let (Some(audience), Some(region)) = (audience, self.connection.config.region()) else { return self.mesh() };
        let identity = PresentIdentity::new(audience, region.as_ref(), self.sts.as_deref());
        let config = self.app_mesh_config().push_auth_scheme(identity);
        AppMesh::new(aws_sdk_appmesh::Client::from_conf(config.build()))
    }

    /// The adapter of the alarm port.
    #[must_use]
    pub fn alarms(&self) -> CloudWatch {
        CloudWatch::new(client!(aws_sdk_cloudwatch, &self.connection))
    }

    /// The adapter of the port to the rules of AWS Config.
    #[cfg(feature = "config-rules")]
    #[must_use]
    pub fn config_rules(&self) -> Config {
        Config::new(Lazy::new(&self.connection, |connection| client!(aws_sdk_config, connection)))
    }

    /// The adapter of the port to the rules of AWS Config, in a build without its client: every call fails and names
    /// the feature.
    #[cfg(not(feature = "config-rules"))]
    #[must_use]
    pub fn config_rules(&self) -> NotBuilt {
        NotBuilt("config-rules")
    }

    /// The adapter of the port to the certificates that listeners name.
    #[cfg(feature = "certificates")]
    #[must_use]
    pub fn certificates(&self) -> Acm {
        Acm::new(client!(aws_sdk_acm, &self.connection))
    }

    /// The adapter of the port to the private CAs.
    #[cfg(feature = "certificates")]
    #[must_use]
    pub fn authorities(&self) -> PrivateCa {
        PrivateCa::new(client!(aws_sdk_acmpca, &self.connection))
    }

    /// The adapter of the port to the bundles that SDS serves.
    #[cfg(feature = "certificates")]
    #[must_use]
    pub fn bundles(&self) -> Secrets {
        Secrets::new(client!(aws_sdk_secretsmanager, &self.connection))
    }

    /// The adapter of the port to the instances of services.
    #[cfg(feature = "cloud-map")]
    #[must_use]
    pub fn instances(&self) -> CloudMap {
        CloudMap::new(&self.connection)
    }

    /// The adapter of the port to the instances of services, in a build without Cloud Map's client: every call fails
    /// and names the feature.
    #[cfg(not(feature = "cloud-map"))]
    #[must_use]
    pub fn instances(&self) -> NotBuilt {
        NotBuilt("cloud-map")
    }

    /// The adapter of the port to queues.
    #[cfg(feature = "queues")]
    #[must_use]
    pub fn queues(&self) -> Sqs {
        Sqs::new(client!(aws_sdk_sqs, &self.connection))
    }

    /// The adapter of the port to queues, in a build without its client: every call fails and names the feature.
    #[cfg(not(feature = "queues"))]
    #[must_use]
    pub fn queues(&self) -> NotBuilt {
        NotBuilt("queues")
    }

    /// The adapter of the port to Security Hub.
    #[cfg(feature = "security-hub")]
    #[must_use]
    pub fn security_hub(&self) -> FindingsImport {
        FindingsImport::new(Lazy::new(&self.connection, |connection| client!(aws_sdk_securityhub, connection)))
    }

    /// The adapter of the port to Security Hub, in a build without its client: every call fails and names the feature.
    #[cfg(not(feature = "security-hub"))]
    #[must_use]
    pub fn security_hub(&self) -> NotBuilt {
        NotBuilt("security-hub")
    }

    /// The adapter of the port that invokes Lambda functions.
    #[cfg(feature = "functions")]
    #[must_use]
    pub fn functions(&self) -> Functions {
        Functions::new(Lazy::new(&self.connection, |connection| {
            let config = client_config!(aws_sdk_lambda, connection).timeout_config(functions::timeouts());
            aws_sdk_lambda::Client::from_conf(config.build())
        }))
    }

    /// The adapter of the port that invokes Lambda functions, in a build without its client: every call fails and names
    /// the feature.
    #[cfg(not(feature = "functions"))]
    #[must_use]
    pub fn functions(&self) -> NotBuilt {
        NotBuilt("functions")
    }

    /// The adapter of the state port, with the table of this name.
    #[must_use]
    pub fn state(&self, table: &str) -> StateTable {
        let config = client_config!(aws_sdk_dynamodb, &self.connection).retry_classifier(state_table::RetryConflicts);
        StateTable::new(aws_sdk_dynamodb::Client::from_conf(config.build()), table)
    }

    /// The adapter of a table of items with this name.
    #[must_use]
    pub fn items(&self, table: &str) -> ItemTable {
        ItemTable::new(client!(aws_sdk_dynamodb, &self.connection), table)
    }

    /// The notifier for the topic with this ARN; without one, notices are only logged.
    #[must_use]
    pub fn notifier(&self, topic: Option<&str>) -> Arc<dyn Notifier> {
        match topic {
            Some(arn) => {
                Arc::new(Topic::new(Lazy::new(&self.connection, |connection| client!(aws_sdk_sns, connection)), arn))
            }
            None => Arc::new(Unset),
        }
    }

    /// The event bus with this name or ARN; without one, events are only logged.
    #[must_use]
    pub fn bus(&self, bus: Option<&str>) -> Arc<dyn EventBus> {
        match bus {
            Some(name) => Arc::new(Bus::new(
                Lazy::new(&self.connection, |connection| client!(aws_sdk_eventbridge, connection)),
                name,
            )),
            None => Arc::new(Unset),
        }
    }

    /// The event bus with this name or ARN, for the mesh writes that a control plane received.
    #[must_use]
    pub fn bus_of_mesh_writes(&self, bus: &str) -> Arc<dyn EventBus> {
        let client = Lazy::new(&self.connection, |connection| client!(aws_sdk_eventbridge, connection));
        Arc::new(Bus::new(client, bus).of_mesh_writes())
    }

    /// The report store at this location; without one, reports are not stored.
    #[must_use]
    pub fn reports(&self, place: Option<&ReportsLocation>) -> Arc<dyn ReportStore> {
        match place {
            Some(ReportsLocation::Folder(folder)) => Arc::new(ReportsFolder(folder.clone())),
            Some(ReportsLocation::S3 { bucket, prefix }) => Arc::new(ReportsBucket::new(
                Lazy::new(&self.connection, |connection| client!(aws_sdk_s3, connection)),
                bucket,
                prefix,
            )),
            None => Arc::new(Unset),
        }
    }

    /// The policy source at this location; `built_in` is the document that a function was built with.
    #[must_use]
    pub fn policy(&self, place: &PolicyLocation, built_in: &'static str) -> Box<dyn PolicySource> {
        match place {
            PolicyLocation::BuiltIn => Box::new(BuiltInPolicy(built_in)),
            PolicyLocation::File(path) => Box::new(PolicyFile(path.clone())),
            PolicyLocation::S3 { bucket, key } => Box::new(PolicyObject::new(
                Lazy::new(&self.connection, |connection| client!(aws_sdk_s3, connection)),
                bucket,
                key,
            )),
            #[cfg(not(feature = "ssm"))]
            PolicyLocation::Ssm { .. } => Box::new(NotBuilt("ssm")),
            #[cfg(feature = "ssm")]
            PolicyLocation::Ssm { parameter } => Box::new(PolicyParameter::new(
                Lazy::new(&self.connection, |connection| client!(aws_sdk_ssm, connection)),
                parameter,
            )),
        }
    }
}
