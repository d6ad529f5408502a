//! One ADS stream, from its first request to its end.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;
use xds::{ProxyId, ResourceType};

use super::Shared;
use super::bounds::{self, shortened};
use super::listen::Guest;
use super::machine::Machine;
use super::peer::{Peer, admit, not_found};
use super::picture::{Picture, Served};
use super::protocol::Protocol;
use super::roster::{Acknowledged, Entry, Introduction, Seat};
use crate::connections::{Busy, Slot};
use crate::log::Short;
use crate::metrics::XdsType;

/// How long a client may leave its stream without a first request. Envoy sends it at once; anything else only takes up
/// room.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// How long a proxy waits for its first snapshot, which takes milliseconds. If there is none, it may ask again later.
const FIRST_PICTURE: Duration = Duration::from_secs(30);

/// How long a proxy may take for what is on its way to it when the server ends. It takes milliseconds.
const LAST_CALL: Duration = Duration::from_secs(1);

/// The responses of a stream, made as the client takes them: a slow client is sent the latest state when it is ready
/// for more, and nothing is queued for it meanwhile.
pub(super) fn converse<P: Protocol>(
    shared: Arc<Shared>,
    guest: Guest,
    requests: impl Stream<Item = Result<P::Request, Status>> + Send + 'static,
) -> impl Stream<Item = Result<P::Response, Status>> + Send {
    let stop = shared.stop.clone();
    let Guest { peer, slot } = guest;
    let opening = Phase::Opening(Box::new(Opening { shared, peer, slot, requests: Box::pin(requests), stop }));
    futures::stream::unfold(opening, async |phase: Phase<P>| match phase {
        Phase::Opening(opening) => match opening.first().await {
            Ok(Some(mut conversation)) => {
                let next = conversation.next().await?;
                Some(step(next, conversation))
            }
            Ok(None) => None,
            Err(status) => Some((Err(status), Phase::Ended)),
        },
        Phase::Talking(mut conversation) => {
            let next = conversation.next().await?;
            Some(step(next, *conversation))
        }
        Phase::Ended => None,
    })
}

fn step<P: Protocol>(
    next: Result<P::Response, Status>,
    conversation: Conversation<P>,
) -> (Result<P::Response, Status>, Phase<P>) {
    match next {
        Ok(response) => (Ok(response), Phase::Talking(Box::new(conversation))),
        Err(status) => {
            tracing::info!(proxy = %conversation.id, %status, "xds stream ended");
            (Err(status), Phase::Ended)
        }
    }
}

type Requests<P> = Pin<Box<dyn Stream<Item = Result<<P as Protocol>::Request, Status>> + Send>>;

enum Phase<P: Protocol> {
    Opening(Box<Opening<P>>),
    Talking(Box<Conversation<P>>),
    Ended,
}

/// A stream that has not said who it is.
struct Opening<P: Protocol> {
    shared: Arc<Shared>,
    peer: Peer,
    slot: Slot,
    requests: Requests<P>,
    stop: watch::Receiver<bool>,
}

impl<P: Protocol> Opening<P> {
    /// Takes the first request. `None` is an end that needs no reason.
    async fn first(mut self) -> Result<Option<Conversation<P>>, Status> {
        let request = tokio::select! {
            biased;
            () = stopped(&mut self.stop) => return Ok(None),
            request = timeout(FIRST_REQUEST, self.requests.next()) => request,
        };
        let Some(request) = request
            .map_err(|_| {
                self.shared.roster.metrics().stream_refused("no_request");
                Status::deadline_exceeded("no request came")
            })?
            .transpose()?
        else {
            return Ok(None);
        };
        let node = P::node(&request).ok_or_else(|| {
            Status::invalid_argument("the first request has no node id: set node.id to mesh/<mesh>/virtualNode/<name>")
        })?;
        let id = admit(&self.peer, &node.id, &self.shared.account).inspect_err(|status| {
            tracing::warn!(node = %Short(&node.id), peer = %self.peer.place, %status, "xds stream refused");
        })?;
        self.begin(id, request).await
    }

