//! Tests the evaluations of a function for AWS Config while services fail once, for a while or in part.
//!
//! | kind | once | for as long as the run |
//! |-|-|-|
//! | throttle, server's error, reset, time-out | that of an undisturbed run | none, and the event is delivered again |
//! | expired signature or token, wrong clock | the same | the same |
//! | denied | | none for an unknown compliance, and no retry |
//! | evaluations that AWS Config did not accept | sent again | the event is delivered again |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::config_events::{Services, Stage, arn};
use crate::faults::Fault;

/// The virtual node that the sample events are about.
const V2: &str = "mesh/shop/virtualNode/recommendations-v2";

/// The maximum time of a case. A call that is throttled for long is retried while there is time, but no case uses all
/// thirty seconds of an invocation.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The expected end of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExpectedEnd {
    /// The function sends the evaluation of an undisturbed run.
    Undisturbed,
    /// The invocation fails without an evaluation of the virtual node, or with the right one, and the event is
    /// delivered again.
    DeliveredAgain,
    /// The invocation succeeds without an evaluation of the virtual node, and no event is delivered again: an operator
    /// has to act.
    Unknown,
}

/// One case of the test.
struct Case {
    name: &'static str,
    event: &'static str,
    /// The operation, or a part of the address, the fault that replaces its response, and how often.
    faults: &'static [(&'static str, Fault, usize)],
    expected: ExpectedEnd,
}

const fn error(status: u16, code: &'static str, message: &'static str) -> Fault {
    Fault::Error { status, code, message }
}

/// More than all attempts of a call.
const PERSISTENT: usize = 10_000;

/// The response of AWS Config if it accepts the request but not the evaluation.
const FAILED_EVALUATION: Fault = Fault::Answer(concat!(
    r#"{"FailedEvaluations":[{"ComplianceResourceType":"AWS::AppMesh::VirtualNode","ComplianceResourceId":"#,
    r#""arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualNode/recommendations-v2","#,
    r#""ComplianceType":"NON_COMPLIANT","OrderingTimestamp":1795169030.512}]}"#
));

const EXPIRED: &str = "Signature expired: 20261130T031500Z is now earlier than 20261130T032000Z";
const EXPIRED_TOKEN: &str = "The security token included in the request is expired";

