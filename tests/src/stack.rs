//! Runs the local services in place of AWS: the control plane in this process, and MiniStack as a child process.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use control_plane::xds::{XdsAuth, XdsListener, XdsSettings};
use control_plane::{ApiAuth, EventReceiver, Server, Settings};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::key_signature::{key_file, signed_headers};

/// The account of both services.
pub const ACCOUNT: &str = "123456789012";

/// The region of both services.
pub const REGION: &str = "eu-west-1";

/// The SDK configuration of clients for `endpoint`.
pub async fn sdk_config(endpoint: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .endpoint_url(endpoint)
        .region(Region::new(REGION))
        .credentials_provider(aws_sdk_dynamodb::config::Credentials::new(ACCOUNT, "secret", None, None, "tests"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(aws::retry_config())
        .load()
        .await
}

/// Creates the table with the keys of `infra/template.yaml`.
pub async fn create_state_table(client: &aws_sdk_dynamodb::Client, name: &str) {
    let key =
        |name: &str, kind: KeyType| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let text = |name: &str| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build().unwrap()
    };
    client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key("pk", KeyType::Hash))
        .key_schema(key("sk", KeyType::Range))
        .attribute_definitions(text("pk"))
        .attribute_definitions(text("sk"))
        .send()
        .await
        .unwrap();
}

/// All items of a state table.
pub async fn items(client: &aws_sdk_dynamodb::Client, name: &str) -> Vec<HashMap<String, AttributeValue>> {
    client.scan().table_name(name).send().await.unwrap().items.unwrap_or_default()
}

/// Moves the end of all leases into the past: they last longer than a test waits.
pub async fn let_leases_run_out(client: &aws_sdk_dynamodb::Client, name: &str) {
    for item in items(client, name).await {
        if item.contains_key("leaseUntil") {
            let past = AttributeValue::S("2026-01-01T00:00:00.000000000Z".to_owned());
            let update = client.update_item().table_name(name);
            let update = update.key("pk", item["pk"].clone()).key("sk", item["sk"].clone());
            let update = update.update_expression("SET leaseUntil = :past").expression_attribute_values(":past", past);
            update.send().await.unwrap();
        }
    }
}

/// Lets time pass for all items of a state table: moves each time in them into the past by `time`.
pub async fn let_time_pass(client: &aws_sdk_dynamodb::Client, name: &str, time: SignedDuration) {
    for item in items(client, name).await {
        let mut update = client.update_item().table_name(name);
        update = update.key("pk", item["pk"].clone()).key("sk", item["sk"].clone());
        let mut changes = Vec::new();
        for (number, (attribute, value)) in item.iter().enumerate() {
            let Some(text) = value.as_s().ok().filter(|_| attribute != "pk" && attribute != "sk") else { continue };
            let moved = earlier_text(text, time);
            if moved != *text {
                changes.push(format!("#a{number} = :v{number}"));
                update = update.expression_attribute_names(format!("#a{number}"), attribute);
                update = update.expression_attribute_values(format!(":v{number}"), AttributeValue::S(moved));
            }
        }
        if !changes.is_empty() {
            update.update_expression(format!("SET {}", changes.join(", "))).send().await.unwrap();
        }
    }
}

/// Moves times into the past: a text that is a time, or every time within a JSON text.
fn earlier_text(text: &str, time: SignedDuration) -> String {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return (instant - time).to_string();
    }
    let Ok(mut document) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    earlier(&mut document, time);
    document.to_string()
}

