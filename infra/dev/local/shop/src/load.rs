//! A steady load through the gateway: a fixed number of requests per second, independent of their duration.

use std::sync::Arc;
use std::time::Duration;

use reqwest::RequestBuilder;
use tokio::time::{MissedTickBehavior, interval};

use crate::application::SERVED_BY;
use crate::control::{Control, Load};

/// Sends requests until it is dropped; requests in progress then still finish and are counted.
pub(crate) async fn run(control: Arc<Control>, load: Load) {
    let mut ticks = interval(Duration::from_secs(1) / load.per_second.max(1));
    // After a busy moment of the machine the missed requests follow, since a lower rate would hide failures.
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
