//! A relay between a function and the services that it calls. It counts every request, and can strike one of them: with
//! the death of the caller or with a fault.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::serve::Listener as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::faults::{Connection, Fault, SeverableListener};
use crate::iam::{self, Need};

/// The point in a request at which the caller dies, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The caller sent the request, but the service did not receive it.
    Before,
    /// The service executed the request, but the response was lost.
    After,
}

/// A request that the relay forwarded.
#[derive(Clone, Debug)]
pub struct Passed {
    /// The requested operation: its name if the protocol has one (`IssueCertificate`), otherwise method and path.
    pub operation: String,
    /// The body of the request.
    pub body: String,
    /// The body of the response, once there is one.
    pub answer: String,
    /// The permissions that the request needs.
    pub needs: Vec<Need>,
    /// When the relay received the request.
    pub received: Instant,
    /// When the relay sent the response, once there is one.
    pub answered: Option<Instant>,
}

/// A relay with one address for each service, and one count over all of them. Dropping it ends it.
#[derive(Debug)]
pub struct Way {
    addresses: Vec<(String, String)>,
    state: Arc<RelayState>,
    serving: Vec<JoinHandle<()>>,
}

/// The forwarded requests, and the planned strike and faults.
#[derive(Debug, Default)]
struct RelayState {
    passed: Mutex<Vec<Passed>>,
    death: Mutex<PlannedDeath>,
    faults: Mutex<Faults>,
    struck: Notify,
    /// The latency that the relay adds to each request, until a request of this operation.
    latency: Mutex<Option<(Duration, String)>>,
    /// Whether the relay removes the headers of requests that only our own control plane supports.
    is_plain: AtomicBool,
}

/// The planned faults, and the faults that have happened.
#[derive(Debug, Default)]
struct Faults {
    seen: usize,
    at: Option<(usize, Fault)>,
    lasting: Option<(String, Fault)>,
    /// The action that the caller's role does not grant.
    denied: Option<String>,
    /// Faults for the next requests of an operation, or with an address that contains the text; the number is how many.
    next: Vec<(String, Fault, usize)>,
    happened: Vec<(String, Fault)>,
}

#[derive(Debug, Default)]
struct PlannedDeath {
    seen: usize,
    at: Option<(usize, Side)>,
    /// Whether the strike has happened. After it no request is forwarded, as if the caller were dead.
    shut: bool,
}

impl Way {
    /// Starts a relay for each service: `("AWS_ENDPOINT_URL_APP_MESH", "http://127.0.0.1:8080")`.
    pub async fn to(services: &[(&str, &str)]) -> Self {
        let state = Arc::<RelayState>::default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (mut addresses, mut serving) = (Vec::new(), Vec::new());
        for (variable, endpoint) in services {
            let (address, task) = open(endpoint, &state, &client).await;
            addresses.push(((*variable).to_owned(), address));
            serving.push(task);
        }
        Self { addresses, state, serving }
    }

    /// The addresses of the relay, by the variables of the services' endpoints.
    #[must_use]
    pub fn variables(&self) -> &[(String, String)] {
        &self.addresses
    }

    /// Restarts the count, and strikes the request with this number, counted from 0.
    pub fn strike(&self, request: usize, side: Side) {
        *self.state.death.lock().unwrap() = PlannedDeath { seen: 0, at: Some((request, side)), shut: false };
    }

    /// Restarts the count, and replaces the response to the request with this number, counted from 0, with a fault.
    pub fn inject(&self, request: usize, fault: Fault) {
        let mut faults = self.state.faults.lock().unwrap();
        (faults.seen, faults.at) = (0, Some((request, fault)));
    }

    /// Replaces every response to this operation with a fault, until [`Way::heal`].
    pub fn inject_always(&self, operation: &str, fault: Fault) {
        self.state.faults.lock().unwrap().lasting = Some((operation.to_owned(), fault));
    }

    /// Replaces the next `times` responses to an operation, or to requests with an address that contains this text,
    /// with a fault.
    pub fn inject_next(&self, operation: &str, fault: Fault, times: usize) {
        self.state.faults.lock().unwrap().next.push((operation.to_owned(), fault, times));
    }

    /// Removes an action from the caller's role, as in `appmesh:DescribeRoute`.
    pub fn deny(&self, action: &str) {
        self.state.faults.lock().unwrap().denied = Some(action.to_owned());
    }

    /// Adds a latency to each request before the first one of an operation, so that requests that wait for each other
    /// differ from parallel ones.
    pub fn set_latency(&self, latency: Duration, until: &str) {
        *self.state.latency.lock().unwrap() = Some((latency, until.to_owned()));
    }

