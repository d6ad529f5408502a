//! Tests of the dead-letter commands over in-memory queues.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use clap::Parser as _;
use ports::{PortErrorKind, Queues, StateStore};
use ports_memory::{Effect, Failure, Fault, Faults, MemoryState};

use super::*;
use crate::args::{Args, Command};

/// In-memory queues by name. A held message is not received again.
#[derive(Debug, Default)]
struct Memory {
    queues: Mutex<BTreeMap<String, Vec<(QueueMessage, bool)>>>,
    refuses: Mutex<Option<&'static str>>,
}

impl Memory {
    fn put(&self, queue: &str, id: &str, body: &str, source: Option<&str>) {
        let message = QueueMessage {
            id: id.to_owned(),
            receipt: format!("receipt-{id}"),
            body: body.to_owned(),
            sent: Some("2026-11-30T01:00:00.5Z".parse().unwrap()),
            received: 3,
            source: source.map(str::to_owned),
            group: None,
            attributes: BTreeMap::new(),
        };
        self.queues.lock().unwrap().entry(queue.to_owned()).or_default().push((message, false));
    }

    fn bodies(&self, queue: &str) -> Vec<String> {
        let queues = self.queues.lock().unwrap();
        queues.get(queue).into_iter().flatten().map(|(message, _)| message.body.clone()).collect()
    }

    /// The number of held messages. A command must leave none.
    fn held(&self) -> usize {
        self.queues.lock().unwrap().values().flatten().filter(|(_, held)| *held).count()
    }

    fn refuse(&self, call: &'static str) -> Result<(), PortError> {
        if *self.refuses.lock().unwrap() == Some(call) {
            return Err(PortError::new(call, PortErrorKind::Denied, "no"));
        }
        Ok(())
    }
}

#[async_trait]
impl Queues for Memory {
    async fn address(&self, queue: &str) -> Result<String, PortError> {
        Ok(queue.rsplit(':').next().unwrap_or(queue).to_owned())
    }

    async fn sources(&self, _: &str) -> Result<Vec<String>, PortError> {
        Ok(["mw-AlarmQueue-1", "mw-TagComplianceQueue-2", "mw-ChangeAuditQueue-3"].map(str::to_owned).into())
    }

    async fn receive(&self, address: &str, _: Duration) -> Result<Vec<QueueMessage>, PortError> {
        self.refuse("receive")?;
        let mut queues = self.queues.lock().unwrap();
        let free = queues.entry(address.to_owned()).or_default().iter_mut().filter(|(_, held)| !held).take(2);
        Ok(free
            .map(|(message, held)| {
                *held = true;
                message.clone()
            })
            .collect())
    }

    async fn release(&self, address: &str, receipt: &str) -> Result<(), PortError> {
        for (message, held) in self.queues.lock().unwrap().entry(address.to_owned()).or_default() {
            *held &= message.receipt != receipt;
        }
        Ok(())
    }

    async fn send(&self, address: &str, message: &QueueMessage) -> Result<(), PortError> {
        self.refuse("send")?;
        self.put(address, &message.id, &message.body, None);
        Ok(())
    }

    async fn delete(&self, address: &str, receipt: &str) -> Result<(), PortError> {
        let mut queues = self.queues.lock().unwrap();
        queues.entry(address.to_owned()).or_default().retain(|(message, _)| message.receipt != receipt);
        Ok(())
    }
}

fn alarm() -> String {
    json!({ "AlarmName": "a", "NewStateValue": "ALARM" }).to_string()
}

fn write() -> String {
    json!({ "detail-type": "AWS API Call via CloudTrail", "source": "aws.appmesh",
        "detail": { "eventName": "UpdateMesh", "requestParameters": { "meshName": "shop" } } })
    .to_string()
}