const CASES: &[Case] = &[
    Case {
        name: "41 an oversized item with a throttled history",
        event: "config-oversized",
        faults: &[("GetResourceConfigHistory", Fault::Throttle, 1)],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "41 an oversized item with a history that is throttled twice with another code",
        event: "config-oversized",
        faults: &[("GetResourceConfigHistory", error(400, "RequestLimitExceeded", "Request limit exceeded."), 2)],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "41 an oversized item with a history that stays throttled",
        event: "config-oversized",
        faults: &[("GetResourceConfigHistory", Fault::Throttle, PERSISTENT)],
        expected: ExpectedEnd::DeliveredAgain,
    },
    Case {
        name: "41 an oversized item with a history that keeps failing",
        event: "config-oversized",
        faults: &[("GetResourceConfigHistory", error(500, "InternalError", "try again"), PERSISTENT)],
        expected: ExpectedEnd::DeliveredAgain,
    },
    Case {
        name: "43 evaluations refused once",
        event: "config-change-node",
        faults: &[("PutEvaluations", Fault::Throttle, 1)],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "43 evaluations refused by the server once",
        event: "config-change-node",
        faults: &[("PutEvaluations", error(500, "InternalFailure", "try again"), 2)],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "43 evaluations that stay refused",
        event: "config-change-node",
        faults: &[("PutEvaluations", Fault::Unavailable, PERSISTENT)],
        expected: ExpectedEnd::DeliveredAgain,
    },
    Case {
        name: "20 evaluations with an expired signature once",
        event: "config-change-node",
        faults: &[("PutEvaluations", error(403, "InvalidSignatureException", EXPIRED), 1)],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "20 a mesh read with an expired token once",
        event: "config-change-node",
        faults: &[("GET /v20190125/meshes/shop", error(403, "ExpiredTokenException", EXPIRED_TOKEN), 1)],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "20 a mesh read with a wrong clock once",
        event: "config-change-node",
        faults: &[("GET /v20190125/meshes/shop", Fault::SkewedClock, 1)],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "20 a mesh read with a token that stays expired",
        event: "config-change-node",
        faults: &[("GET /v20190125/meshes/shop", error(403, "ExpiredTokenException", EXPIRED_TOKEN), PERSISTENT)],
        expected: ExpectedEnd::DeliveredAgain,
    },
    Case {
        name: "20 a mesh read that a gateway refuses with an expired signature for long",
        event: "config-change-node",
        faults: &[("/v20190125/meshes/shop", error(403, "ForbiddenException", EXPIRED), PERSISTENT)],
        expected: ExpectedEnd::DeliveredAgain,
    },
    Case {
        name: "20 a history and evaluations with an expired signature and a wrong clock once each",
        event: "config-oversized",
        faults: &[
            ("GetResourceConfigHistory", error(403, "AccessDeniedException", EXPIRED), 1),
            ("PutEvaluations", Fault::SkewedClock, 1),
        ],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "19 a mesh read that is throttled once",
        event: "config-change-node",
        faults: &[("GET /v20190125/meshes/shop", Fault::TooManyRequests, 1)],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "19 a mesh read that stays throttled",
        event: "config-change-node",
        faults: &[("/v20190125/meshes/shop", Fault::TooManyRequests, PERSISTENT)],
        expected: ExpectedEnd::DeliveredAgain,
    },
    Case {
        name: "19f a state table that is throttled once",
        event: "config-change-node",
        faults: &[(
            "BatchGetItem",
            error(400, "ProvisionedThroughputExceededException", "The level of configured throughput was exceeded"),
            1,
        )],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "43 evaluations that AWS Config refuses once",
        event: "config-change-node",
        faults: &[("PutEvaluations", FAILED_EVALUATION, 1)],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "41 a node's item with an expired token, and evaluations that are throttled",
        event: "config-oversized",
        faults: &[("GetResourceConfigHistory", Fault::ExpiredToken, 1), ("PutEvaluations", Fault::Throttle, 2)],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "47b a node of which the description is denied: only its compliance is unknown",
        event: "config-change-node",
        faults: &[("virtualNodes/recommendations-v2", Fault::Denied, PERSISTENT)],
        expected: ExpectedEnd::Unknown,
    },
    Case {
        name: "47b another node of which the description is denied",
        event: "config-change-node",
        faults: &[("virtualNodes/recommendations-v1", Fault::Denied, PERSISTENT)],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "a mesh of which all reads are denied: a run that observes nothing fails",
        event: "config-change-node",
        faults: &[("/v20190125/meshes/shop", Fault::Denied, PERSISTENT)],
        expected: ExpectedEnd::DeliveredAgain,
    },
];

/// A change of the item of an event.
type Edit = fn(&mut Value);

/// Changes to the item in an event, which remove its ARN, as in resource types without one.
const WITHOUT_ARN: &[(&str, Edit)] = &[
    ("a null ARN", |item| item["ARN"] = Value::Null),
    ("no ARN", |item| drop(item.as_object_mut().and_then(|members| members.remove("ARN")))),
    ("an empty ARN", |item| item["ARN"] = json!("")),
];

/// Cases for functions that read tags.
const TAG_CASES: &[Case] = &[
    Case {
        name: "47b a denied list of the resource's tags",
        event: "config-change-node",
        faults: &[("virtualNode%2Frecommendations-v2", Fault::Denied, PERSISTENT)],
        expected: ExpectedEnd::Unknown,
    },
    Case {
        name: "47b a denied list of another resource's tags",
        event: "config-change-node",
        faults: &[("virtualNode%2Frecommendations-v1", Fault::Denied, PERSISTENT)],
        expected: ExpectedEnd::Undisturbed,
    },
    Case {
        name: "47b a list of the resource's tags that stays throttled",
        event: "config-change-node",
        faults: &[("virtualNode%2Frecommendations-v2", Fault::TooManyRequests, PERSISTENT)],
        expected: ExpectedEnd::DeliveredAgain,
    },
];