    /// The requests that the first request of `operation` after the first `skipped` requests waited for, one after the
    /// other: the longest sequence in which each request follows the response to the one before. `None` without such a
    /// request.
    #[must_use]
    pub fn sequence_before(&self, skipped: usize, operation: &str) -> Option<Vec<String>> {
        let passed = self.passed();
        let passed = &passed[skipped..];
        let last = passed.iter().position(|request| request.operation.starts_with(operation))?;
        // The longest sequence that ends with each request.
        let mut sequences: Vec<Vec<String>> = Vec::new();
        for request in &passed[..=last] {
            let is_before = |other: &Passed| other.answered.is_some_and(|answered| answered <= request.received);
            let before = passed.iter().zip(&sequences).filter(|(other, _)| is_before(other));
            let longest = before.map(|(_, sequence)| sequence).max_by_key(|sequence| sequence.len());
            let mut sequence = longest.cloned().unwrap_or_default();
            sequence.push(request.operation.clone());
            sequences.push(sequence);
        }
        let mut sequence = sequences.pop()?;
        sequence.pop();
        Some(sequence)
    }

    /// Makes the services respond as AWS does, without members that only our own control plane adds.
    pub fn answer_as_aws(&self) {
        self.state.is_plain.store(true, Ordering::Relaxed);
    }

    /// Stops injecting faults.
    pub fn heal(&self) {
        let mut faults = self.state.faults.lock().unwrap();
        (faults.at, faults.lasting, faults.denied) = (None, None, None);
        faults.next.clear();
    }

    /// The faults that happened, each with its operation.
    #[must_use]
    pub fn happened(&self) -> Vec<(String, Fault)> {
        self.state.faults.lock().unwrap().happened.clone()
    }

    /// The subjects of the pages that were forwarded, as a form encodes them. Notices of other urgencies
    /// are not included.
    #[must_use]
    pub fn pages(&self) -> Vec<String> {
        let is_page = |passed: &Passed| passed.operation == "Publish" && passed.body.contains("StringValue=page");
        let subject = |passed: Passed| Some(passed.body.split_once("&Subject=")?.1.split('&').next()?.to_owned());
        self.passed().into_iter().filter(is_page).filter_map(subject).collect()
    }

    /// Waits for the strike.
    pub async fn struck(&self) {
        self.state.struck.notified().await;
    }

    /// Forwards all requests again.
    pub fn clear(&self) {
        *self.state.death.lock().unwrap() = PlannedDeath::default();
    }

    /// The subjects of all notices that were forwarded, as a form encodes them.
    #[must_use]
    pub fn subjects(&self) -> BTreeSet<String> {
        let subject = |passed: Passed| Some(passed.body.split_once("&Subject=")?.1.split('&').next()?.to_owned());
        self.passed().into_iter().filter_map(subject).collect()
    }

    /// The forwarded requests, in order.
    #[must_use]
    pub fn passed(&self) -> Vec<Passed> {
        self.state.passed.lock().unwrap().clone()
    }

