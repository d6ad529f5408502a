//! Two virtual nodes and their certificates. Each case has a separate control plane and mesh; all cases share moto and
//! `MiniStack`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use aws_config::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use mesh::certificates::{Certificate, Chain};
use meshwarden_tests::function::Build;
use meshwarden_tests::moto::{Issued, Moto, PrivateRoot};
use meshwarden_tests::stack::{
    ControlPlane, MiniStack, create_state_table, items, let_leases_run_out, let_time_pass, sdk_config,
};
use meshwarden_tests::way::Way;
use ports::certificates::Bundle;
use serde_json::{Value, json};

use crate::chain::days;

pub(crate) const HOST: &str = "orders.shop.local";
const DAY: SignedDuration = SignedDuration::from_hours(24);
const MESH: &str = "/v20190125/meshes/shop";

/// The services that all cases share.
pub(crate) struct Theatre {
    moto: Moto,
    stack: MiniStack,
    /// The clients of moto.
    keeping: SdkConfig,
    /// The clients of `MiniStack`.
    state: SdkConfig,
    topic: String,
    pub(crate) root: PrivateRoot,
    /// A CA that is unrelated to the mesh.
    pub(crate) other: PrivateRoot,
}

impl Theatre {
    /// `None`, with the reason printed, if moto or `MiniStack` is not installed.
    pub(crate) async fn open() -> Option<Self> {
        let (moto, stack) = (Moto::start().await?, MiniStack::start().await?);
        let (keeping, state) = (sdk_config(&moto.endpoint).await, sdk_config(&stack.endpoint).await);
        let topic = aws_sdk_sns::Client::new(&state).create_topic().name("notices").send().await.unwrap();
        let authorities = aws_sdk_acmpca::Client::new(&keeping);
        let root = PrivateRoot::make(&authorities, "shop").await;
        let other = PrivateRoot::make(&authorities, "another").await;
        Some(Self { moto, stack, keeping, state, topic: topic.topic_arn.unwrap(), root, other })
    }
}

impl Theatre {
    /// The local AWS services except the stores of certificates.
    pub(crate) fn stack(&self) -> &MiniStack {
        &self.stack
    }

    /// The stores of certificates.
    pub(crate) fn moto(&self) -> &Moto {
        &self.moto
    }
}

/// The store of the certificate of `orders`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Imported into ACM, without a stored key.
    Imported,
    /// Imported into ACM, with its key in a secret.
    ImportedWithKey,
    /// In a secret only.
    Secret,
}

/// The fixture of one case. It shares nothing that a run can change.
pub(crate) struct Stage<'a> {
    theatre: &'a Theatre,
    plane: ControlPlane,
    pub(crate) way: Way,
    name: String,
    policy: PathBuf,
    /// The ARN of the certificate in ACM.
    pub(crate) arn: String,
    /// The bundle at the beginning.
    pub(crate) first: Issued,
}

impl<'a> Stage<'a> {
    /// A certificate of a hundred days with thirty days left. `name` makes its table and secret unique.
    pub(crate) async fn set(theatre: &'a Theatre, name: &str, kept: Kept) -> Self {
        Self::set_with(theatre, name, kept, DAY * 70).await
    }

    /// A certificate of a hundred days with this age.
    pub(crate) async fn set_with(theatre: &'a Theatre, name: &str, kept: Kept, age: SignedDuration) -> Self {
        Self::set_before(theatre, name, kept, age, &theatre.moto.endpoint).await
    }

