//! Pictures for the proxies that are connected, kept up to date.
//!
//! One task turns the [`World`]: it wakes at a change, a new proxy or a question, reads all that is new at once, and
//! makes the pictures that can be concerned, off the threads that serve streams. The first change is taken at once;
//! those that come while it is at work, or within [`PACE`], are one turn together, so that of a burst each proxy is
//! sent the last state only. Now and then it says which secrets and instances connected proxies need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use futures::future::join_all;
use mesh::graph::Mesh;
use mesh::name::MeshName;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use xds::ports::PortUse;
use xds::{Finding, ProxyId};

use super::concern::{self, Concern};
use super::follow::Follower;
use super::picture::{Picture, Served};
use super::world::{Concerns, World};
use crate::instances::{Instances, NoInstances};
use crate::metrics::XdsMetrics;
use crate::secrets::{NoSecrets, Secrets};
use crate::store::Store;

/// The least time from one turn to the next. Long enough that a hundred writes in a row are a few pushes and not a
/// hundred; short against the 50 ms within which an update is to move traffic.
const PACE: Duration = Duration::from_millis(5);

/// How often it is said which secrets and instances are needed. Short against how long others are kept.
const IN_USE: Duration = Duration::from_mins(1);

/// Below this many pictures a second thread costs more than it saves.
const ONE_THREAD: usize = 16;

/// A question to the world.
#[derive(Debug)]
enum Ask {
    /// A proxy has connected that none was served for.
    Serve(ProxyId),
    /// What there is to say about a proxy, connected or not.
    Describe(ProxyId, oneshot::Sender<Option<Description>>),
    /// The mesh that the pictures of its proxies are made from.
    Model(MeshName, oneshot::Sender<Option<Mesh>>),
    /// Answered when everything that was written before is in the pictures.
    Settle(oneshot::Sender<()>),
}

/// What a proxy that need not be connected would be served.
#[derive(Debug)]
pub(super) struct Description {
    /// Its explicit ports.
    pub(super) ports: Vec<(PortUse, u16)>,
    /// What is not served as it stands.
    pub(super) findings: Vec<Finding>,
}

/// What pictures are made from, beside the meshes.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) instances: Arc<dyn Instances>,
}

impl Default for Sources {
    fn default() -> Self {
        Self { secrets: Arc::new(NoSecrets::default()), instances: Arc::new(NoInstances::default()) }
    }
}

/// Which of them have changed.
#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    secrets: bool,
    instances: bool,
}

type Places = Arc<Mutex<BTreeMap<ProxyId, watch::Sender<Served>>>>;

/// The pictures. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    places: Places,
    asks: mpsc::UnboundedSender<Ask>,
}

impl Cache {
    /// Starts the turning, which ends when told to stop, or with the last clone of the cache. Until then it holds the
    /// store.
    pub(super) fn start(
        follower: Follower,
        world: World,
        sources: Sources,
        stop: watch::Receiver<bool>,
    ) -> (Self, JoinHandle<()>) {
        let places = Places::default();
        let (asks, asked) = mpsc::unbounded_channel();
        let turning = tokio::spawn(turn_on(follower, world, sources, Arc::clone(&places), asked, stop));
        (Self { places, asks }, turning)
    }

    /// What a proxy is to have, from now on. All streams of one proxy share it.
    pub(super) fn serve(&self, id: &ProxyId) -> watch::Receiver<Served> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let served = places.entry(id.clone()).or_default().subscribe();
        drop(places);
        if matches!(*served.borrow(), Served::Unknown) {
            let _ = self.asks.send(Ask::Serve(id.clone()));
        }
        served
    }

    /// Tells about a proxy; `None` if its resource does not exist.
    pub(super) async fn describe(&self, id: ProxyId) -> Option<Description> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask::Describe(id, answer)).ok()?;
        answered.await.ok()?
    }

    /// The mesh that the pictures of its proxies are made from, with everything written before the call; `None` if it
    /// does not exist. Proxies are not told of tags, so it has none.
    pub(super) async fn model(&self, mesh: &MeshName) -> Option<Mesh> {
        let (answer, answered) = oneshot::channel();
        self.asks.send(Ask::Model(mesh.clone(), answer)).ok()?;
        answered.await.ok()?
    }

    /// Waits until everything written before the call is in the pictures.
    pub(super) async fn settle(&self) {
        let (answer, answered) = oneshot::channel();
        if self.asks.send(Ask::Settle(answer)).is_ok() {
            let _ = answered.await;
        }
    }

    /// The picture of a proxy that is connected.
    pub(super) fn served(&self, id: &ProxyId) -> Option<Served> {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.get(id).map(|place| place.borrow().clone())
    }
}

