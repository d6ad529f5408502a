//! The sample events.

use std::path::Path;

use runner::events::Payload;

use crate::shop::{Shop, sample};

#[tokio::test(start_paused = true)]
async fn each_sample_event_is_read_and_handled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/traffic-shift");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["alarm-metric", "rollout-requested", "sqs-rollout-requested", "tick-rule"]);
    for name in names {
        let event = sample(&name);
        let read = runner::events::parse(&event);
        let is_ours = |payload: &Payload| matches!(payload, Payload::Rollout(_) | Payload::Tick | Payload::Alarm(_));
        assert!(!read.is_empty() && read.iter().all(|one| is_ours(&one.payload)), "{name}: {read:?}");
        let shop = Shop::open();
        shop.start().await.answer(&event).await.unwrap();
        let is_request = name.contains("rollout");
        assert_eq!(shop.index().active.len(), usize::from(is_request), "{name}");
    }
}
