//! The light load on a stack that stays: enough for statistics and decisions, little for the machine.

use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::http::Client;
use crate::interrupt;

/// How many requests a second there are.
pub(super) const PER_SECOND: u32 = 6;

/// One for each service that answers without a cookie.
const PATHS: [&str; 5] = ["/products/1", "/cart", "/orders", "/reviews", "/search"];

/// The catalog's route matches requests that have it.
const HEADER: (&str, &str) = ("x-shop-region", "eu-west");

/// Envoys that have just started first check the health of their neighbours.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// Begins or ends the load; `shop` is where the applications are controlled.
pub(super) fn switch(client: &Client, shop: &str, on: bool) -> Result<()> {
    let url = format!("{shop}/load");
    let answer = if on {
        client.put(&url, &json!({"paths": PATHS, "headers": {HEADER.0: HEADER.1}, "perSecond": PER_SECOND}))
    } else {
        client.delete(&url)
    };
    answer?.success("the load").map(drop)
}

/// Waits until a request to the gateway is answered.
pub(super) fn until_answered(client: &Client, gateway: &str) -> Result<()> {
    let url = format!("http://{gateway}/");
    let mut last = Value::Null;
    let answered = interrupt::poll(ANSWERED_WITHIN, || match client.get(&url) {
        Ok(answer) if answer.status == 200 => Ok(Some(())),
        Ok(answer) => {
            last = json!({"status": answer.status, "body": answer.body});
            Ok(None)
        }
        Err(error) => {
            last = json!(error.to_string());
            Ok(None)
        }
    })?;
    answered.ok_or_else(|| Failure::Refused { what: format!("the gateway {gateway}"), answer: last.to_string() })
}