async fn turn_on(
    mut follower: Follower,
    mut world: World,
    sources: Sources,
    places: Places,
    mut asked: mpsc::UnboundedReceiver<Ask>,
    mut stop: watch::Receiver<bool>,
) {
    let (mut secrets, mut instances) = (sources.secrets.changes(), sources.instances.changes());
    let mut tell_keepers = tokio::time::interval(IN_USE);
    loop {
        let (mut asks, mut moved, mut last) = (Vec::new(), Moved::default(), false);
        tokio::select! {
            // What was written before is still to be told.
            _ = stop.wait_for(|stop| *stop) => last = true,
            () = follower.changed() => {}
            ask = asked.recv() => match ask {
                Some(ask) => asks.push(ask),
                None => return,
            },
            () = told(&mut secrets) => moved.secrets = true,
            () = told(&mut instances) => moved.instances = true,
            _ = tell_keepers.tick() => {
                let pictures = in_use(&places);
                sources.secrets.in_use(&pictures.iter().flat_map(|picture| picture.secrets.keys().cloned()).collect());
                sources.instances.in_use(&pictures.iter().flat_map(|picture| picture.services.clone()).collect());
                continue;
            }
        }
        let began = Instant::now();
        while let Ok(ask) = asked.try_recv() {
            asks.push(ask);
        }
        moved.secrets |= secrets.has_changed().unwrap_or(false);
        moved.instances |= instances.has_changed().unwrap_or(false);
        secrets.mark_unchanged();
        instances.mark_unchanged();
        let news = follower.catch_up();
        let (store, places) = (follower.store(), Arc::clone(&places));
        let turned = tokio::task::spawn_blocking(move || {
            let mut concerns = world.learn(news);
            if moved.instances {
                concern::join(&mut concerns, world.find_instances());
            }
            // Before anybody is told of a port: told and then forgotten, it would move at the next start.
            Handle::current().block_on(store_ports(&store, world.take_port_edits()));
            turn(&world, &store, &concerns, moved, asks, &places);
            world
        });
        world = match turned.await {
            Ok(world) => world,
            Err(error) => {
                tracing::error!(%error, "no proxy is told of changes any more: restart the control plane");
                return;
            }
        };
        if last {
            return;
        }
        sleep_until(began + PACE).await;
    }
}

/// All pictures. Places that nobody looks at any more go here as well.
fn in_use(places: &Places) -> Vec<Arc<Picture>> {
    let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
    places.retain(|_, place| place.receiver_count() > 0);
    places.values().filter_map(|place| place.borrow().picture().cloned()).collect()
}

/// Waits until a source says that something may be another; for ever when nobody is there to say so.
async fn told(changes: &mut watch::Receiver<u64>) {
    if changes.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn store_ports(store: &Store, edits: Vec<(String, Option<u16>)>) {
    let stored = edits.iter().map(|(key, port)| store.put_port(key, *port));
    if let Some(error) = join_all(stored).await.into_iter().find_map(Result::err) {
        tracing::error!(%error, "listener ports are not stored: they may be others after a restart");
    }
}

fn turn(world: &World, store: &Store, concerns: &Concerns, moved: Moved, asks: Vec<Ask>, places: &Places) {
    let (mut new, mut questions) = (BTreeSet::new(), Vec::new());
    for ask in asks {
        match ask {
            Ask::Serve(id) => {
                new.insert(id);
            }
            Ask::Describe(..) | Ask::Model(..) | Ask::Settle(_) => questions.push(ask),
        }
    }
    let due: Vec<_> = {
        let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|_, place| place.receiver_count() > 0);
        let is_due = |id: &ProxyId, place: &watch::Sender<Served>| {
            // One that came after the news was read is left to the next turn: its resource may be newer than the news.
            if matches!(*place.borrow(), Served::Unknown) {
                return new.contains(id);
            }
            concerns.get(&id.mesh).is_some_and(|concern: &Concern| concern.covers(&id.proxy))
                || moved.concerns(&place.borrow())
        };
        let due = places.iter().filter(|(id, place)| is_due(id, place));
        due.map(|(id, place)| (id.clone(), place.clone())).collect()
    };
    publish(world, store.metrics().xds(), &due);
    for question in questions {
        match question {
            Ask::Describe(id, answer) => {
                let place = places.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
                let previous = place.and_then(|place| place.borrow().picture().cloned());
                let _ = answer.send(describe(world, &id, previous.as_deref()));
            }
            Ask::Model(mesh, answer) => {
                let _ = answer.send(world.model(&mesh).cloned());
            }
            Ask::Settle(answer) => {
                let _ = answer.send(());
            }
            Ask::Serve(_) => {}
        }
    }
}

impl Moved {
    fn concerns(self, served: &Served) -> bool {
        match served {
            Served::Waiting => self.secrets || self.instances,
            // Instances concern those that call them, whom the world knows.
            Served::Ready(picture) => self.secrets && !picture.secrets.is_empty(),
            Served::Unknown | Served::Missing(_) => false,
        }
    }
}

fn publish(world: &World, metrics: &XdsMetrics, due: &[(ProxyId, watch::Sender<Served>)]) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = if due.len() < ONE_THREAD { due.len() } else { due.len().div_ceil(threads) };
    thread::scope(|scope| {
        let mut shares = due.chunks(share.max(1));
        let own = shares.next().unwrap_or_default();
        for others in shares {
            scope.spawn(move || {
                for (id, place) in others {
                    show(world, metrics, id, place);
                }
            });
        }
        for (id, place) in own {
            show(world, metrics, id, place);
        }
    });
}

fn show(world: &World, metrics: &XdsMetrics, id: &ProxyId, place: &watch::Sender<Served>) {
    let began = Instant::now();
    let previous = place.borrow().picture().cloned();
    let Some(served) = world.served(id, previous.as_deref()) else {
        return;
    };
    metrics.snapshot_built(began.elapsed());
    place.send_if_modified(|current| {
        let same = match (&*current, &served) {
            (Served::Ready(current), Served::Ready(served)) => current == served,
            (Served::Missing(_), Served::Missing(_)) | (Served::Waiting, Served::Waiting) => true,
            (Served::Unknown | Served::Waiting | Served::Missing(_) | Served::Ready(_), _) => false,
        };
        if !same {
            *current = served;
        }
        !same
    });
}

fn describe(world: &World, id: &ProxyId, previous: Option<&Picture>) -> Option<Description> {
    let served = world.described(id, previous)?;
    let findings = served.picture()?.findings.clone();
    let ports = world.ports().map(|ports| ports.of(&id.mesh, &id.proxy).map(|(to, port)| (to.clone(), port)).collect());
    Some(Description { ports: ports.unwrap_or_default(), findings })
}