    async fn begin(self, id: ProxyId, request: P::Request) -> Result<Option<Conversation<P>>, Status> {
        let Self { shared, peer, slot, requests, mut stop } = self;
        let mut served = shared.cache.serve(&id);
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return Ok(None),
            known = timeout(FIRST_PICTURE, served.wait_for(|served| !matches!(served, Served::Unknown | Served::Waiting))) => {
                known.map_err(|_| ended())?.map_err(|_| ended())?;
            }
        }
        if matches!(*served.borrow(), Served::Missing(_)) {
            // Another stream's last word on it, perhaps, and the resource was created again since.
            shared.cache.settle().await;
        }
        let picture = picture(&served.borrow_and_update())?;
        let machine = Arc::new(Machine::begin(P::is_returning(&request), shared.roster.former(&id)));
        machine.note(&picture);
        let introduction = introduce(id.clone(), peer, P::NAME, P::node(&request));
        tracing::info!(proxy = %id, peer = %introduction.peer.place, protocol = P::NAME, agent = introduction.user_agent,
            "xds stream");
        let acknowledged: Arc<dyn Acknowledged> = Arc::<Machine<P>>::clone(&machine);
        let entry = Entry { who: Arc::new(introduction), acknowledged };
        let seat = shared.roster.enter(entry, shared.streams_per_proxy).ok_or_else(|| {
            shared.roster.metrics().stream_refused("too_many_streams");
            Status::resource_exhausted(format!("{id} has {} streams already", shared.streams_per_proxy))
        })?;
        let mut conversation = Conversation {
            shared,
            id,
            requests,
            stop,
            served,
            picture,
            machine,
            waiting: VecDeque::new(),
            last: None,
            refused: BTreeMap::new(),
            _busy: slot.busy(),
            _seat: seat,
        };
        conversation.hear(request)?;
        Ok(Some(conversation))
    }
}

/// A stream whose proxy is known.
struct Conversation<P: Protocol> {
    shared: Arc<Shared>,
    id: ProxyId,
    requests: Requests<P>,
    stop: watch::Receiver<bool>,
    served: watch::Receiver<Served>,
    picture: Arc<Picture>,
    machine: Arc<Machine<P>>,
    waiting: VecDeque<P::Response>,
    /// Until when the client may still take what it was sent, once the server ends.
    last: Option<Instant>,
    /// The version of each type that was refused last, so that each is logged once.
    refused: BTreeMap<ResourceType, String>,
    /// The connection is not idle meanwhile.
    _busy: Busy,
    _seat: Seat,
}

impl<P: Protocol> Conversation<P> {
    /// The next response, or why there is none any more. `None` is a graceful end.
    async fn next(&mut self) -> Option<Result<P::Response, Status>> {
        loop {
            if let Some(response) = self.waiting.pop_front() {
                if let Some(kind) = metric(P::type_url_of(&response)) {
                    self.shared.roster.metrics().pushed(kind);
                }
                return Some(Ok(response));
            }
            if self.last.is_some() && self.machine.has(&self.picture) {
                return None;
            }
            let heard = tokio::select! {
                biased;
                () = stopped(&mut self.stop), if self.last.is_none() => self.last_call().await,
                () = at(self.last) => return None,
                request = self.requests.next() => match request {
                    Some(Ok(request)) => self.hear(request),
                    // The client is done; if it broke off, there is nobody to tell.
                    None => return None,
                    Some(Err(status)) => Err(status),
                },
                changed = self.served.changed() => match changed {
                    Ok(()) => self.look(),
                    Err(_) => Err(ended()),
                },
            };
            if let Err(status) = heard {
                return Some(Err(status));
            }
        }
    }

    /// The server ends: what was written before still goes out, so that the next one finds the proxy where this one left
    /// it and has nothing to take from it.
    async fn last_call(&mut self) -> Result<(), Status> {
        self.last = Some(Instant::now() + LAST_CALL);
        // Also answered, in its way, once nobody makes pictures any more.
        self.shared.cache.settle().await;
        self.look()
    }

