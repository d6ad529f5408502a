//! `proxies`: the proxies that are connected to the control plane, and their state.

use jiff::Timestamp;
use mesh::name::ResourcePath;
use ports::certificates::{AcknowledgedSecrets, ProxyStream, SeenSecret};
use serde::Serialize;

use super::args::{Shape, ShowArgs};
use super::desk::Desk;
use super::error::Trouble;
use super::route_state::short;
use crate::columns::columns;

/// One connected proxy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Proxy {
    resource: ResourcePath,
    peer: String,
    since: Timestamp,
    up_to_date: bool,
    /// The number of the proxy's secrets by state; unset if unknown.
    secrets: Option<Secrets>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Secrets {
    acknowledged: usize,
    outstanding: usize,
    missing: usize,
    beside_proxy: usize,
    unrecognised: usize,
    /// The earliest end of the certificates in the acknowledged and outstanding secrets.
    first_expiry: Option<Timestamp>,
}

pub(super) async fn proxies(desk: &Desk<'_>, args: &ShowArgs) -> Result<String, Trouble> {
    let mut found = desk.ports.proxies.proxies().await?;
    found.retain(|stream| args.mesh.as_ref().is_none_or(|mesh| stream.proxy.mesh() == mesh));
    found.sort_by(|one, other| (&one.proxy, &one.peer).cmp(&(&other.proxy, &other.peer)));
    let proxies: Vec<Proxy> = found.into_iter().map(proxy).collect();
    match args.format {
        Shape::Table => Ok(table(&proxies, desk.now())),
        Shape::Json => {
            let mut text = serde_json::to_string_pretty(&proxies).map_err(Trouble::Output)?;
            text.push('\n');
            Ok(text)
        }
    }
}

fn proxy(stream: ProxyStream) -> Proxy {
    let ProxyStream { proxy, peer, since, up_to_date, secrets, rejected: _ } = stream;
    let secrets = match secrets {
        AcknowledgedSecrets::Unknown => None,
        AcknowledgedSecrets::Known(secrets) => {
            let count = |is: fn(&SeenSecret) -> bool| secrets.values().filter(|secret| is(secret)).count();
            let ends = secrets.values().flat_map(|secret| match secret {
                SeenSecret::Acknowledged { certificates } | SeenSecret::Outstanding { certificates } => {
                    certificates.as_slice()
                }
                SeenSecret::BesideProxy | SeenSecret::Missing | SeenSecret::Unrecognised(_) => &[],
            });
            Some(Secrets {
                acknowledged: count(|secret| matches!(secret, SeenSecret::Acknowledged { .. })),
                outstanding: count(|secret| matches!(secret, SeenSecret::Outstanding { .. })),
                missing: count(|secret| matches!(secret, SeenSecret::Missing)),
                beside_proxy: count(|secret| matches!(secret, SeenSecret::BesideProxy)),
                unrecognised: count(|secret| matches!(secret, SeenSecret::Unrecognised(_))),
                first_expiry: ends.map(|certificate| certificate.not_after).min(),
            })
        }
    };
    Proxy { resource: proxy, peer, since, up_to_date, secrets }
}

fn table(proxies: &[Proxy], now: Timestamp) -> String {
    if proxies.is_empty() {
        return "no proxy is connected to the replica of the control plane that responded\n".to_owned();
    }
    let mut rows = vec![["PROXY", "PEER", "SINCE", "STATE", "SECRETS", "FIRST EXPIRY"].map(str::to_owned)];
    rows.extend(proxies.iter().map(|proxy| {
        let state = if proxy.up_to_date { "up to date" } else { "behind" };
        let (secrets, expiry) = proxy.secrets.as_ref().map_or_else(
            || ("unknown".to_owned(), "-".to_owned()),
            |secrets| {
                (secret_counts(secrets), secrets.first_expiry.map_or_else(|| "-".to_owned(), |end| days(end, now)))
            },
        );
        [proxy.resource.to_string(), proxy.peer.clone(), short(proxy.since), state.to_owned(), secrets, expiry]
    }));
    columns(&rows, 2)
}

fn secret_counts(secrets: &Secrets) -> String {
    let counts = [
        (secrets.acknowledged, "acknowledged"),
        (secrets.outstanding, "outstanding"),
        (secrets.missing, "missing"),
        (secrets.beside_proxy, "local to the proxy"),
        (secrets.unrecognised, "unrecognised"),
    ];
    let counts: Vec<String> =
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

/// The time until an end in whole days.
fn days(end: Timestamp, now: Timestamp) -> String {
    let days = end.duration_since(now).as_hours().div_euclid(24);
    if end <= now { format!("ended {}", short(end)) } else { format!("in {days} days") }
}
