//! The way between the function and whom it calls: every request is counted, and one of them can be struck.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Where in a request's life the caller dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// It was sent, and nobody got it.
    Before,
    /// It was carried out, and the answer got lost.
    After,
}

/// A request as it passed.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    /// Its body.
    pub(crate) body: String,
}

/// Two addresses, one for each of the services behind, and one count over both. It ends with this.
pub(crate) struct Way {
    /// Where the App Mesh API seems to be.
    pub(crate) app_mesh: String,
    /// Where everything else seems to be.
    pub(crate) services: String,
    book: Arc<Book>,
    serving: [JoinHandle<()>; 2],
}

/// What passed so far, and what is still to happen.
#[derive(Default)]
struct Book {
    passed: Mutex<Vec<Passed>>,
    state: Mutex<Strike>,
    struck: Notify,
}

#[derive(Default)]
struct Strike {
    seen: usize,
    at: Option<(usize, Side)>,
    /// From the strike on nothing gets through: the caller is as good as dead.
    shut: bool,
}

impl Way {
    pub(crate) async fn to(app_mesh: &str, services: &str) -> Self {
        let book = Arc::<Book>::default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (app_mesh, one) = open(app_mesh, &book, &client).await;
        let (services, other) = open(services, &book, &client).await;
        Self { app_mesh, services, book, serving: [one, other] }
    }

    /// From now on, counts anew and strikes the request of this number, counted from 0.
    pub(crate) fn strike(&self, request: usize, side: Side) {
        *self.book.state.lock().unwrap() = Strike { seen: 0, at: Some((request, side)), shut: false };
    }

    /// Waits for the strike.
    pub(crate) async fn struck(&self) {
        self.book.struck.notified().await;
    }

    /// Lets everything through again.
    pub(crate) fn clear(&self) {
        *self.book.state.lock().unwrap() = Strike::default();
    }

    /// The subjects of all notices that got through, as a form encodes them.
    pub(crate) fn subjects(&self) -> BTreeSet<String> {
        let subject = |passed: Passed| Some(passed.body.split_once("&Subject=")?.1.split('&').next()?.to_owned());
        self.passed().into_iter().filter_map(subject).collect()
    }

    /// What got through, in its order.
    pub(crate) fn passed(&self) -> Vec<Passed> {
        self.book.passed.lock().unwrap().clone()
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

async fn open(target: &str, book: &Arc<Book>, client: &reqwest::Client) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let toll = Toll { target: target.to_owned(), book: Arc::clone(book), client: client.clone() };
    let serving = tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(pass).with_state(toll)).await.unwrap();
    });
    (address, serving)
}

#[derive(Clone)]
struct Toll {
    target: String,
    book: Arc<Book>,
    client: reqwest::Client,
}

async fn pass(State(toll): State<Toll>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let side = match toll.book.enter() {
        Entry::Open => None,
        Entry::Struck(side) => Some(side),
        Entry::Shut => return std::future::pending().await,
    };
    if side == Some(Side::Before) {
        toll.book.struck.notify_one();
        return std::future::pending().await;
    }
    toll.book.passed.lock().unwrap().push(Passed { body: String::from_utf8_lossy(&body).into_owned() });
    let mut onward = toll.client.request(method, format!("{}{uri}", toll.target)).body(body);
    for (name, value) in headers.iter().filter(|(name, _)| !["host", "content-length"].contains(&name.as_str())) {
        onward = onward.header(name, value);
    }
    let Ok(answer) = onward.send().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    let body = answer.bytes().await.unwrap();
    if side == Some(Side::After) {
        toll.book.struck.notify_one();
        return std::future::pending().await;
    }
    headers.remove("transfer-encoding");
    headers.remove("content-length");
    (status, headers, body).into_response()
}

enum Entry {
    Open,
    Struck(Side),
    Shut,
}

impl Book {
    fn enter(&self) -> Entry {
        let mut state = self.state.lock().unwrap();
        if state.shut {
            return Entry::Shut;
        }
        let number = state.seen;
        state.seen += 1;
        match state.at {
            Some((at, side)) if at == number => {
                state.shut = true;
                Entry::Struck(side)
            }
            Some(_) | None => Entry::Open,
        }
    }
}