    /// The same fixture with another ACM endpoint than moto's.
    pub(crate) async fn set_before(
        theatre: &'a Theatre,
        name: &str,
        kept: Kept,
        age: SignedDuration,
        acm: &str,
    ) -> Self {
        let plane = ControlPlane::start().await;
        let mut services = theatre.stack.variables().to_vec();
        services.extend([
            ("AWS_ENDPOINT_URL_APP_MESH", plane.endpoint.as_str()),
            ("AWS_ENDPOINT_URL_ACM", acm),
            ("AWS_ENDPOINT_URL_ACM_PCA", &theatre.moto.endpoint),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &theatre.moto.endpoint),
        ]);
        let way = Way::to(&services).await;
        let policy = std::env::temp_dir().join(format!("meshwarden-{}-{name}.yaml", std::process::id()));
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let first = theatre.root.issue(HOST, now - age, now - age + DAY * 100).await;
        let mut stage = Self { theatre, plane, way, name: name.to_owned(), policy, arn: String::new(), first };
        stage.arn = stage.import().await;
        stage.create_secret().await;
        stage.write_policy(kept, "");
        stage.build_mesh(kept).await;
        create_state_table(&stage.table(), name).await;
        stage
    }

    /// Creates or replaces a resource of the mesh `shop`, by its path below the mesh.
    pub(crate) async fn put(&self, below: &str, body: &Value) {
        self.plane.put(&format!("{MESH}/{below}"), body).await;
    }

    async fn import(&self) -> String {
        let import = self.acm().import_certificate();
        let import = import.certificate(aws_sdk_acm::primitives::Blob::new(self.first.certificate.as_str()));
        let import = import.private_key(aws_sdk_acm::primitives::Blob::new(self.first.key.pem()));
        let root = self.theatre.root.certificate.as_str();
        let import = import.certificate_chain(aws_sdk_acm::primitives::Blob::new(root));
        import.send().await.unwrap().certificate_arn.unwrap()
    }

    async fn create_secret(&self) {
        let chain = ports::certificates::Chain {
            leaf: self.first.certificate.clone(),
            issuers: self.theatre.root.certificate.clone(),
        };
        let bundle = Bundle { chain: Some(chain), key: Some(self.first.key.clone()), request: None, trust: None };
        let create = self.secrets().create_secret().name(&self.name).secret_string(bundle.text().as_str());
        create.send().await.unwrap();
    }

    /// Writes a policy that declares the proxies absent: a rotation that waits for proxies is in the demo.
    pub(crate) fn write_policy(&self, kept: Kept, more: &str) {
        let root = &self.theatre.root.arn;
        let section = match kept {
            Kept::Imported => String::new(),
            Kept::ImportedWithKey => format!("imported: [{{certificate: '{}', secret: {}}}]", self.arn, self.name),
            Kept::Secret => format!("bundles: [{{secretName: key, secret: {}, authority: '{root}'}}]", self.name),
        };
        let absent = "[mesh/shop/virtualNode/web, mesh/shop/virtualNode/orders]";
        let text = format!(
            "version: 1\nmodes: {{default: enforce}}\ncertificates:\n  rollover: {{absent: {absent}}}\n  {section}\n{more}"
        );
        std::fs::write(&self.policy, text).unwrap();
    }

    /// Writes another policy.
    pub(crate) fn write_policy_text(&self, text: &str) {
        std::fs::write(&self.policy, text).unwrap();
    }

    /// The secret of the bundle.
    pub(crate) fn secret(&self) -> &str {
        &self.name
    }

    async fn build_mesh(&self, kept: Kept) {
        let certificate = match kept {
            Kept::Imported | Kept::ImportedWithKey => json!({ "acm": { "certificateArn": self.arn } }),
            Kept::Secret => json!({ "sds": { "secretName": "key" } }),
        };
        let trust = json!({ "acm": { "certificateAuthorityArns": [self.theatre.root.arn.as_str()] } });
        let backend = json!({ "virtualService": { "virtualServiceName": HOST, "clientPolicy": { "tls": {
            "enforce": true, "validation": { "trust": trust } } } } });
        let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" },
            "tls": { "mode": "STRICT", "certificate": certificate } });
        let discovery = json!({ "dns": { "hostname": HOST } });
        self.plane.put("/v20190125/meshes", &json!({ "meshName": "shop" })).await;
        for (name, spec) in [
            ("orders", json!({ "listeners": [listener], "serviceDiscovery": discovery })),
            ("web", json!({ "backends": [backend] })),
        ] {
            self.plane.put(&format!("{MESH}/virtualNodes"), &json!({ "virtualNodeName": name, "spec": spec })).await;
        }
        let provider = json!({ "provider": { "virtualNode": { "virtualNodeName": "orders" } } });
        let service = json!({ "virtualServiceName": HOST, "spec": provider });
        self.plane.put(&format!("{MESH}/virtualServices"), &service).await;
    }

    pub(crate) fn build(&self) -> Build {
        Build::new("certificate-rotation", env!("CARGO_BIN_EXE_certificate-rotation"))
            .calls(&self.way)
            .with("MESHWARDEN_POLICY", self.policy.to_string_lossy())
            .with("MESHWARDEN_TABLE", &self.name)
            .with("MESHWARDEN_TOPIC", &self.theatre.topic)
            .with("MESHWARDEN_BUS", "default")
    }

    /// Stores a version of the secret with these labels, as an operator or another controller may.
    pub(crate) async fn put_version(&self, bundle: &Bundle, labels: &[&str]) -> String {
        let put = self.secrets().put_secret_value().secret_id(&self.name).secret_string(bundle.text().as_str());
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        put.set_version_stages(Some(labels)).send().await.unwrap().version_id.unwrap()
    }

    /// Moves the current version, as a roll-back does.
    pub(crate) async fn move_current(&self, from: &str, to: &str) {
        let update = self.secrets().update_secret_version_stage().secret_id(&self.name).version_stage("AWSCURRENT");
        update.remove_from_version_id(from).move_to_version_id(to).send().await.unwrap();
    }

    /// Releases the certificate as the command does.
    pub(crate) async fn release(&self) {
        let now = Timestamp::now();
        for item in items(&self.table(), &self.name).await {
            let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
            if text("pk") != "certificate/sds:key" || text("sk") != "document" {
                continue;
            }
            let document = serde_json::from_str(&text("document")).unwrap();
            let key = ports::StateKey::certificate("sds:key");
            let record: decisions::rotation::RotationRecord = records::read_record(&key, &document).unwrap();
            let released = serde_json::to_string(&record.released(now).unwrap()).unwrap();
            let update = self.table().update_item().table_name(&self.name);
            let update = update.key("pk", item["pk"].clone()).key("sk", item["sk"].clone());
            let update = update.update_expression("SET document = :released");
            let released = aws_sdk_dynamodb::types::AttributeValue::S(released);
            update.expression_attribute_values(":released", released).send().await.unwrap();
        }
    }

    /// A bundle of a leaf of this validity.
    pub(crate) async fn bundle(&self, by: &PrivateRoot, from: Timestamp, until: Timestamp) -> Bundle {
        let issued = by.issue(HOST, from, until).await;
        let chain = ports::certificates::Chain { leaf: issued.certificate, issuers: by.certificate.clone() };
        Bundle { chain: Some(chain), key: Some(issued.key), request: None, trust: None }
    }

    /// The leaf that proxies are served.
    pub(crate) async fn served(&self) -> Certificate {
        let (_, bundle) = self.at("AWSCURRENT").await.unwrap();
        Chain::read(&bundle.chain.unwrap().leaf).unwrap().leaf
    }

    /// The event that ACM sends each day for 45 days.
    pub(crate) fn event(&self) -> Value {
        let mut event = sample("acm-approaching-expiration");
        event["resources"] = json!([self.arn]);
        event
    }

    pub(crate) async fn let_leases_run_out(&self) {
        let_leases_run_out(&self.table(), &self.name).await;
    }

    pub(crate) async fn let_time_pass(&self, time: SignedDuration) {
        let_time_pass(&self.table(), &self.name, time).await;
    }

    /// The certificate and its issuers, as ACM returns them.
    pub(crate) async fn in_acm(&self) -> String {
        let got = self.acm().get_certificate().certificate_arn(&self.arn).send().await.unwrap();
        format!("{}\n{}", got.certificate.unwrap().trim_end(), got.certificate_chain.unwrap_or_default())
    }

    /// The host names of the certificate in ACM.
    pub(crate) async fn names(&self) -> Vec<String> {
        let described = self.acm().describe_certificate().certificate_arn(&self.arn).send().await.unwrap();
        described.certificate.unwrap().subject_alternative_names.unwrap_or_default()
    }

    /// A stage of the secret: its version and its bundle.
    pub(crate) async fn at(&self, stage: &str) -> Option<(String, Bundle)> {
        let got = self.secrets().get_secret_value().secret_id(&self.name).version_stage(stage).send().await.ok()?;
        Some((got.version_id.unwrap(), Bundle::parse(&got.secret_string.unwrap()).unwrap()))
    }

    /// The labels of each version.
    pub(crate) async fn labels(&self) -> BTreeMap<String, Vec<String>> {
        let described = self.secrets().describe_secret().secret_id(&self.name).send().await.unwrap();
        let mut labels: BTreeMap<String, Vec<String>> =
            described.version_ids_to_stages.unwrap_or_default().into_iter().collect();
        for of_version in labels.values_mut() {
            of_version.sort();
        }
        labels
    }

    /// The number of issued certificates. A repeated order has the same token and leads to the same certificate. An order
    /// without an answer counts only if no other order of its token was answered: its caller did not wait, and repeated it.
    pub(crate) fn issued(&self) -> usize {
        let orders = self.way.passed().into_iter().filter(|passed| passed.operation == "IssueCertificate");
        let mut by_token: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for order in orders {
            let body: Value = serde_json::from_str(&order.body).unwrap();
            let certificates = by_token.entry(body["IdempotencyToken"].to_string()).or_default();
            certificates.extend(Some(order.answer).filter(|answer| !answer.is_empty()));
        }
        by_token.values().map(|certificates| certificates.len().max(1)).sum()
    }

    /// The end state of a run, without random values and times.
    pub(crate) async fn world(&self) -> BTreeMap<String, Value> {
        let orders = self.plane.get(&format!("{MESH}/virtualNodes/orders")).await;
        let leaf = |text: &str| Chain::read(text).unwrap().leaf;
        let summary = |of: Certificate| json!({ "names": of.names.all(), "issuer": of.issuer, "days": days(&of), "new": of.public_key != leaf(&self.first.certificate).public_key });
        let spec = orders["spec"].to_string().replace(&self.arn, "ARN");
        let mut world = BTreeMap::from([
            ("orders".to_owned(), json!([spec, orders["metadata"]["version"]])),
            ("acm".to_owned(), summary(leaf(&self.in_acm().await))),
        ]);
        for stage in ["AWSCURRENT", "AWSPREVIOUS"] {
            let held = self.at(stage).await.and_then(|(_, bundle)| bundle.chain);
            world.insert(stage.to_owned(), held.map_or(Value::Null, |chain| summary(leaf(&chain.leaf))));
        }
        let pending = self.labels().await.into_values().filter(|labels| *labels == ["AWSPENDING"]).count();
        world.insert("pending alone".to_owned(), json!(pending));
        for item in items(&self.table(), &self.name).await {
            let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
            if text("sk") == "document" {
                let document: Value = serde_json::from_str(&text("document")).unwrap();
                let subject = text("pk").replace(&self.arn, "ARN");
                let failures = document.get("failures").cloned().unwrap_or_default();
                world.insert(format!("{subject} failed"), failures);
                world.insert(format!("{subject} leased"), json!(item.contains_key("holder")));
            }
        }
        world
    }

    /// All entries of the state table except the times of the journal, to detect the effects of a run.
    pub(crate) async fn state(&self) -> Vec<String> {
        let items = items(&self.table(), &self.name).await;
        let mut all: Vec<String> =
            items.iter().map(|item| format!("{:?}", item.iter().collect::<BTreeMap<_, _>>())).collect();
        all.sort();
        all
    }

    fn table(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.theatre.state)
    }

    fn acm(&self) -> aws_sdk_acm::Client {
        aws_sdk_acm::Client::new(&self.theatre.keeping)
    }

    fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        aws_sdk_secretsmanager::Client::new(&self.theatre.keeping)
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.policy));
    }
}

/// A sample event of the repository.
pub(crate) fn sample(name: &str) -> Value {
    meshwarden_tests::function::sample("certificate-rotation", name)
}