/// A dead-letter queue with one dead letter of each kind.
fn letters() -> Memory {
    let memory = Memory::default();
    let failed = json!({ "requestPayload": serde_json::from_str::<Value>(&write()).unwrap(),
        "requestContext": { "condition": "RetriesExhausted", "functionArn": "arn:aws:lambda:r:1:function:mw-ChangeAudit-1" } });
    memory.put("dlq", "m-alarm", &alarm(), Some("arn:aws:sqs:eu-west-1:1:mw-AlarmQueue-1"));
    memory.put("dlq", "m-failed", &failed.to_string(), None);
    memory.put("dlq", "m-cut", "{\"AlarmName\":", Some("arn:aws:sqs:eu-west-1:1:mw-AlarmQueue-1"));
    memory.put("dlq", "m-stray", &write(), None);
    memory
}

async fn run(memory: &Memory, line: &str, agrees: bool) -> Result<String, DeadLetterError> {
    run_with(memory, &MemoryState::new(Faults::default()), line, agrees).await
}

async fn run_with(memory: &Memory, state: &MemoryState, line: &str, agrees: bool) -> Result<String, DeadLetterError> {
    let words = line.split(' ');
    let args = Args::try_parse_from(["meshwarden", "dead-letters"].into_iter().chain(words)).unwrap();
    let Command::DeadLetters(args) = args.command else { panic!("{line}") };
    let prompt = |_: &str| Ok(agrees);
    let now = "2026-11-30T03:04:05.25Z".parse().unwrap();
    let result =
        execute(&QueueContext { queues: memory, now, state, by: "dana".to_owned(), prompt: &prompt }, &args.command)
            .await;
    assert_eq!(memory.held(), 0, "{line}");
    result
}

#[tokio::test]
async fn a_list_names_age_source_function_reason_and_event() {
    let memory = letters();
    let text = run(&memory, "list --queue dlq", true).await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    let line = |id: &str| lines.iter().find(|line| line.starts_with(id)).copied().unwrap_or_default();
    for (id, parts) in [
        ("m-alarm", &["2h 4m 5s", "route-failover", "mw-AlarmQueue-1", "received 3 times", "alarm a ALARM"][..]),
        ("m-failed", &["change-audit", "mw-ChangeAudit-1", "RetriesExhausted", "UpdateMesh of mesh/shop"]),
        ("m-cut", &["route-failover", "unreadable", "not JSON"]),
        ("m-stray", &["UpdateMesh of mesh/shop"]),
    ] {
        assert!(parts.iter().all(|part| line(id).contains(part)), "{id}: {text}");
    }
    assert_eq!(lines[5], "4 dead letters");
    let json: Value =
        serde_json::from_str(&run(&memory, "list --queue dlq --format json", true).await.unwrap()).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 4);
    let shown: Value = serde_json::from_str(&run(&memory, "show m-failed --queue dlq", true).await.unwrap()).unwrap();
    assert_eq!(shown[0]["event"]["detail"]["eventName"], "UpdateMesh");
    assert_eq!(memory.bodies("dlq").len(), 4, "looking changes nothing");
    assert_eq!(run(&memory, "list --queue empty", true).await.unwrap(), "0 dead letters\n");
}

#[tokio::test]
async fn a_redrive_sends_the_event_to_its_queue_and_then_deletes_it() {
    let memory = letters();
    let text = run(&memory, "redrive m-alarm m-failed --queue dlq", true).await.unwrap();
    assert!(text.contains("2 dead letters sent again"), "{text}");
    assert_eq!(memory.bodies("mw-AlarmQueue-1"), [alarm()]);
    assert_eq!(memory.bodies("mw-ChangeAuditQueue-3"), [write()], "the event without the record around it");
    assert_eq!(memory.bodies("dlq").len(), 2);
    // An unreadable letter would fail again, and a letter without a function needs `--to`.
    let Err(DeadLetterError::Left { text, left: 2, all: 2 }) = run(&memory, "redrive --all --queue dlq", true).await
    else {
        panic!("both stay")
    };
    assert!(text.contains("m-cut: not sent, because it is unreadable") && text.contains("pass --to QUEUE"), "{text}");
    run(&memory, "redrive m-stray --queue dlq --to mw-TagComplianceQueue-2", true).await.unwrap();
    run(&memory, "redrive m-cut --queue dlq --force", true).await.unwrap();
    assert_eq!(memory.bodies("dlq"), Vec::<String>::new());
    assert_eq!(memory.bodies("mw-TagComplianceQueue-2"), [write()]);
}

