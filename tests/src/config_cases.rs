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
const MOST: Duration = Duration::from_secs(30);

/// The expected end of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// The function sends the evaluation of an undisturbed run.
    Undisturbed,
    /// The invocation fails without an evaluation of the virtual node, or with the right one, and the event is
    /// delivered again.
    ComesAgain,
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
    ends: Ends,
}

const fn error(status: u16, code: &'static str, message: &'static str) -> Fault {
    Fault::Error { status, code, message }
}

/// More than all attempts of a call.
const FOR_LONG: usize = 10_000;

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
        ends: Ends::Undisturbed,
    },
    Case {
        name: "41 an oversized item whose history is throttled twice with another code",
        event: "config-oversized",
        faults: &[("GetResourceConfigHistory", error(400, "RequestLimitExceeded", "Request limit exceeded."), 2)],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "41 an oversized item whose history is throttled for long",
        event: "config-oversized",
        faults: &[("GetResourceConfigHistory", Fault::Throttle, FOR_LONG)],
        ends: Ends::ComesAgain,
    },
    Case {
        name: "41 an oversized item whose history fails for long",
        event: "config-oversized",
        faults: &[("GetResourceConfigHistory", error(500, "InternalError", "try again"), FOR_LONG)],
        ends: Ends::ComesAgain,
    },
    Case {
        name: "43 evaluations refused once",
        event: "config-change-node",
        faults: &[("PutEvaluations", Fault::Throttle, 1)],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "43 evaluations refused by the server once",
        event: "config-change-node",
        faults: &[("PutEvaluations", error(500, "InternalFailure", "try again"), 2)],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "43 evaluations refused for long",
        event: "config-change-node",
        faults: &[("PutEvaluations", Fault::Unavailable, FOR_LONG)],
        ends: Ends::ComesAgain,
    },
    Case {
        name: "20 evaluations with an expired signature once",
        event: "config-change-node",
        faults: &[("PutEvaluations", error(403, "InvalidSignatureException", EXPIRED), 1)],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "20 a mesh read with an expired token once",
        event: "config-change-node",
        faults: &[("GET /v20190125/meshes/shop", error(403, "ExpiredTokenException", EXPIRED_TOKEN), 1)],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "20 a mesh read with a wrong clock once",
        event: "config-change-node",
        faults: &[("GET /v20190125/meshes/shop", Fault::SkewedClock, 1)],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "20 a mesh read with an expired token for long",
        event: "config-change-node",
        faults: &[("GET /v20190125/meshes/shop", error(403, "ExpiredTokenException", EXPIRED_TOKEN), FOR_LONG)],
        ends: Ends::ComesAgain,
    },
    Case {
        name: "20 a mesh read that a gateway refuses with an expired signature for long",
        event: "config-change-node",
        faults: &[("/v20190125/meshes/shop", error(403, "ForbiddenException", EXPIRED), FOR_LONG)],
        ends: Ends::ComesAgain,
    },
    Case {
        name: "20 a history and evaluations with an expired signature and a wrong clock once each",
        event: "config-oversized",
        faults: &[
            ("GetResourceConfigHistory", error(403, "AccessDeniedException", EXPIRED), 1),
            ("PutEvaluations", Fault::SkewedClock, 1),
        ],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "19 a mesh read that is throttled once",
        event: "config-change-node",
        faults: &[("GET /v20190125/meshes/shop", Fault::TooManyRequests, 1)],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "19 a mesh read that is throttled for long",
        event: "config-change-node",
        faults: &[("/v20190125/meshes/shop", Fault::TooManyRequests, FOR_LONG)],
        ends: Ends::ComesAgain,
    },
    Case {
        name: "19f a state table that is throttled once",
        event: "config-change-node",
        faults: &[(
            "BatchGetItem",
            error(400, "ProvisionedThroughputExceededException", "The level of configured throughput was exceeded"),
            1,
        )],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "43 evaluations that AWS Config does not take once",
        event: "config-change-node",
        faults: &[("PutEvaluations", FAILED_EVALUATION, 1)],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "41 a node's item with an expired token, and evaluations that are throttled",
        event: "config-oversized",
        faults: &[("GetResourceConfigHistory", Fault::ExpiredToken, 1), ("PutEvaluations", Fault::Throttle, 2)],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "47b a mesh whose node may not be described: only that is not known",
        event: "config-change-node",
        faults: &[("virtualNodes/recommendations-v2", Fault::Denied, FOR_LONG)],
        ends: Ends::Unknown,
    },
    Case {
        name: "47b another node that may not be described",
        event: "config-change-node",
        faults: &[("virtualNodes/recommendations-v1", Fault::Denied, FOR_LONG)],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "a mesh that may not be read: a run that observes nothing fails",
        event: "config-change-node",
        faults: &[("/v20190125/meshes/shop", Fault::Denied, FOR_LONG)],
        ends: Ends::ComesAgain,
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
const OF_TAGS: &[Case] = &[
    Case {
        name: "47b tags of the resource that may not be listed",
        event: "config-change-node",
        faults: &[("virtualNode%2Frecommendations-v2", Fault::Denied, FOR_LONG)],
        ends: Ends::Unknown,
    },
    Case {
        name: "47b tags of another resource that may not be listed",
        event: "config-change-node",
        faults: &[("virtualNode%2Frecommendations-v1", Fault::Denied, FOR_LONG)],
        ends: Ends::Undisturbed,
    },
    Case {
        name: "47b tags of the resource that are throttled for long",
        event: "config-change-node",
        faults: &[("virtualNode%2Frecommendations-v2", Fault::TooManyRequests, FOR_LONG)],
        ends: Ends::ComesAgain,
    },
];

/// Runs all cases with a function, `env!("CARGO_BIN_EXE_<name>")`. The policy gives `recommendations-v2` the compliance
/// `standing`. Returns the number of cases.
pub async fn play(name: &'static str, binary: &str, policy: &str, standing: &str) -> usize {
    let Some(services) = Services::start().await else { return 0 };
    let of_tags = if name == "tag-compliance" { OF_TAGS } else { &[] };
    let (mut wrong, mut played) = (Vec::new(), 0);
    for case in CASES.iter().chain(of_tags) {
        played += 1;
        if let Err(why) = play_one(&services, name, binary, policy, standing, case).await {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    for (member, change) in WITHOUT_ARN {
        played += 1;
        if let Err(why) = play_without_arn(&services, name, binary, policy, standing, *change).await {
            wrong.push(format!("an item with {member}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {played} cases:\n{}", wrong.len(), wrong.join("\n"));
    played
}

/// Runs a case with an item without an ARN. The evaluation must name the resource that AWS Config has recorded, never
/// another kind.
async fn play_without_arn(
    services: &Arc<Services>,
    name: &'static str,
    binary: &str,
    policy: &str,
    standing: &str,
    change: fn(&mut Value),
) -> Result<(), String> {
    let (stage, event) = stage_of_node(services, name, policy, "config-change-node").await;
    let mut event = stage.trial(event);
    let mut invoking: Value = serde_json::from_str(event["invokingEvent"].as_str().unwrap()).unwrap();
    change(&mut invoking["configurationItem"]);
    event["invokingEvent"] = json!(invoking.to_string());
    let answer = stage.build(binary).start().await.answer(&event).await;
    let told: Vec<(String, String)> =
        stage.told().into_iter().flatten().map(|(path, told)| (path, told.compliance)).collect();
    let right = answer.is_ok() && told == [(V2.to_owned(), standing.to_owned())];
    if right { Ok(()) } else { Err(format!("told {told:?}, answered {answer:?}")) }
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

async fn play_one(
    services: &Arc<Services>,
    name: &'static str,
    binary: &str,
    policy: &str,
    standing: &str,
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
    check(case, standing, &stage, &answer)?;
    if met == 0 {
        return Err("the fault was never met".to_owned());
    }
    if took > MOST {
        return Err(format!("it took {took:?}"));
    }
    if case.ends == Ends::ComesAgain {
        // The event is delivered again, and the services have no more faults.
        let again = function.answer(&stage.trial(event)).await;
        check(&Case { ends: Ends::Undisturbed, ..*case }, standing, &stage, &again)?;
    }
    Ok(())
}

fn check(case: &Case, standing: &str, stage: &Stage, answer: &Result<Value, Value>) -> Result<(), String> {
    let told: BTreeMap<String, String> =
        stage.told().into_iter().flatten().map(|(path, told)| (path, told.compliance)).collect();
    let of_node = told.get(V2).map(String::as_str);
    let right = match case.ends {
        Ends::Undisturbed => answer.is_ok() && of_node == Some(standing),
        // An evaluation may have been sent without being accepted.
        Ends::ComesAgain => answer.is_err() && of_node.is_none_or(|told| told == standing),
        Ends::Unknown => answer.is_ok() && of_node.is_none(),
    };
    if right { Ok(()) } else { Err(format!("{:?} expected: told {told:?}, answered {answer:?}", case.ends)) }
}
