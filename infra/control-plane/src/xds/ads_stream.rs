//! One ADS stream, from its first request to its end.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use envoy_types::pb::google::protobuf::value::Kind;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;
use xds::{ProxyId, ResourceType};

use super::AdsState;
use super::bounds::{self, shortened};
use super::listen::ConnectedPeer;
use super::machine::Machine;
use super::peer::{XdsPeer, admit, not_found};
use super::protocol::Protocol;
use super::proxy_snapshot::{ProxySnapshot, Served};
use super::registry::{AcknowledgedState, RegisteredStream, Registration, StreamInfo};
use super::stale;
use super::stream_token::TokenEnd;
use crate::connections::{Busy, Slot};
use crate::log::Truncated;
use crate::metrics::XdsType;
use crate::store::Freshness;

/// The member of a node's metadata that distinguishes an Envoy from others of the same resource.
const INSTANCE: &str = "meshwarden-instance";

/// How long a client may keep a stream open without a first request. Envoy sends it at once; other clients only
/// use resources.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// How long a proxy waits for its first snapshot, which takes milliseconds. Without one it may reconnect later.
const FIRST_SNAPSHOT: Duration = Duration::from_secs(30);

/// How long a proxy may take to acknowledge the last responses at shutdown. It takes milliseconds.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long previous clusters and the targets of previous gateway routes stay in a proxy that has acknowledged everything
/// else. Its worker threads may still have a request on its way to them, or a connection in its handshake: for
/// milliseconds, or longer on a busy machine.
const LINGER: Duration = Duration::from_millis(500);

/// The responses of a stream, created when the client reads them: a slow client receives the latest state when it is
/// ready, and nothing is queued for it meanwhile.
pub(super) fn responses_of<P: Protocol>(
    shared: Arc<AdsState>,
    connected_peer: ConnectedPeer,
    requests: impl Stream<Item = Result<P::Request, Status>> + Send + 'static,
) -> impl Stream<Item = Result<P::Response, Status>> + Send {
    let stop = shared.stop.clone();
    let ConnectedPeer { peer, slot } = connected_peer;
    let opening = Phase::UnidentifiedStream(Box::new(UnidentifiedStream {
        shared,
        peer,
        slot,
        requests: Box::pin(requests),
        stop,
    }));
    futures::stream::unfold(opening, async |phase: Phase<P>| match phase {
        Phase::UnidentifiedStream(opening) => match opening.first().await {
            Ok(Some(mut ads_stream)) => {
                let next = ads_stream.next().await?;
                Some(step(next, ads_stream))
            }
            Ok(None) => None,
            Err(status) => Some((Err(status), Phase::Ended)),
        },
        Phase::Open(mut ads_stream) => {
            let next = ads_stream.next().await?;
            Some(step(next, *ads_stream))
        }
        Phase::Ended => None,
    })
}

fn step<P: Protocol>(
    next: Result<P::Response, Status>,
    ads_stream: AdsStream<P>,
) -> (Result<P::Response, Status>, Phase<P>) {
    match next {
        Ok(response) => (Ok(response), Phase::Open(Box::new(ads_stream))),
        Err(status) => {
            tracing::info!(proxy = %ads_stream.id, %status, "ADS stream ended");
            (Err(status), Phase::Ended)
        }
    }
}

type Requests<P> = Pin<Box<dyn Stream<Item = Result<<P as Protocol>::Request, Status>> + Send>>;

enum Phase<P: Protocol> {
    UnidentifiedStream(Box<UnidentifiedStream<P>>),
    Open(Box<AdsStream<P>>),
    Ended,
}

/// A stream that has not identified its proxy.
struct UnidentifiedStream<P: Protocol> {
    shared: Arc<AdsState>,
    peer: XdsPeer,
    slot: Slot,
    requests: Requests<P>,
    stop: watch::Receiver<bool>,
}