#[tokio::test]
async fn a_drop_deletes_the_named_letters_and_no_others() {
    let memory = letters();
    let Err(DeadLetterError::Unknown { ids }) = run(&memory, "drop m-cut m-none --queue dlq", true).await else {
        panic!("one of them is not there")
    };
    assert_eq!(ids, ["m-none"]);
    assert!(matches!(run(&memory, "drop m-cut --queue dlq", false).await, Err(DeadLetterError::Declined)));
    assert_eq!(memory.bodies("dlq").len(), 4);
    assert_eq!(run(&memory, "drop m-cut --queue dlq", true).await.unwrap(), "1 dead letter deleted\n");
    assert_eq!(memory.bodies("dlq").len(), 3);
}

#[tokio::test]
async fn a_failed_call_loses_nothing() {
    for call in ["receive", "send"] {
        let memory = letters();
        *memory.refuses.lock().unwrap() = Some(call);
        assert!(
            matches!(run(&memory, "redrive m-alarm --queue dlq", true).await, Err(DeadLetterError::Port(_))),
            "{call}"
        );
        assert_eq!(memory.bodies("dlq").len(), 4, "{call}");
    }
}

#[tokio::test]
async fn journal_entry_precedes_each_change() {
    let (memory, state) = (letters(), MemoryState::new(Faults::default()));
    let untouched = run_with(&memory, &state, "history", true).await.unwrap();
    assert_eq!(untouched, "the journal has no entry\n");
    assert!(matches!(run_with(&memory, &state, "drop m-cut --queue dlq", false).await, Err(DeadLetterError::Declined)));
    assert_eq!(run_with(&memory, &state, "history", true).await.unwrap(), untouched, "a refusal is not journalled");
    run_with(&memory, &state, "redrive m-alarm --queue dlq", true).await.unwrap();
    run_with(&memory, &state, "drop m-cut --queue dlq", true).await.unwrap();
    let text = run_with(&memory, &state, "history", true).await.unwrap();
    for part in [
        "[PersonRedroveLetters] dana redrives 1 dead letter of dlq",
        "  m-alarm alarm a ALARM to arn:aws:sqs:eu-west-1:1:mw-AlarmQueue-1",
        "[PersonDroppedLetters] dana deletes 1 dead letter of dlq",
        "  m-cut ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let entries = state.journal(&ports::StateKey::dead_letters(), 5).await.unwrap();
    let events: Vec<&Value> = entries.iter().filter_map(|entry| entry.body.pointer("/facts/letters/0/event")).collect();
    assert_eq!(events, [&json!("{\"AlarmName\":")], "the journal has the deleted event");
}

#[tokio::test]
async fn change_without_journal_requires_the_flag() {
    for call in ["load state", "note"] {
        let (memory, faults) = (letters(), Faults::default());
        let state = MemoryState::new(faults.clone());
        faults.whenever(move |one| one.name == call, Fault::Fails(Failure::Denied, Effect::NotDone));
        for line in ["redrive m-alarm --queue dlq", "drop m-cut --queue dlq"] {
            let refused = run_with(&memory, &state, line, true).await;
            assert!(matches!(refused, Err(DeadLetterError::Journal(_))), "{call} {line}");
            assert_eq!(memory.bodies("dlq").len(), 4, "{call} {line}");
        }
        for line in ["redrive m-alarm --queue dlq --no-journal", "drop m-cut --queue dlq --no-journal"] {
            run_with(&memory, &state, line, true).await.unwrap();
        }
        assert_eq!(memory.bodies("dlq").len(), 2);
    }
}