fn earlier(value: &mut Value, time: SignedDuration) {
    match value {
        Value::String(text) => {
            if let Ok(instant) = text.parse::<Timestamp>() {
                *text = (instant - time).to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| earlier(item, time)),
        Value::Object(members) => members.values_mut().for_each(|member| earlier(member, time)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A control plane on a free port, which dropping it ends.
#[derive(Debug)]
pub struct ControlPlane {
    /// The endpoint of the API.
    pub endpoint: String,
    http: reqwest::Client,
    /// The keys of a control plane that authenticates its callers; the first one signs [`Self::put`] and [`Self::get`].
    keys: Vec<String>,
    key_file: Option<PathBuf>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl ControlPlane {
    /// Starts a control plane without event receivers.
    pub async fn start() -> Self {
        Self::with_event_receivers(Vec::new()).await
    }

    /// Starts a control plane that sends its changes to these receivers.
    pub async fn with_event_receivers(events: Vec<EventReceiver>) -> Self {
        Self::with_settings(events, ApiAuth::Loopback).await
    }

    /// Starts a control plane that accepts requests signed by these keys only.
    pub async fn with_keys(ids: &[&str]) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("meshwarden-keys-{}-{number}.json", std::process::id()));
        std::fs::write(&file, key_file(ids)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut plane = Self::with_settings(Vec::new(), ApiAuth::Keys(file.clone())).await;
        plane.keys = ids.iter().map(|id| (*id).to_owned()).collect();
        plane.key_file = Some(file);
        plane
    }

    async fn with_settings(events: Vec<EventReceiver>, api_auth: ApiAuth) -> Self {
        let region = control_plane::state::Region::parse(REGION).unwrap();
        let listener = XdsListener { address: "127.0.0.1:0".parse().unwrap(), auth: XdsAuth::None };
        // The control plane builds the xDS model of a mesh only while it serves xDS.
        let xds = XdsSettings { listen: vec![listener], ..XdsSettings::default() };
        let settings = Settings { events, xds, api_auth, ..Settings::new(ACCOUNT.parse().unwrap(), region) };
        let server = Server::bind(settings).await.unwrap();
        let endpoint = server.endpoint();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            server.serve(async move { drop(stopped.await) }).await.unwrap();
        });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { endpoint, http, keys: Vec::new(), key_file: None, stop: Some(stop), serving }
    }

    /// Creates or replaces a resource, by its path.
    pub async fn put(&self, path: &str, body: &Value) {
        drop(self.send(reqwest::Method::PUT, path, body.to_string(), self.keys.first().map(String::as_str)).await);
    }

    /// Creates or replaces a resource as the owner of this key.
    pub async fn put_as(&self, key: &str, path: &str, body: &Value) {
        drop(self.send(reqwest::Method::PUT, path, body.to_string(), Some(key)).await);
    }

    /// Reads a resource, by its path.
    pub async fn get(&self, path: &str) -> Value {
        self.send(reqwest::Method::GET, path, String::new(), self.keys.first().map(String::as_str)).await
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: String, key: Option<&str>) -> Value {
        let url = format!("{}{path}", self.endpoint);
        let signed = key.map(|key| signed_headers(key, REGION, method.as_str(), &url, body.as_bytes()));
        let mut request = self.http.request(method, url).header("content-type", "application/json").body(body);
        for (name, value) in signed.into_iter().flatten() {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.serving.abort();
        if let Some(file) = &self.key_file {
            drop(std::fs::remove_file(file));
        }
    }
}

/// A MiniStack process on a free port, which dropping it ends.
#[derive(Debug)]
pub struct MiniStack {
    /// The endpoint of MiniStack.
    pub endpoint: String,
    child: Child,
    scratch: PathBuf,
}

/// The maximum time until MiniStack responds. It takes a second; a cold disk takes some more.
const READY_WITHIN: Duration = Duration::from_secs(90);

impl MiniStack {
    /// Starts MiniStack. `None`, with the reason printed, if it is not installed.
    pub async fn start() -> Option<Self> {
        // The tests of one process have a folder each.
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let python = root.join(".local/venv/bin/python");
        if !python.is_file() {
            println!("skipped: {} does not exist; `cargo xtask setup` installs it", python.display());
            return None;
        }
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let scratch = std::env::temp_dir().join(format!("meshwarden-contract-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&scratch).unwrap();
        let mut child = Command::new(python)
            .arg(root.join("infra/dev/local/ministack_server.py"))
            .current_dir(&scratch)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("MINISTACK_HOST", "127.0.0.1")
            .env("MINISTACK_ACCOUNT_ID", ACCOUNT)
            .env("MINISTACK_REGION", REGION)
            .env("TMPDIR", &scratch)
            .env("STATE_DIR", scratch.join("state"))
            .env("S3_DATA_DIR", scratch.join("s3"))
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stack = Self { endpoint: bound_endpoint(&mut child), child, scratch };
        let ready = format!("{}/_ministack/ready", stack.endpoint);
        let give_up = Instant::now() + READY_WITHIN;
        while !answers(&ready).await {
            assert_eq!(stack.child.try_wait().unwrap(), None, "MiniStack ended before it was ready");
            assert!(Instant::now() < give_up, "MiniStack does not respond");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(stack)
    }
}

impl MiniStack {
    /// The variables of its services' endpoints: one for each, so that a test can replace one.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, &str); 6] {
        let variables = [
            "AWS_ENDPOINT_URL_DYNAMODB",
            "AWS_ENDPOINT_URL_SNS",
            "AWS_ENDPOINT_URL_EVENTBRIDGE",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL_SSM",
            "AWS_ENDPOINT_URL_CLOUDWATCH",
        ];
        variables.map(|variable| (variable, self.endpoint.as_str()))
    }

    /// Stores a policy at the locations of the template's parameters, `s3://rules/policy.yaml` and
    /// `ssm:/meshwarden/policy`. Also creates the bucket `reports`.
    pub async fn store_policy(&self, policy: &str) {
        let config = sdk_config(&self.endpoint).await;
        let buckets = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        let buckets = aws_sdk_s3::Client::from_conf(buckets);
        for bucket in ["rules", "reports"] {
            let place = aws_sdk_s3::types::BucketLocationConstraint::EuWest1;
            let place = aws_sdk_s3::types::CreateBucketConfiguration::builder().location_constraint(place).build();
            // A bucket that already exists is sufficient.
            drop(buckets.create_bucket().bucket(bucket).create_bucket_configuration(place).send().await);
        }
        let body = aws_sdk_s3::primitives::ByteStream::from(policy.as_bytes().to_vec());
        buckets.put_object().bucket("rules").key("policy.yaml").body(body).send().await.unwrap();
        let parameters = aws_sdk_ssm::Client::new(&config).put_parameter().name("/meshwarden/policy").value(policy);
        let text = aws_sdk_ssm::types::ParameterType::String;
        parameters.r#type(text).overwrite(true).send().await.unwrap();
    }

    /// Creates a state table with this name.
    pub async fn create_table(&self, name: &str) {
        create_state_table(&aws_sdk_dynamodb::Client::new(&sdk_config(&self.endpoint).await), name).await;
    }
}

/// The endpoint that a server of `infra/dev/local` prints after it has bound a free port.
pub(crate) fn bound_endpoint(server: &mut Child) -> String {
    let mut output = BufReader::new(server.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let endpoint = format!("http://{}", line.trim_end().strip_prefix("listening ").unwrap());
    // A full pipe would block the server. This thread ends with it.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    endpoint
}

async fn answers(url: &str) -> bool {
    match reqwest::get(url).await {
        Ok(answer) => answer.text().await.is_ok_and(|text| text.contains("completed")),
        Err(_) => false,
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        // An error means that the process has already ended.
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.scratch));
    }
}