impl<P: Protocol> UnidentifiedStream<P> {
    /// Reads the first request. `None` is an end without an error.
    async fn first(mut self) -> Result<Option<AdsStream<P>>, Status> {
        let request = tokio::select! {
            biased;
            () = stopped(&mut self.stop) => return Ok(None),
            request = timeout(FIRST_REQUEST, self.requests.next()) => request,
        };
        let Some(request) = request
            .map_err(|_| {
                self.shared.registry.metrics().stream_refused("no_request");
                Status::deadline_exceeded("no request arrived")
            })?
            .transpose()?
        else {
            return Ok(None);
        };
        let node = P::node(&request).ok_or_else(|| {
            Status::invalid_argument("the first request has no node id; set node.id to mesh/<mesh>/virtualNode/<name>")
        })?;
        let tokens = self.shared.tokens.as_ref();
        let permits = |token: &_, id: &_| tokens.is_some_and(|tokens| tokens.permits(token, id));
        let id = admit(&self.peer, &node.id, &self.shared.account, permits).inspect_err(|status| {
            tracing::warn!(node = %Truncated(&node.id), peer = %self.peer.address, %status, "refused ADS stream");
        })?;
        self.begin(id, request).await
    }

    async fn begin(self, id: ProxyId, request: P::Request) -> Result<Option<AdsStream<P>>, Status> {
        let Self { shared, peer, slot, requests, mut stop } = self;
        let mut freshness = shared.freshness.clone();
        let current = (*freshness.borrow_and_update()).max(shared.registry.store().freshness());
        if current == Freshness::Expired {
            shared.registry.metrics().stream_refused("stale");
            return Err(stale::refusal());
        }
        let mut served = shared.cache.serve(&id);
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return Ok(None),
            known = timeout(FIRST_SNAPSHOT, served.wait_for(|served| !matches!(served, Served::Unknown | Served::Waiting))) => {
                known.map_err(|_| ended())?.map_err(|_| ended())?;
            }
        }
        if matches!(*served.borrow(), Served::Missing(_)) {
            // This may be an older state of another stream, and the resource may have been created again since.
            shared.cache.settle().await;
        }
        let proxy_snapshot = proxy_snapshot(&served.borrow_and_update())?;
        let machine = Arc::new(Machine::begin(P::is_returning(&request), shared.registry.previous_resources(&id)));
        machine.note(&proxy_snapshot);
        let token_end = shared.token_end(&peer, &id)?;
        let info = stream_info(id.clone(), peer, P::NAME, P::node(&request));
        tracing::info!(
            proxy = %id,
            peer = %info.peer.address,
            protocol = P::NAME,
            agent = info.user_agent,
            "ADS stream opened"
        );
        let acknowledged: Arc<dyn AcknowledgedState> = Arc::<Machine<P>>::clone(&machine);
        let entry = RegisteredStream { who: Arc::new(info), acknowledged };
        let registration = shared.registry.enter(entry, shared.streams_per_proxy).ok_or_else(|| {
            shared.registry.metrics().stream_refused("too_many_streams");
            Status::resource_exhausted(format!("{id} has {} streams already", shared.streams_per_proxy))
        })?;
        let shared_age = shared.stream_age;
        let mut ads_stream = AdsStream {
            shared,
            id,
            requests,
            stop,
            served,
            proxy_snapshot,
            machine,
            waiting: VecDeque::new(),
            last: None,
            release_at: None,
            refused: BTreeMap::new(),
            stale_end: stale::end_of_stream(current, Instant::now()),
            age_end: age_end(shared_age, Instant::now()),
            freshness,
            token_end,
            _busy: slot.busy(),
            _registration: registration,
        };
        ads_stream.handle_request(request)?;
        Ok(Some(ads_stream))
    }
}

/// A stream of a known proxy.
struct AdsStream<P: Protocol> {
    shared: Arc<AdsState>,
    id: ProxyId,
    requests: Requests<P>,
    stop: watch::Receiver<bool>,
    served: watch::Receiver<Served>,
    proxy_snapshot: Arc<ProxySnapshot>,
    machine: Arc<Machine<P>>,
    waiting: VecDeque<P::Response>,
    /// The deadline for the client's acknowledgements at shutdown.
    last: Option<Instant>,
    /// The time at which previous clusters and targets of previous gateway routes are removed.
    release_at: Option<Instant>,
    /// The last refused version of each type, so that each refusal is logged once.
    refused: BTreeMap<ResourceType, String>,
    /// Whether the state is that of the log.
    freshness: watch::Receiver<Freshness>,
    /// When the stream ends because the state may be old.
    stale_end: Option<Instant>,
    /// When the stream ends because it is old enough.
    age_end: Option<Instant>,
    /// The end of the node token, which ends the stream.
    token_end: Option<TokenEnd>,
    /// Keeps the connection busy.
    _busy: Busy,
    _registration: Registration,
}

