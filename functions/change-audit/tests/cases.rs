//! Writes as CloudTrail records them in practice: without request parameters, by every kind of caller, and cut off in a
//! queue.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use meshwarden_tests::disturbed::Scene as _;
use meshwarden_tests::function::sample;
use meshwarden_tests::mixed_batch;
use meshwarden_tests::shop_scene::{ShopScene, Shops};
use serde_json::{Value, json};

/// The event of an update of `cart-v1` to this version.
fn update(version: u64) -> Value {
    let text = sample("change-audit", "cloudtrail-update-virtual-node").to_string();
    let mut event: Value = serde_json::from_str(&text.replace("recs-v1", "cart-v1")).unwrap();
    let detail = &mut event["detail"];
    detail["responseElements"]["virtualNode"]["metadata"]["version"] = json!(version);
    detail["responseElements"]["virtualNode"]["metadata"].as_object_mut().unwrap().remove("uid");
    detail["eventTime"] = json!(jiff::Timestamp::now().round(jiff::Unit::Second).unwrap());
    detail["eventID"] = json!(format!("update {version}"));
    event
}

async fn change(scene: &ShopScene, version: u64) {
    let listener = json!({ "portMapping": { "port": 8000 + version, "protocol": "http" } });
    let discovery = json!({ "dns": { "hostname": "cart-v1.shop.local" } });
    let spec = json!({ "listeners": [listener], "serviceDiscovery": discovery });
    scene.put("virtualNodes/cart-v1", &json!({ "spec": spec })).await;
}

/// 44 and 60: the notice names the writer, regardless of the members that CloudTrail omits.
#[tokio::test]
async fn writer_is_named_without_optional_members() {
    let Some(shops) = Shops::open("change-audit", env!("CARGO_BIN_EXE_change-audit"), "tick-rule").await else {
        return;
    };
    let account = "123456789012";
    let role = json!({ "type": "AssumedRole", "principalId": "AROAX:ann@example.com",
        "arn": format!("arn:aws:sts::{account}:assumed-role/AWSReservedSSO_Admin_1/ann@example.com") });
    for (number, (identity, request, by)) in [
        (role, json!(null), "ann@example.com in role AWSReservedSSO_Admin_1"),
        (json!({ "type": "Root", "accountId": account, "principalId": account }), json!(null), "root user"),
        (
            json!({ "type": "AWSService", "invokedBy": "cloudformation.amazonaws.com" }),
            json!({}),
            "the service cloudformation.amazonaws.com",
        ),
        (json!({ "type": "IdentityCenterUser", "principalId": "92f-1" }), json!(null), "user 92f-1"),
        (
            json!({ "type": "AWSAccount", "accountId": "210987654321", "principalId": "AROAEXTERNAL:deploy" }),
            json!(null),
            "principal AROAEXTERNAL:deploy of another account",
        ),
        (json!({ "type": "WebIdentityUser", "userName": "runner" }), json!(null), "federated user runner"),
        (json!({ "type": "Unknown" }), json!(null), "an unknown caller"),
    ]
    .into_iter()
    .enumerate()
    {
        let scene = shops.set(&format!("identity-{number}")).await;
        let mut function = scene.build().start().await;
        function.answer(&scene.event()).await.unwrap();
        change(&scene, 2).await;
        let mut event = update(2);
        event["detail"]["userIdentity"] = identity;
        event["detail"]["requestParameters"] = request;
        let answer = function.answer(&event).await.unwrap();
        let line = &answer["decisions"][0];
        assert_eq!(
            (&line["reason"], &line["resource"]),
            (&json!("Written"), &json!("mesh/shop/virtualNode/cart-v1")),
            "{answer:#}"
        );
        let sent: Vec<String> = scene.way().passed().into_iter().map(|passed| passed.body).collect();
        let is_named = sent.iter().any(|body| body.replace('+', " ").replace("%40", "@").contains(by));
        assert!(is_named, "{by}: {answer:#}");
    }
}

