//! The contract of the ports, with the in-memory ports and with the real SDKs.

use aws::Aws;
use meshwarden_tests::contract::{alarms, config_rules, instances, mesh, security_hub, state, state_races};
use meshwarden_tests::moto::Moto;
use meshwarden_tests::stack::{ControlPlane, MiniStack, create_state_table, sdk_config};
use meshwarden_tests::way::Way;
use ports::{BusEvent, Notice, PolicyLocation, PortErrorKind, ReportsLocation, Urgency};
use ports_memory::{
    Faults, MemoryAlarms, MemoryConfigRules, MemoryInstances, MemoryMesh, MemorySecurityHub, MemoryState,
};
use serde_json::json;

const TABLE: &str = "meshwarden";

#[tokio::test]
async fn meshes_in_memory() {
    mesh::all(&mesh::MeshInMemory(MemoryMesh::new(Faults::default()))).await;
}

#[tokio::test]
async fn meshes_over_the_api() {
    let plane = ControlPlane::start().await;
    let aws = Aws::with_config(sdk_config(&plane.endpoint).await);
    mesh::all(&mesh::MeshOverApi { mesh: aws.mesh(), endpoint: plane.endpoint.clone() }).await;
}

#[tokio::test]
async fn state_in_memory() {
    let store = MemoryState::new(Faults::default());
    state::all(&store).await;
    state_races::all(&store).await;
}

#[tokio::test]
async fn state_over_the_api() {
    let Some(stack) = MiniStack::start().await else { return };
    let config = sdk_config(&stack.endpoint).await;
    create_state_table(&aws_sdk_dynamodb::Client::new(&config), TABLE).await;
    let store = Aws::with_config(config).state(TABLE);
    state::all(&store).await;
    state_races::all(&store).await;
}

#[tokio::test]
async fn alarms_in_memory() {
    alarms::all(&MemoryAlarms::new(Faults::default())).await;
}

#[tokio::test]
async fn alarms_over_the_api() {
    let Some(stack) = MiniStack::start().await else { return };
    let config = sdk_config(&stack.endpoint).await;
    let client = aws_sdk_cloudwatch::Client::new(&config);
    alarms::all(&alarms::AlarmsOverApi { alarms: Aws::with_config(config).alarms(), client }).await;
}

#[tokio::test]
async fn instances_in_memory() {
    instances::all(&MemoryInstances::new(Faults::default())).await;
}

#[tokio::test]
async fn instances_over_the_api() {
    let Some(moto) = Moto::start().await else { return };
    let config = sdk_config(&moto.endpoint).await;
    let client = aws_sdk_servicediscovery::Client::new(&config);
    instances::all(&instances::InstancesOverApi { directory: Aws::with_config(config).instances(), client }).await;
}

#[tokio::test]
async fn config_rules_in_memory() {
    config_rules::all(&MemoryConfigRules::new(Faults::default())).await;
}

#[tokio::test]
async fn config_rules_on_moto() {
    let Some(moto) = Moto::start().await else { return };
    config_rules::all(&Aws::with_config(sdk_config(&moto.endpoint).await).config_rules()).await;
}

#[tokio::test]
async fn security_hub_in_memory() {
    security_hub::all(&security_hub::SecurityHubInMemory(MemorySecurityHub::new(Faults::default()))).await;
}

#[tokio::test]
async fn security_hub_on_moto() {
    let Some(moto) = Moto::start().await else { return };
    let way = Way::to(&[("AWS_ENDPOINT_URL_SECURITYHUB", &moto.endpoint)]).await;
    let aws = Aws::with_config(sdk_config(&way.variables()[0].1).await);
    security_hub::all(&security_hub::SecurityHubOnMoto { hub: aws.security_hub(), endpoint: moto.endpoint.clone() })
        .await;
    // moto accepts any number of findings in one request; AWS accepts a hundred.
    let passed = way.passed();
    let imports = passed.iter().filter(|passed| passed.operation == "POST /findings/import");
    let counts: Vec<usize> = imports
        .map(|passed| serde_json::from_str::<serde_json::Value>(&passed.body).unwrap())
        .map(|body| body["Findings"].as_array().unwrap().len())
        .collect();
    assert!(counts.len() > 6 && counts.iter().all(|count| (1..=100).contains(count)), "{counts:?}");
}

#[tokio::test]
async fn notices_events_reports_and_policies_over_the_api() {
    let Some(stack) = MiniStack::start().await else { return };
    let config = sdk_config(&stack.endpoint).await;
    let aws = Aws::with_config(config.clone());

    let topic = aws_sdk_sns::Client::new(&config).create_topic().name("mesh").send().await.unwrap().topic_arn.unwrap();
    let notice =
        Notice { urgency: Urgency::Page, subject: "recommendations-v2 is drained".into(), body: "all of it".into() };
    aws.notifier(Some(&topic)).notify(&notice).await.unwrap();
    let nowhere = aws.notifier(Some(&topic.replace("mesh", "nowhere"))).notify(&notice).await.unwrap_err();
    assert_eq!(nowhere.kind, PortErrorKind::NotFound, "{nowhere}");

    let event = BusEvent { detail_type: "Meshwarden Decision".into(), detail: json!({}), resources: Vec::new() };
    aws.bus(Some("default")).put(&vec![event; 11]).await.unwrap();

    aws_sdk_s3::Client::new(&config)
        .create_bucket()
        .bucket("reports")
        .create_bucket_configuration(
            aws_sdk_s3::types::CreateBucketConfiguration::builder()
                .location_constraint(aws_sdk_s3::types::BucketLocationConstraint::EuWest1)
                .build(),
        )
        .send()
        .await
        .unwrap();
    let place = ReportsLocation::S3 { bucket: "reports".into(), prefix: "mesh/".into() };
    let stored = aws.reports(Some(&place)).put("2026/policy.yaml", b"version: 1").await.unwrap();
    assert_eq!(stored, "s3://reports/mesh/2026/policy.yaml");
    let object = |key: &str| aws.policy(&PolicyLocation::S3 { bucket: "reports".into(), key: key.into() }, "");
    assert_eq!(object("mesh/2026/policy.yaml").read().await.unwrap(), "version: 1");
    assert_eq!(object("mesh/none").read().await.unwrap_err().kind, PortErrorKind::NotFound);

    let put = aws_sdk_ssm::Client::new(&config).put_parameter().name("/meshwarden/policy").value("version: 2");
    put.r#type(aws_sdk_ssm::types::ParameterType::SecureString).send().await.unwrap();
    let parameter = |name: &str| aws.policy(&PolicyLocation::Ssm { parameter: name.into() }, "");
    assert_eq!(parameter("/meshwarden/policy").read().await.unwrap(), "version: 2");
    assert_eq!(parameter("/meshwarden/none").read().await.unwrap_err().kind, PortErrorKind::NotFound);
}
