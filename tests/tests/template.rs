//! What the template promises beyond the permissions of the code: what Lambda may do, what the alarms watch, and
//! whether queues, retries and concurrency fit each other.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use meshwarden_tests::template::Template;
use serde_json::Value;

/// The queue that triggers a function, with the maximum concurrency of its mapping.
fn queue(properties: &Value) -> Option<(String, u64)> {
    let events = properties["Events"].as_object().into_iter().flatten();
    let mut queues = events.filter(|(_, event)| event["Type"] == "SQS").map(|(_, event)| &event["Properties"]);
    let mapping = queues.next()?;
    assert!(queues.next().is_none(), "two queues trigger one function");
    let name = mapping["Queue"].as_str().unwrap().trim_end_matches(".Arn").to_owned();
    Some((name, mapping["ScalingConfig"]["MaximumConcurrency"].as_u64().unwrap()))
}

fn alarms(template: &Template) -> BTreeMap<String, Value> {
    let alarms = template.resources_of("AWS::CloudWatch::Alarm");
    alarms
        .into_iter()
        .map(|(_, properties)| (properties["AlarmName"].as_str().unwrap().to_owned(), properties))
        .collect()
}

/// A role that may receive from every queue could take the messages of other applications.
#[test]
fn lambda_uses_only_the_log_and_the_queue_of_the_function() {
    let template = Template::read();
    for function in template.functions() {
        let properties = template.properties(&function);
        assert!(properties.get("Policies").is_none(), "SAM ignores the policies of {function}, which has a role");
        let mut unrestricted = BTreeSet::new();
        for grant in template.runtime(&function).iter().filter(|grant| grant.allows) {
            let (service, _) = grant.action.split_once(':').unwrap();
            let expected = match service {
                "logs" => format!("{}.Arn", properties["LoggingConfig"]["LogGroup"].as_str().unwrap()),
                "sqs" => format!("{}.Arn", queue(&properties).unwrap().0),
                "kms" => "KeyArn".to_owned(),
                _ => {
                    unrestricted.insert(service.to_owned());
                    "*".to_owned()
                }
            };
            assert_eq!(grant.resources, [expected], "{function}: {}", grant.action);
        }
        // IAM restricts neither to a resource.
        assert_eq!(unrestricted, BTreeSet::from(["ec2".to_owned(), "xray".to_owned()]), "{function}");
    }
}

/// Without it, two stacks of one account hide each other's missing heartbeats.
#[test]
fn every_alarm_on_a_metric_of_the_functions_names_the_stack() {
    let alarms = alarms(&Template::read());
    let own = alarms.values().filter(|alarm| alarm["Namespace"] == "Meshwarden");
    let with_stack = |alarm: &&Value| {
        let dimensions = alarm["Dimensions"].as_array().into_iter().flatten();
        dimensions.into_iter().any(|one| one["Name"] == "Stack" && one["Value"] == "meshwarden")
    };
    let without: Vec<_> = own.clone().filter(|alarm| !with_stack(alarm)).map(|alarm| &alarm["AlarmName"]).collect();
    assert!(without.is_empty(), "{without:?}");
    assert!(own.count() > 20);
    for function in Template::read().functions() {
        let variables = &Template::read().properties(&function)["Environment"]["Variables"];
        assert_eq!(variables["MESHWARDEN_STACK"], "meshwarden", "{function}");
    }
}

#[test]
fn every_function_and_queue_has_its_alarms() {
    let template = Template::read();
    let alarms = alarms(&template);
    let has = |name: String| assert!(alarms.contains_key(&format!("meshwarden-{name}")), "no alarm {name}");
    let mut watched = BTreeSet::new();
    for function in template.functions() {
        has(format!("{function}-errors"));
        has(format!("{function}-permissions"));
        has(format!("{function}-throttles"));
        if let Some((queue, _)) = queue(&template.properties(&function)) {
            let alarm = &alarms[&format!("meshwarden-{function}-backlog")];
            assert_eq!(alarm["MetricName"], "ApproximateAgeOfOldestMessage");
            assert_eq!(alarm["Dimensions"][0]["Value"], format!("{queue}.QueueName"));
            watched.insert(queue);
        }
    }
    for name in ["dead-letters", "dead-messages", "notifications-failed", "failed-rules", "policy-rejected"] {
        has(name.to_owned());
    }
    // All queues, except those for what failed.
    let queues = template.resources_of("AWS::SQS::Queue").into_iter().map(|(name, _)| name);
    let others: Vec<_> = queues.filter(|name| !watched.contains(name)).collect();
    assert_eq!(others, ["DeadLetterQueue", "DeadMessageQueue"]);
}

/// As Lambda advises: a throttled receive counts, and a message must not return while it is handled.
#[test]
fn queues_time_outs_and_concurrency_fit_each_other() {
    let template = Template::read();
    let queues: BTreeMap<String, Value> = template.resources_of("AWS::SQS::Queue").into_iter().collect();
    for function in template.functions() {
        let properties = template.properties(&function);
        let Some((name, mapped)) = queue(&properties) else { continue };
        let queue = &queues[&name];
        // The least that SQS allows: six queues share the ten concurrent runs of a new account.
        assert_eq!(mapped, 2, "{function}");
        let timeout = properties["Timeout"].as_u64().unwrap();
        assert!(queue["VisibilityTimeout"].as_u64().unwrap() >= 6 * timeout, "{function}");
        assert!(queue["RedrivePolicy"]["maxReceiveCount"].as_u64().unwrap() >= 5, "{function}");
        assert_eq!(queue["RedrivePolicy"]["deadLetterTargetArn"], "DeadMessageQueue.Arn", "{function}");
        // A reserved concurrency has room for the mapping and for the schedule.
        match &properties["ReservedConcurrentExecutions"] {
            Value::Null => {}
            // route-failover: the pattern of the parameter sets the minimum.
            Value::String(parameter) => assert_eq!((parameter.as_str(), mapped), ("ReservedConcurrency", 2)),
            reserved => assert!(reserved.as_u64().unwrap() > mapped, "{function}"),
        }
    }
    // A new account cannot reserve any of its ten concurrent runs.
    let parameter = template.parameter("ReservedConcurrency");
    assert_eq!(parameter["Default"], "");
    assert!(parameter["AllowedPattern"].as_str().unwrap().starts_with("^([3-9]|"), "{parameter}");
}

/// A failing schedule would put 60 useless messages an hour into the queue.
#[test]
fn failed_scheduled_runs_are_no_dead_letters() {
    let template = Template::read();
    for function in template.functions() {
        let properties = template.properties(&function);
        let destination = &properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"];
        assert_eq!((&destination["Type"], &destination["Destination"]), (&"EventBridge".into(), &template.bus()));
        for (name, event) in
            properties["Events"].as_object().unwrap().iter().filter(|(_, one)| one["Type"] == "Schedule")
        {
            assert!(event["Properties"].get("DeadLetterConfig").is_none(), "{function}.{name}");
        }
    }
}