/// 61: a truncated message is delivered again, and the other message of its batch is audited.
#[tokio::test]
async fn only_the_truncated_message_is_delivered_again() {
    let Some(shops) = Shops::open("change-audit", env!("CARGO_BIN_EXE_change-audit"), "tick-rule").await else {
        return;
    };
    for (number, cut) in ["{\"version\": \"0\", \"detail-type\": \"AWS API Call via Clo", "", "hello world", "[1,"]
        .into_iter()
        .enumerate()
    {
        let scene = shops.set(&format!("cut-{number}")).await;
        let mut function = scene.build().start().await;
        function.answer(&scene.event()).await.unwrap();
        change(&scene, 2).await;
        let record = |id: &str, body: &str| json!({ "messageId": id, "body": body, "eventSource": "aws:sqs" });
        let batch = json!({ "Records": [record("cut", cut), record("good", &update(2).to_string())] });
        let answer = function.answer(&batch).await.unwrap();
        assert_eq!(answer["batchItemFailures"], json!([{ "itemIdentifier": "cut" }]), "{cut}: {answer:#}");
        let subjects = scene.way().subjects();
        assert!(subjects.iter().any(|subject| subject.contains("cart-v1")), "{cut}: {subjects:?}");
    }
}

/// 50: if one mesh of a batch fails, only its message is delivered again.
#[tokio::test]
async fn only_the_message_of_the_failing_mesh_is_delivered_again() {
    let Some(shops) = Shops::open("change-audit", env!("CARGO_BIN_EXE_change-audit"), "tick-rule").await else {
        return;
    };
    for fault in mixed_batch::FAULTS {
        let scene = shops.set(&format!("mixed-batch-{fault:?}").to_lowercase()).await;
        let mut function = scene.build().start().await;
        function.answer(&scene.event()).await.unwrap();
        change(&scene, 2).await;
        let of_mesh = |mesh: &str| {
            let event = update(2).to_string().replace("mesh/shop", &format!("mesh/{mesh}"));
            serde_json::from_str(&event.replace("\"shop\"", &format!("\"{mesh}\""))).unwrap()
        };
        mixed_batch::check(&mut function, scene.way(), fault, of_mesh).await;
        let subjects = scene.way().subjects();
        assert!(subjects.iter().any(|subject| subject.contains("cart-v1")), "{fault:?}: {subjects:?}");
    }
}

/// Events about another account's mesh of the same name do not concern the local mesh. No message is delivered again.
#[tokio::test]
async fn write_to_the_mesh_of_another_owner_is_accepted_and_reported() {
    let Some(shops) = Shops::open("change-audit", env!("CARGO_BIN_EXE_change-audit"), "tick-rule").await else {
        return;
    };
    for (number, by_queue) in [true, false].into_iter().enumerate() {
        let scene = shops.set(&format!("other-owner-{number}")).await;
        let mut function = scene.build().start().await;
        function.answer(&scene.event()).await.unwrap();
        let mut event = update(7);
        let metadata = &mut event["detail"]["responseElements"]["virtualNode"]["metadata"];
        metadata["meshOwner"] = json!("210987654321");
        if let Some(parameters) = event["detail"]["requestParameters"].as_object_mut() {
            parameters.insert("meshOwner".to_owned(), json!("210987654321"));
        }
        let record = json!({ "messageId": "m", "body": event.to_string(), "eventSource": "aws:sqs" });
        let event = if by_queue { json!({ "Records": [record] }) } else { event };
        for _ in 0..3 {
            let answer = function.answer(&event).await.unwrap_or_else(|error| panic!("{error:#}"));
            if by_queue {
                assert_eq!(answer["batchItemFailures"], json!([]), "{answer:#}");
            } else {
                let reasons: Vec<&Value> =
                    answer["decisions"].as_array().unwrap().iter().map(|line| &line["reason"]).collect();
                assert!(reasons.contains(&&json!("OtherOwner")), "{answer:#}");
            }
        }
        assert_eq!(scene.way().pages(), Vec::<String>::new());
    }
}
