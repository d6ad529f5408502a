//! The light load on a stack that `up` started: enough for statistics and decisions, without occupying the machine.

use std::time::Duration;

use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::http::Client;
use crate::interrupt;

/// Requests per second.
pub(super) const PER_SECOND: u32 = 6;

/// One path for each service that needs no cookie.
const PATHS: [&str; 5] = ["/products/1", "/cart", "/orders", "/reviews", "/search"];

/// A header that the catalog's route matches.
const HEADER: (&str, &str) = ("x-shop-region", "eu-west");

/// The time limit of the first response: new Envoys first check the health of their neighbours.
const FIRST_RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts or stops the load; `shop` is the address of the applications' control server.
pub(super) fn switch(client: &Client, shop: &str, on: bool) -> Result<()> {
    let url = format!("{shop}/load");
    let answer = if on {
        client.put(&url, &json!({"paths": PATHS, "headers": {HEADER.0: HEADER.1}, "perSecond": PER_SECOND}))
    } else {
        client.delete(&url)
    };
    answer?.success("the load").map(drop)
}

/// Waits until the gateway answers a request.
pub(super) fn until_answered(client: &Client, gateway: &str) -> Result<()> {
    let url = format!("http://{gateway}/");
    let mut last = Value::Null;
    let answered = interrupt::poll(FIRST_RESPONSE_TIMEOUT, || match client.get(&url) {
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