    /// The number of forwarded requests of this operation.
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        self.passed().iter().filter(|passed| passed.operation == operation).count()
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

async fn open(target: &str, state: &Arc<RelayState>, client: &reqwest::Client) -> (String, JoinHandle<()>) {
    let listener = SeverableListener::bind().await;
    let address = format!("http://{}", listener.local_addr().unwrap());
    let relay = RelayTarget { target: target.to_owned(), state: Arc::clone(state), client: client.clone() };
    let serving = tokio::spawn(async move {
        let app = Router::new().fallback(pass).with_state(relay);
        axum::serve(listener, app.into_make_service_with_connect_info::<Connection>()).await.unwrap();
    });
    (address, serving)
}

#[derive(Clone)]
struct RelayTarget {
    target: String,
    state: Arc<RelayState>,
    client: reqwest::Client,
}

async fn pass(
    State(relay): State<RelayTarget>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let needs = iam::needs(&method, &uri, &headers, &String::from_utf8_lossy(&body));
    let named = || operation(&method, &uri, &headers, &String::from_utf8_lossy(&body));
    if relay.state.denies(&needs, named)
        && let Some(answer) = Fault::Denied.answer(&uri, &headers, &body)
    {
        return answer;
    }
    let fault = relay.state.fault(named, &uri.to_string());
    // A client only checks the status of a call without output, and does not read the body. With `Fault::Malformed`
    // such a call is executed.
    let has_output = !["/v20190125/tag", "/v20190125/untag"].contains(&uri.path());
    let early = fault.filter(|fault| has_output || *fault != Fault::Malformed);
    if let Some(answer) = early.and_then(|fault| fault.answer(&uri, &headers, &body)) {
        return answer;
    }
    match fault {
        Some(Fault::Reset) => return connection.reset().await,
        Some(Fault::NoAnswer) => return std::future::pending().await,
        _ => {}
    }
    let side = match relay.state.enter() {
        Entry::Open => None,
        Entry::Struck(side) => Some(side),
        Entry::Shut => return std::future::pending().await,
    };
    if side == Some(Side::Before) {
        relay.state.struck.notify_one();
        return std::future::pending().await;
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    let operation = operation(&method, &uri, &headers, &text);
    let passed =
        Passed { operation, body: text, answer: String::new(), needs, received: Instant::now(), answered: None };
    let number = relay.state.note(passed);
    if let Some(latency) = relay.state.latency(number) {
        tokio::time::sleep(latency).await;
    }
    let mut onward = relay.client.request(method, format!("{}{uri}", relay.target)).body(body);
    let is_plain = relay.state.is_plain.load(Ordering::Relaxed);
    let left_out =
        |name: &str| ["host", "content-length"].contains(&name) || is_plain && name == "x-meshwarden-include";
    for (name, value) in headers.iter().filter(|(name, _)| !left_out(name.as_str())) {
        onward = onward.header(name, value);
    }
    let Ok(answer) = onward.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.unwrap();
    {
        let mut passed = relay.state.passed.lock().unwrap();
        passed[number].answer = String::from_utf8_lossy(&body).into_owned();
        passed[number].answered = Some(Instant::now());
    }
    if fault == Some(Fault::LostAnswer) {
        return connection.reset().await;
    }
    if side == Some(Side::After) {
        relay.state.struck.notify_one();
        return std::future::pending().await;
    }
    headers.remove("transfer-encoding");
    headers.remove("content-length");
    (status, headers, body).into_response()
}

/// The operation of a request. The JSON protocols have it in a header, the query protocol in the form, REST
/// in the path.
fn operation(method: &Method, uri: &Uri, headers: &HeaderMap, body: &str) -> String {
    if let Some(target) = headers.get("x-amz-target").and_then(|target| target.to_str().ok()) {
        return target.rsplit('.').next().unwrap_or(target).to_owned();
    }
    if let Some(action) = body.strip_prefix("Action=") {
        return action.split('&').next().unwrap_or(action).to_owned();
    }
    if let Some((_, operation)) = uri.path().split_once("/operation/") {
        return operation.to_owned();
    }
    format!("{method} {}", uri.path())
}

enum Entry {
    Open,
    Struck(Side),
    Shut,
}

impl RelayState {
    fn note(&self, passed: Passed) -> usize {
        let mut all = self.passed.lock().unwrap();
        all.push(passed);
        all.len() - 1
    }

    /// The latency of a request.
    fn latency(&self, number: usize) -> Option<Duration> {
        let mut latency = self.latency.lock().unwrap();
        let operation = self.passed.lock().unwrap()[number].operation.clone();
        if latency.as_ref().is_some_and(|(_, until)| operation.starts_with(until.as_str())) {
            *latency = None;
        }
        latency.as_ref().map(|(latency, _)| *latency)
    }

    /// Whether the caller's role does not grant a request.
    fn denies(&self, needs: &[Need], operation: impl FnOnce() -> String) -> bool {
        let mut faults = self.faults.lock().unwrap();
        let denies = faults.denied.as_ref().is_some_and(|denied| needs.iter().any(|need| need.action == *denied));
        if denies {
            faults.happened.push((operation(), Fault::Denied));
        }
        denies
    }

    /// The fault for a request, if there is one.
    fn fault(&self, operation: impl FnOnce() -> String, address: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let number = faults.seen;
        faults.seen += 1;
        let once = faults.at.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        if once.is_none() && faults.lasting.is_none() && faults.next.is_empty() {
            return None;
        }
        let operation = operation();
        let lasting = faults.lasting.as_ref().filter(|(of, _)| *of == operation).map(|(_, fault)| *fault);
        let mut next = faults
            .next
            .iter_mut()
            .filter(|(of, _, left)| *left > 0 && (*of == operation || !of.is_empty() && address.contains(of.as_str())));
        let next = next.next().map(|(_, fault, left)| {
            *left -= 1;
            *fault
        });
        let fault = once.or(lasting).or(next)?;
        faults.happened.push((operation, fault));
        Some(fault)
    }

    fn enter(&self) -> Entry {
        let mut death = self.death.lock().unwrap();
        if death.shut {
            return Entry::Shut;
        }
        let number = death.seen;
        death.seen += 1;
        match death.at {
            Some((at, side)) if at == number => {
                death.shut = true;
                Entry::Struck(side)
            }
            Some(_) | None => Entry::Open,
        }
    }
}