impl<P: Protocol> AdsStream<P> {
    /// The next response, or the error that ends the stream. `None` is a graceful end.
    async fn next(&mut self) -> Option<Result<P::Response, Status>> {
        loop {
            if let Some(response) = self.waiting.pop_front() {
                if let Some(kind) = metric(P::type_url_of(&response)) {
                    self.shared.registry.metrics().pushed(kind);
                }
                return Some(Ok(response));
            }
            if self.last.is_some() && self.machine.has(&self.proxy_snapshot) {
                return None;
            }
            let handled = tokio::select! {
                biased;
                () = stopped(&mut self.stop), if self.last.is_none() => self.drain().await,
                () = at(self.last) => return None,
                () = at(self.stale_end) => Err(stale::refusal()),
                // Brings the proxy up to date first, so that the next replica finds it so.
                () = at(self.age_end) => {
                    self.age_end = None;
                    self.last = Some(Instant::now() + DRAIN_TIMEOUT);
                    self.look()
                }
                () = stale::changed(&mut self.freshness) => self.look_at_freshness(),
                status = TokenEnd::reached(&mut self.token_end) => Err(status),
                () = at(self.release_at) => {
                    self.release();
                    Ok(())
                }
                request = self.requests.next() => match request {
                    Some(Ok(request)) => self.handle_request(request),
                    // The client has ended the stream or broken it off.
                    None => return None,
                    Some(Err(status)) => Err(status),
                },
                changed = self.served.changed() => match changed {
                    Ok(()) => self.look(),
                    Err(_) => Err(ended()),
                },
            };
            if let Err(status) = handled {
                return Some(Err(status));
            }
        }
    }

    /// Sends the last writes at shutdown, so that the next server finds the proxy in the same state and does not have
    /// to remove anything from it.
    async fn drain(&mut self) -> Result<(), Status> {
        self.last = Some(Instant::now() + DRAIN_TIMEOUT);
        // Also returns when the task that builds snapshots has ended.
        self.shared.cache.settle().await;
        self.look()
    }

    /// Applies a change of the freshness. What the stream missed while the state was old is sent once it is current.
    fn look_at_freshness(&mut self) -> Result<(), Status> {
        let freshness = *self.freshness.borrow_and_update();
        self.stale_end = stale::end_of_stream(freshness, Instant::now());
        self.look()
    }

    /// The freshness now. A process that was paused has not published the end of its freshness yet.
    fn current_freshness(&self) -> Freshness {
        (*self.freshness.borrow()).max(self.shared.registry.store().freshness())
    }

    fn handle_request(&mut self, mut request: P::Request) -> Result<(), Status> {
        self.within_bounds(&mut request)?;
        let request = &request;
        if let Some(node) = P::node(request)
            && node.id.parse::<ProxyId>().ok().map(|id| ProxyId { owner: None, ..id }).as_ref() != Some(&self.id)
        {
            return Err(Status::invalid_argument(format!(
                "the stream belongs to {}, but a later request has the node id {}",
                self.id,
                Truncated(&node.id)
            )));
        }
        let (is_response, responses) = {
            let mut machine = self.machine.lock();
            let is_response = machine.is_answer(request);
            (is_response, machine.on_request(request, self.proxy_snapshot.snapshot_for(self.machine.returning)))
        };
        let reports_versions = P::is_returning(request) && !is_response;
        let goes_back = responses.iter().any(|one| stale::may_go_back(ResourceType::of_url(P::type_url_of(one))));
        if reports_versions && goes_back && self.current_freshness() != Freshness::Current {
            self.shared.registry.metrics().stream_refused("stale");
            return Err(stale::refusal());
        }
        self.waiting.extend(responses);
        self.schedule_release();
        self.shared.registry.touch();
        if let Some(refusal) = P::refusal(request) {
            self.log_refusal(P::type_url(request), &refusal.message);
        }
        if let Some(kind) = metric(P::type_url(request)).filter(|_| is_response) {
            let metrics = self.shared.registry.metrics();
            if P::refusal(request).is_some() { metrics.nacked(kind) } else { metrics.acked(kind) }
        }
        Ok(())
    }

