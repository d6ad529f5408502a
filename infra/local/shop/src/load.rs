//! A steady load through the gateway: so many requests a second, however long each takes.

use std::sync::Arc;
use std::time::Duration;

use reqwest::RequestBuilder;
use tokio::time::{MissedTickBehavior, interval};

use crate::application::SERVED_BY;
use crate::control::{Control, Load};

/// Sends requests until it is dropped; those under way then still finish and count.
pub(crate) async fn run(control: Arc<Control>, load: Load) {
    let mut ticks = interval(Duration::from_secs(1) / load.per_second.max(1));
    // A machine that was busy for a moment catches up; a rate that fell unnoticed would hide failures.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for path in load.paths.iter().cycle() {
        ticks.tick().await;
        let mut request = control.client().get(format!("http://{}{path}", control.gateway()));
        for (name, value) in &load.headers {
            request = request.header(name, value);
        }
        tokio::spawn(send(Arc::clone(&control), request));
    }
}

async fn send(control: Arc<Control>, request: RequestBuilder) {
    let (served_by, succeeded) = match request.send().await {
        Ok(answer) => {
            let by = answer.headers().get(SERVED_BY).and_then(|by| by.to_str().ok()).unwrap_or_default().to_owned();
            (by, answer.status().is_success())
        }
        Err(_) => (String::new(), false),
    };
    control.tally().count(&served_by, succeeded);
}