    fn hear(&mut self, mut request: P::Request) -> Result<(), Status> {
        self.within_bounds(&mut request)?;
        let request = &request;
        if let Some(node) = P::node(request)
            && node.id.parse::<ProxyId>().ok().map(|id| ProxyId { owner: None, ..id }).as_ref() != Some(&self.id)
        {
            return Err(Status::invalid_argument(format!(
                "the stream is {}'s, and a later request has the node id {}",
                self.id,
                Short(&node.id)
            )));
        }
        let (is_answer, responses) = {
            let mut machine = self.machine.lock();
            let is_answer = machine.is_answer(request);
            (is_answer, machine.on_request(request, self.picture.snapshot_for(self.machine.returning)))
        };
        self.waiting.extend(responses);
        if let Some(refusal) = P::refusal(request) {
            self.log_refusal(P::type_url(request), &refusal.message);
        }
        if let Some(kind) = metric(P::type_url(request)).filter(|_| is_answer) {
            let metrics = self.shared.roster.metrics();
            if P::refusal(request).is_some() { metrics.nacked(kind) } else { metrics.acked(kind) }
        }
        Ok(())
    }

    /// Shortens what a proxy says about a refusal, and refuses more names than are kept for it.
    fn within_bounds(&self, request: &mut P::Request) -> Result<(), Status> {
        let kept = self.machine.lock().name_bytes();
        bounds::apply::<P>(request, kept).inspect_err(|status| {
            self.shared.roster.metrics().stream_refused("too_many_names");
            tracing::warn!(proxy = %self.id, %status, "xds stream ended by its limits");
        })
    }

    fn log_refusal(&mut self, type_url: &str, message: &str) {
        let Some(kind) = ResourceType::of_url(type_url) else {
            return;
        };
        let version = {
            let machine = self.machine.lock();
            let nack = machine.status().types.get(&kind).and_then(|status| status.nack.as_ref());
            nack.map(|nack| nack.version.to_string()).unwrap_or_default()
        };
        if self.refused.get(&kind) != Some(&version) {
            tracing::warn!(proxy = %self.id, ?kind, version, reason = %Short(message), "NACK: the proxy refused it and keeps what it has");
            self.refused.insert(kind, version);
        }
    }

    /// Takes up what the proxy is to have now.
    fn look(&mut self) -> Result<(), Status> {
        let served = self.served.borrow_and_update().clone();
        if matches!(served, Served::Waiting) {
            return Ok(());
        }
        self.picture = picture(&served)?;
        self.machine.note(&self.picture);
        let responses = {
            let mut machine = self.machine.lock();
            machine.on_snapshot(self.picture.snapshot_for(self.machine.returning))
        };
        self.waiting.extend(responses);
        Ok(())
    }
}

/// A proxy whose resource is deleted is told the code that App Mesh documents for one that doesn't exist. Nothing is
/// taken from it: it goes on with what it has, and comes back by itself in case the resource is created again. To send
/// it an empty snapshot instead would cut off an application that may still have traffic.
fn picture(served: &Served) -> Result<Arc<Picture>, Status> {
    match served {
        Served::Ready(picture) => Ok(Arc::clone(picture)),
        Served::Missing(path) => Err(not_found(&path.to_string())),
        Served::Unknown | Served::Waiting => Err(ended()),
    }
}

fn ended() -> Status {
    Status::unavailable("the control plane has no state to serve")
}

fn metric(type_url: &str) -> Option<XdsType> {
    ResourceType::of_url(type_url).map(|kind| match kind {
        ResourceType::Cluster => XdsType::Cluster,
        ResourceType::Endpoint => XdsType::Endpoint,
        ResourceType::Secret => XdsType::Secret,
        ResourceType::Listener => XdsType::Listener,
        ResourceType::Route => XdsType::Route,
    })
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn introduce(id: ProxyId, peer: Peer, protocol: &'static str, node: Option<&Node>) -> Introduction {
    let version = node.and_then(|node| match node.user_agent_version_type.as_ref()? {
        UserAgentVersionType::UserAgentVersion(version) => Some(version.clone()),
        UserAgentVersionType::UserAgentBuildVersion(build) => {
            let version = build.version.as_ref()?;
            Some(format!("{}.{}.{}", version.major_number, version.minor_number, version.patch))
        }
    });
    let name = node.map(|node| node.user_agent_name.clone()).unwrap_or_default();
    let user_agent = [name, version.unwrap_or_default()].join(" ").trim().to_owned();
    Introduction {
        id,
        peer,
        since: Timestamp::now(),
        protocol,
        cluster: node.map(|node| shortened(&node.cluster).to_owned()).unwrap_or_default(),
        user_agent: shortened(&user_agent).to_owned(),
    }
}

#[cfg(test)]
mod tests;
