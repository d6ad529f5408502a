use serde_json::{Value, json};

use super::*;

fn read(value: Value) -> Result<RolloutRequest, String> {
    serde_path_to_error::deserialize(value).map_err(|error| format!("{}: {}", error.path().clone(), error.inner()))
}

/// A valid request with these members replaced; `null` removes one.
fn with(members: &Value) -> Value {
    let mut request = json!({
        "id": "recs-v2-117",
        "mesh": "shop",
        "routes": ["recs/all", "recs/beta"],
        "moves": [{ "from": "recs-v1", "to": "recs-v2" }],
        "first": { "routes": ["recs/beta"], "interval": "30m" },
        "strategy": "canary",
        "steps": [5, { "percent": 25, "approve": true }, 50],
        "interval": "10m",
        "bake": "30m",
        "gates": {
            "alarms": ["recs-checkout"],
            "metrics": [
                { "errorRatio": { "max": "1%", "overBaseline": 1.5, "minDifference": "0.5%" }, "minRequests": 200,
                  "failAfter": 2 },
                { "latency": { "stat": "p99", "max": "500ms" } },
            ],
        },
        "hooks": [{ "stage": "before", "function": "arn:aws:lambda:eu-west-1:123456789012:function:check",
                    "timeout": "15m" }],
    });
    for (name, value) in members.as_object().unwrap() {
        let all = request.as_object_mut().unwrap();
        if value.is_null() {
            all.remove(name);
        } else {
            all.insert(name.clone(), value.clone());
        }
    }
    request
}

#[test]
fn request_is_read_and_written_unchanged() {
    let request = read(with(&json!({}))).unwrap();
    assert_eq!(request.contradiction(), None);
    assert_eq!(serde_json::to_value(&request).unwrap(), with(&json!({})));
    let service = with(&json!({ "routes": { "virtualService": "recs.shop.local" }, "first": null }));
    let request = read(service.clone()).unwrap();
    assert_eq!((request.contradiction(), serde_json::to_value(&request).unwrap()), (None, service));
    for strategy in [json!({ "linear": { "every": 10 } }), json!("blue-green")] {
        let request = read(with(&json!({ "strategy": strategy, "steps": null }))).unwrap();
        assert_eq!((request.contradiction(), json!(request.strategy)), (None, strategy));
    }
}

#[test]
fn unreadable_member_is_named() {
    for (members, at, part) in [
        (json!({ "id": "" }), "id", "1 to 64"),
        (json!({ "routes": "recs/all" }), "routes", "a list of routes"),
        (json!({ "routes": ["recs"] }), "routes[0]", "ROUTER/ROUTE"),
        (json!({ "routes": { "service": "a" } }), "routes", "virtualService"),
        (json!({ "steps": [0] }), "steps[0]", "1 to 100"),
        (json!({ "steps": [{ "percent": 101 }] }), "steps[0]", "1 to 100"),
        (json!({ "steps": ["5"] }), "steps[0]", "a percent like 25"),
        (json!({ "strategy": "rolling" }), "strategy", "canary"),
        (json!({ "interval": "soon" }), "interval", "write it like"),
        (json!({ "gates": { "metrics": [{ "latency": { "stat": "Sum", "max": "1s" } }] } }), "stat", "percentile"),
        (json!({ "hooks": [{ "stage": "during", "function": "a" }] }), "hooks[0].stage", "before"),
        (json!({ "hooks": [{ "stage": "after", "function": "arn:aws:sns:a:b:c" }] }), "hooks[0].function", "its ARN"),
        (json!({ "stepz": [] }), "stepz", "unknown field"),
        (json!({ "mesh": null }), ".", "mesh"),
    ] {
        let error = read(with(&members)).unwrap_err();
        assert!(error.contains(at) && error.contains(part), "{members}: {error}");
    }
}