/// Runs all cases with a function, `env!("CARGO_BIN_EXE_<name>")`. The policy gives `recommendations-v2` the compliance
/// `compliance_of_node`. Returns the number of cases.
pub async fn play(name: &'static str, binary: &str, policy: &str, compliance_of_node: &str) -> usize {
    let Some(services) = Services::start().await else { return 0 };
    let of_tags = if name == "tag-compliance" { TAG_CASES } else { &[] };
    let (mut wrong, mut played) = (Vec::new(), 0);
    for case in CASES.iter().chain(of_tags) {
        played += 1;
        if let Err(why) = run_case(&services, name, binary, policy, compliance_of_node, case).await {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    for (member, change) in WITHOUT_ARN {
        played += 1;
        if let Err(why) = run_without_arn(&services, name, binary, policy, compliance_of_node, *change).await {
            wrong.push(format!("an item with {member}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {played} cases:\n{}", wrong.len(), wrong.join("\n"));
    played
}

/// Runs a case with an item without an ARN. The evaluation must name the resource that AWS Config has recorded, never
/// another kind.
async fn run_without_arn(
    services: &Arc<Services>,
    name: &'static str,
    binary: &str,
    policy: &str,
    compliance_of_node: &str,
    change: fn(&mut Value),
) -> Result<(), String> {
    let (stage, event) = stage_of_node(services, name, policy, "config-change-node").await;
    let mut event = stage.trial(event);
    let mut invoking: Value = serde_json::from_str(event["invokingEvent"].as_str().unwrap()).unwrap();
    change(&mut invoking["configurationItem"]);
    event["invokingEvent"] = json!(invoking.to_string());
    let answer = stage.build(binary).start().await.answer(&event).await;
    let evaluations: Vec<(String, String)> =
        stage.evaluations().into_iter().flatten().map(|(path, evaluation)| (path, evaluation.compliance)).collect();
    let right = answer.is_ok() && evaluations == [(V2.to_owned(), compliance_of_node.to_owned())];
    if right { Ok(()) } else { Err(format!("received {evaluations:?}, answer {answer:?}")) }
}

/// A mesh with the virtual node of the sample events, and the name of the sample event.
async fn stage_of_node(
    services: &Arc<Services>,
    name: &'static str,
    policy: &str,
    event: &'static str,
) -> (Stage, &'static str) {
    let recorded = json!({
        "resourceType": "AWS::AppMesh::VirtualNode", "resourceId": arn(V2), "configurationItemStatus": "OK",
        "configurationItemCaptureTime": 1_795_169_035.0, "arn": arn(V2),
    });
    let stage = Stage::with(Arc::clone(services), name, policy, &[(V2, recorded)]).await;
    stage.create("", json!({ "meshName": "shop", "tags": [{ "key": "team", "value": "shop" }] })).await;
    for node in ["recommendations-v1", "recommendations-v2"] {
        stage.create("virtualNodes", json!({ "virtualNodeName": node, "spec": {} })).await;
    }
    let event = match (name, event) {
        ("tag-compliance", "config-change-node") => "config-change",
        (_, event) => event,
    };
    (stage, event)
}

async fn run_case(
    services: &Arc<Services>,
    name: &'static str,
    binary: &str,
    policy: &str,
    compliance_of_node: &str,
    case: &Case,
) -> Result<(), String> {
    let (stage, event) = stage_of_node(services, name, policy, case.event).await;
    // The control plane would otherwise include tags in the description of a resource, which AWS does not.
    stage.way().answer_as_aws();
    let mut function = stage.build(binary).start().await;
    for (operation, fault, times) in case.faults {
        stage.way().inject_next(operation, *fault, *times);
    }
    let begun = Instant::now();
    let answer = function.answer(&stage.trial(event)).await;
    let took = begun.elapsed();
    let met = stage.way().happened().len();
    stage.way().heal();
    check(case, compliance_of_node, &stage, &answer)?;
    if met == 0 {
        return Err("no request met the fault".to_owned());
    }
    if took > TIME_LIMIT {
        return Err(format!("it took {took:?}, and the limit is {TIME_LIMIT:?}"));
    }
    if case.expected == ExpectedEnd::DeliveredAgain {
        // The event is delivered again, and the services have no more faults.
        let again = function.answer(&stage.trial(event)).await;
        check(&Case { expected: ExpectedEnd::Undisturbed, ..*case }, compliance_of_node, &stage, &again)?;
    }
    Ok(())
}

fn check(case: &Case, compliance_of_node: &str, stage: &Stage, answer: &Result<Value, Value>) -> Result<(), String> {
    let evaluations: BTreeMap<String, String> =
        stage.evaluations().into_iter().flatten().map(|(path, evaluation)| (path, evaluation.compliance)).collect();
    let compliance = evaluations.get(V2).map(String::as_str);
    let right = match case.expected {
        ExpectedEnd::Undisturbed => answer.is_ok() && compliance == Some(compliance_of_node),
        // An evaluation may have been sent without being accepted.
        ExpectedEnd::DeliveredAgain => answer.is_err() && compliance.is_none_or(|found| found == compliance_of_node),
        ExpectedEnd::Unknown => answer.is_ok() && compliance.is_none(),
    };
    if right {
        Ok(())
    } else {
        Err(format!("{:?} expected: received {evaluations:?}, answer {answer:?}", case.expected))
    }
}
