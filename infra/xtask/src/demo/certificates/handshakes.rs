//! What the proxies themselves have counted: handshakes, and those that were refused.

use serde_json::Value;

use super::shop::PROXIES;
use crate::failure::Result;
use crate::stack::Stack;

/// A regular expression in a URL: `ssl\.(handshake|connection_error|fail_verify)`.
const FILTER: &str = "ssl%5C.(handshake%7Cconnection_error%7Cfail_verify)";

/// Of all four proxies, since they started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Handshakes {
    pub(super) made: u64,
    pub(super) refused: u64,
}

impl Handshakes {
    pub(super) fn count(stack: &Stack) -> Result<Self> {
        let mut sum = Self::default();
        for admin in admins(stack) {
            let stats = stack.client.get(&format!("{admin}/stats?format=json&filter={FILTER}"))?.success("stats")?;
            for entry in stats.get("stats").and_then(Value::as_array).into_iter().flatten() {
                let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
                let value = entry.get("value").and_then(Value::as_u64).unwrap_or_default();
                if name.ends_with("ssl.handshake") {
                    sum.made += value;
                } else {
                    sum.refused += value;
                }
            }
        }
        Ok(sum)
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self { made: self.made - before.made, refused: self.refused - before.refused }
    }
}

/// From now on, or no longer, every answer of the listeners asks its connection to be closed, as before a deployment: who
/// calls next greets anew, and sees what is presented and trusted now.
pub(super) fn close_connections(stack: &Stack, close: bool) -> Result<()> {
    let how = if close { "fail" } else { "ok" };
    for admin in admins(stack) {
        stack.client.post(&format!("{admin}/healthcheck/{how}"), &Value::Null)?.success("the proxy")?;
    }
    Ok(())
}

fn admins(stack: &Stack) -> Vec<String> {
    let ours = stack.data_plane.proxies.iter().filter(|proxy| PROXIES.contains(&proxy.name.as_str()));
    ours.map(|proxy| proxy.admin.clone()).collect()
}