    /// Shortens the text of a NACK, and refuses resource names beyond the limit.
    fn within_bounds(&self, request: &mut P::Request) -> Result<(), Status> {
        let kept = self.machine.lock().name_bytes();
        bounds::apply::<P>(request, kept).inspect_err(|status| {
            self.shared.registry.metrics().stream_refused("too_many_names");
            tracing::warn!(proxy = %self.id, %status, "ended ADS stream at a limit");
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
            tracing::warn!(
                proxy = %self.id,
                ?kind,
                version,
                reason = %Truncated(message),
                "proxy rejected an update (NACK) and keeps its configuration"
            );
            self.refused.insert(kind, version);
        }
    }

    /// Applies the proxy's current state to the stream.
    fn look(&mut self) -> Result<(), Status> {
        let served = self.served.borrow_and_update().clone();
        let is_current = self.current_freshness() == Freshness::Current;
        if matches!(served, Served::Waiting) || !is_current {
            return Ok(());
        }
        self.proxy_snapshot = proxy_snapshot(&served)?;
        self.machine.note(&self.proxy_snapshot);
        let responses = {
            let mut machine = self.machine.lock();
            machine.on_snapshot(self.proxy_snapshot.snapshot_for(self.machine.returning))
        };
        self.waiting.extend(responses);
        self.schedule_release();
        self.shared.registry.touch();
        Ok(())
    }

    /// Schedules the removal of previous clusters and targets of previous gateway routes, or cancels it while the proxy may
    /// still need them.
    fn schedule_release(&mut self) {
        let snapshot = self.proxy_snapshot.snapshot_for(self.machine.returning);
        let lingers = self.machine.lock().lingers(snapshot);
        self.release_at = lingers.then(|| self.release_at.unwrap_or_else(|| Instant::now() + LINGER));
    }

    fn release(&mut self) {
        let snapshot = self.proxy_snapshot.snapshot_for(self.machine.returning);
        let responses = self.machine.lock().release(snapshot);
        self.waiting.extend(responses);
        self.release_at = None;
    }
}

/// The snapshot of a proxy. The error for a deleted resource is the code that App Mesh documents. The proxy keeps its
/// configuration and reconnects in case the resource is created again. An empty snapshot instead would cut off an
/// application that may still have traffic.
fn proxy_snapshot(served: &Served) -> Result<Arc<ProxySnapshot>, Status> {
    match served {
        Served::Ready(proxy_snapshot) => Ok(Arc::clone(proxy_snapshot)),
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

/// When a stream that opens now ends: the age, give or take a tenth, so that streams do not end together.
fn age_end(age: Option<Duration>, now: Instant) -> Option<Instant> {
    let age = age?;
    let percent = u32::try_from(uuid::Uuid::new_v4().as_u128() % 21).unwrap_or_default();
    Some(now + age * (90 + percent) / 100)
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the server was dropped, which is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn stream_info(id: ProxyId, peer: XdsPeer, protocol: &'static str, node: Option<&Node>) -> StreamInfo {
    let version = node.and_then(|node| match node.user_agent_version_type.as_ref()? {
        UserAgentVersionType::UserAgentVersion(version) => Some(version.clone()),
        UserAgentVersionType::UserAgentBuildVersion(build) => {
            let version = build.version.as_ref()?;
            Some(format!("{}.{}.{}", version.major_number, version.minor_number, version.patch))
        }
    });
    let name = node.map(|node| node.user_agent_name.clone()).unwrap_or_default();
    let user_agent = [name, version.unwrap_or_default()].join(" ").trim().to_owned();
    let instance = node.and_then(|node| node.metadata.as_ref()).and_then(|metadata| metadata.fields.get(INSTANCE));
    let instance = match instance.and_then(|value| value.kind.as_ref()) {
        Some(Kind::StringValue(instance)) => shortened(instance).to_owned(),
        Some(_) | None => String::new(),
    };
    StreamInfo {
        id,
        instance,
        peer,
        since: Timestamp::now(),
        protocol,
        cluster: node.map(|node| shortened(&node.cluster).to_owned()).unwrap_or_default(),
        user_agent: shortened(&user_agent).to_owned(),
    }
}

#[cfg(test)]
mod tests;