#[test]
fn contradiction_names_its_member_and_the_remedy() {
    let gate = |gate: Value| json!({ "gates": { "metrics": [gate] } });
    for (members, key, part) in [
        (json!({ "routes": [], "first": null }), "routes", "1 to 10"),
        (json!({ "routes": ["recs/all", "recs/all"], "first": null }), "routes[1]", "twice"),
        (json!({ "first": { "routes": [] } }), "first.routes", "leave `first` out"),
        (json!({ "first": { "routes": ["recs/other"] } }), "first.routes[0]", "add it there"),
        (json!({ "first": { "routes": ["recs/all", "recs/beta"] } }), "first.routes", "every route"),
        (json!({ "first": { "routes": ["recs/beta"], "interval": "10s" } }), "first.interval", "1m to 24h"),
        (json!({ "moves": [] }), "moves", "1 to 5"),
        (json!({ "moves": [{ "from": "a", "to": "a" }] }), "moves[0].to", "use it once"),
        (json!({ "moves": [{ "from": "a", "to": "b" }, { "from": "b", "to": "c" }] }), "moves[1].from", "use it once"),
        (json!({ "steps": [] }), "steps", "[5, 25, 50]"),
        (json!({ "steps": [5, 5] }), "steps[1]", "increase"),
        (json!({ "strategy": "blue-green" }), "steps", "only a canary"),
        (json!({ "strategy": { "linear": { "every": 60 } }, "steps": null }), "strategy.linear.every", "1 to 50"),
        (json!({ "interval": "30s" }), "interval", "1m to 24h"),
        (json!({ "gates": null }), "gates", "ungated"),
        (json!({ "gates": null, "ungated": " " }), "ungated", "write why"),
        (json!({ "ungated": "a reason" }), "ungated", "remove"),
        (json!({ "gates": { "alarms": ["a", "a"] } }), "gates.alarms[1]", "twice"),
        (gate(json!({})), "gates.metrics[0]", "exactly one"),
        (gate(json!({ "errorRatio": {} })), "gates.metrics[0].errorRatio", "no limit"),
        (
            gate(json!({ "errorRatio": { "max": "1%", "minDifference": "1%" } })),
            "gates.metrics[0].errorRatio.minDifference",
            "overBaseline",
        ),
        (
            gate(json!({ "errorRatio": { "overBaseline": 0.5 } })),
            "gates.metrics[0].errorRatio.overBaseline",
            "1 to 100",
        ),
        (gate(json!({ "latency": { "stat": "p99" } })), "gates.metrics[0].latency", "no limit"),
        (
            gate(json!({ "latency": { "stat": "p99", "max": "1s" }, "minRequests": 0 })),
            "gates.metrics[0].minRequests",
            "1 to",
        ),
        (
            gate(json!({ "latency": { "stat": "p99", "max": "1s" }, "failAfter": 0 })),
            "gates.metrics[0].failAfter",
            "1 to 100",
        ),
        (
            json!({ "hooks": [{ "stage": "step", "function": "a" }, { "stage": "step", "function": "a" }] }),
            "hooks[1]",
            "keep one",
        ),
        (json!({ "hooks": [{ "stage": "step", "function": "a", "timeout": "30s" }] }), "hooks[0].timeout", "1m to 24h"),
    ] {
        let request = read(with(&members)).unwrap_or_else(|error| panic!("{members}: {error}"));
        let (found, problem) = request.contradiction().unwrap_or_else(|| panic!("accepted: {members}"));
        assert_eq!(found, key, "{problem}");
        assert!(problem.contains(part), "{members}: {problem}");
    }
}

#[test]
fn digest_identifies_the_request() {
    let id = |members: Value| read(with(&members)).unwrap().id_or_digest().to_string();
    assert_eq!(id(json!({})), "recs-v2-117");
    let digest = id(json!({ "id": null }));
    assert_eq!(digest, id(json!({ "id": null })));
    assert_ne!(digest, id(json!({ "id": null, "interval": "11m" })));
    assert!(digest.starts_with("r-") && digest.len() == 14, "{digest}");
}

#[test]
fn text_is_read_with_the_place_of_an_error() {
    let text = "mesh: shop\nroutes: [recs/all]\nmoves: [{from: recs-v1, to: recs-v2}]\nstrategy: canary\nsteps: [5, 50]\n\
                gates: {alarms: [checkout]}\n";
    assert_eq!(RolloutRequest::read(text).unwrap().steps.len(), 2);
    for (from, to, line, key) in [
        ("strategy: canary", "strategy: rolling", 4, "strategy"),
        ("[5, 50]", "[50, 5]", 5, "steps[1]"),
        ("recs/all", "recs", 2, "routes[0]"),
    ] {
        let error = RolloutRequest::read(&text.replace(from, to)).unwrap_err();
        assert_eq!((error.line, error.key.as_str()), (line, key), "{error}");
    }
}
