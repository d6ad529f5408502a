//! The handshakes that the proxies have counted, and the refused ones.

use std::collections::BTreeMap;

use serde_json::Value;

use super::shop::PROXIES;
use stack::Stack;
use stack::failure::Result;

/// A regular expression in a URL: `ssl\.(handshake|connection_error|fail_verify)`.
const FILTER: &str = "ssl%5C.(handshake%7Cconnection_error%7Cfail_verify)";

/// The counts of all participating proxies, by proxy and statistic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Handshakes(BTreeMap<String, u64>);

const MADE: &str = "ssl.handshake";

impl Handshakes {
    /// The counts since the start of the proxies.
    pub(super) fn count(stack: &Stack) -> Result<Self> {
        let mut all = BTreeMap::new();
        for (proxy, admin) in admins(stack) {
            let stats = stack.client.get(&format!("{admin}/stats?format=json&filter={FILTER}"))?.success("stats")?;
            for entry in stats.get("stats").and_then(Value::as_array).into_iter().flatten() {
                let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
                let value = entry.get("value").and_then(Value::as_u64).unwrap_or_default();
                all.insert(format!("{proxy}: {name}"), value);
            }
        }
        Ok(Self(all))
    }

    /// The increase since an earlier count. A cluster or listener that was replaced counts from zero.
    pub(super) fn since(&self, before: &Self) -> Self {
        let earlier = |name: &str| before.0.get(name).copied().unwrap_or_default();
        let later = |(name, count): (&String, &u64)| (name.clone(), count.checked_sub(earlier(name)).unwrap_or(*count));
        Self(self.0.iter().map(later).filter(|(_, count)| *count > 0).collect())
    }

    pub(super) fn made(&self) -> u64 {
        self.0.iter().filter(|(name, _)| name.ends_with(MADE)).map(|(_, count)| count).sum()
    }

    pub(super) fn refused(&self) -> u64 {
        self.0.iter().filter(|(name, _)| !name.ends_with(MADE)).map(|(_, count)| count).sum()
    }

    /// The statistics of refused handshakes, with their counts.
    pub(super) fn where_refused(&self) -> String {
        let refused = self.0.iter().filter(|(name, _)| !name.ends_with(MADE));
        refused.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    }
}

/// Starts or stops closing connections after each response of the listeners, as before a deployment: the next request
/// then needs a new handshake, with the current certificate and trust.
pub(super) fn close_connections(stack: &Stack, close: bool) -> Result<()> {
    let how = if close { "fail" } else { "ok" };
    for (_, admin) in admins(stack) {
        stack.client.post(&format!("{admin}/healthcheck/{how}"), &Value::Null)?.success("the proxy")?;
    }
    Ok(())
}

fn admins(stack: &Stack) -> impl Iterator<Item = (&str, &str)> {
    let ours = stack.data_plane.proxies.iter().filter(|proxy| PROXIES.contains(&proxy.name.as_str()));
    ours.map(|proxy| (proxy.name.as_str(), proxy.admin.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_handshakes_are_counted_separately() {
        let count = |made: u64, refused: u64| {
            let all = [("a: cluster.x.ssl.handshake", made), ("b: listener.y.ssl.fail_verify_error", refused)];
            Handshakes(all.into_iter().map(|(name, count)| (name.to_owned(), count)).collect())
        };
        let later = count(7, 3).since(&count(5, 3));
        assert_eq!((later.made(), later.refused()), (2, 0));
        // The cluster was replaced.
        let later = count(2, 4).since(&count(5, 3));
        assert_eq!((later.made(), later.refused()), (2, 1));
        assert_eq!(later.where_refused(), "b: listener.y.ssl.fail_verify_error 1");
    }
}
