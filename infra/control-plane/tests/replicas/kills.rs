//! Replicas that are killed, frozen and refused.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::cluster::{ReplicaProcess, command, refused, send, until};
use crate::etcd::Etcd;
use crate::ministack::{ACCOUNT, MiniStack, REGION};

/// The writes of one client, to a separate mesh: creations of virtual nodes with client tokens.
#[derive(Debug, Default)]
struct Writer {
    acknowledged: Vec<String>,
    unknown: Vec<String>,
}

async fn create_mesh(http: &Client, replica: &ReplicaProcess, name: &str) {
    let reply = replica.send(http, Method::PUT, "/meshes", Some(json!({"meshName": name}))).await.unwrap();
    assert_eq!(reply.status, 200, "{reply:?}");
}

impl Writer {
    /// Writes through one replica after the other until enough writes are acknowledged. A write without an answer is
    /// repeated once with its token, through the next replica.
    async fn write(&mut self, http: &Client, endpoints: &[String], number: usize, total: &AtomicUsize, enough: usize) {
        let mut turn = number;
        let first = self.acknowledged.len() + self.unknown.len();
        for count in first.. {
            if total.load(Ordering::SeqCst) >= enough {
                return;
            }
            let name = format!("n{count}");
            let body = json!({"virtualNodeName": name, "spec": {}, "clientToken": name});
            let mut is_acknowledged = false;
            for _ in 0..6 {
                turn += 1;
                let (endpoint, path) = (&endpoints[turn % endpoints.len()], format!("/meshes/m{number}/virtualNodes"));
                match send(http, endpoint, Method::PUT, &path, Some(body.clone())).await {
                    Some(reply) if reply.status == 200 => {
                        assert_eq!(reply.body["metadata"]["version"], 1);
                        is_acknowledged = true;
                        break;
                    }
                    Some(reply) => assert!([503, 429].contains(&reply.status), "{reply:?}"),
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
            if is_acknowledged {
                self.acknowledged.push(name);
                total.fetch_add(1, Ordering::SeqCst);
            } else {
                self.unknown.push(name);
            }
        }
    }
}

/// The versions of every virtual node of a mesh, as a replica lists them.
async fn nodes(http: &Client, replica: &ReplicaProcess, mesh: usize) -> BTreeMap<String, u64> {
    let (mut all, mut next) = (BTreeMap::new(), String::new());
    loop {
        let (path, mut confirmed) = (format!("/meshes/m{mesh}/virtualNodes{next}"), None);
        // A loaded machine may read the log late; such an answer has an age, and is no evidence.
        until("no read is confirmed by the log", async || {
            let reply = replica.send(http, Method::GET, &path, None).await;
            confirmed = reply.filter(|reply| (reply.status, reply.age) == (200, None));
            confirmed.is_some()
        })
        .await;
        let reply = confirmed.unwrap();
        for node in reply.body["virtualNodes"].as_array().unwrap() {
            let name = node["virtualNodeName"].as_str().unwrap().to_owned();
            all.insert(name, node["version"].as_u64().unwrap());
        }
        match reply.body["nextToken"].as_str() {
            Some(token) => next = format!("?nextToken={token}"),
            None => return all,
        }
    }
}

/// The store of a test, of which members may be killed.
enum KillsStore {
    Table(MiniStack),
    Etcd(Box<Etcd>),
}

impl KillsStore {
    async fn table() -> Option<Self> {
        let stack = MiniStack::start().await?;
        stack.table("kills").await;
        Some(Self::Table(stack))
    }

    async fn etcd() -> Option<Self> {
        Etcd::start().await.map(|etcd| Self::Etcd(Box::new(etcd)))
    }

    fn replica(&self) -> ReplicaProcess {
        match self {
            Self::Table(stack) => ReplicaProcess::start(stack, "kills"),
            Self::Etcd(etcd) => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
                let store = format!("etcd:{}", etcd.endpoints().join(","));
                command
                    .args(["--account", ACCOUNT, "--region", REGION, "--role", "replica", "--store", &store])
                    .arg("--etcd-accept-old")
                    .env_remove("MESHWARDEN_LOG")
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null());
                ReplicaProcess::listening(command)
            }
        }
    }

    /// Kills a member with SIGKILL, if the store has members. Returns whether it did.
    fn kill_member(&mut self, member: usize) -> bool {
        match self {
            Self::Table(_) => false,
            Self::Etcd(etcd) => {
                etcd.kill(member % 3);
                true
            }
        }
    }

    fn start_member(&mut self, member: usize) {
        match self {
            Self::Table(_) => {}
            Self::Etcd(etcd) => etcd.start_member(member % 3),
        }
    }
}

/// Kills a replica, and a member of the store, in each share of the writes, and counts the lost writes.
async fn writes_through_killed_replicas(
    store: Option<KillsStore>,
    replicas: usize,
    clients: usize,
    writes: usize,
    kills: usize,
) {
    let Some(mut store) = store else { return };
    let http = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let mut running: Vec<_> = (0..replicas).map(|_| store.replica()).collect();
    let (began, mut members) = (Instant::now(), 0);
    for mesh in 0..clients {
        create_mesh(&http, &running[mesh % replicas], &format!("m{mesh}")).await;
    }
    let total = Arc::new(AtomicUsize::new(0));
    let mut known: Vec<Writer> = Vec::new();
    known.resize_with(clients, Writer::default);
    for round in 0..=kills {
        let endpoints: Vec<String> = running.iter().map(|replica| replica.endpoint.clone()).collect();
        let enough = writes * (round + 1) / (kills + 1);
        let tasks: Vec<_> = known
            .drain(..)
            .enumerate()
            .map(|(number, mut writer)| {
                let (http, endpoints, total) = (http.clone(), endpoints.clone(), Arc::clone(&total));
                tokio::spawn(async move {
                    writer.write(&http, &endpoints, number, &total, enough).await;
                    writer
                })
            })
            .collect();
        if round < kills {
            // In the middle of the writes of this round.
            let half = enough - writes / (kills + 1) / 2;
            until("writes are acknowledged", async || total.load(Ordering::SeqCst) >= half).await;
            running[round % replicas].kill();
            members += usize::from(store.kill_member(round + 1));
        }
        for task in tasks {
            known.push(task.await.unwrap());
        }
        if round < kills {
            store.start_member(round + 1);
            running[round % replicas] = store.replica();
        }
    }
    let mut count = 0;
    for (mesh, writer) in known.iter().enumerate() {
        let first = nodes(&http, &running[0], mesh).await;
        for replica in &running[1..] {
            assert_eq!(nodes(&http, replica, mesh).await, first, "replicas differ");
        }
        for name in &writer.acknowledged {
            assert_eq!(first.get(name), Some(&1), "{name} of m{mesh} was acknowledged, but is lost");
        }
        let others = first.keys().filter(|name| !writer.acknowledged.contains(name));
        assert!(others.clone().all(|name| writer.unknown.contains(name)), "{others:?} were never requested");
        count += writer.acknowledged.len();
    }
    assert!(count >= writes);
    let unknown: usize = known.iter().map(|writer| writer.unknown.len()).sum();
    println!(
        "{count} acknowledged writes through {replicas} replicas in {:?}, {kills} replicas and {members} members killed, 0 lost, {unknown} unknown",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_killed_replicas() {
    writes_through_killed_replicas(KillsStore::table().await, 3, 6, 300, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: 10,000 writes through three replicas take minutes"]
async fn ten_thousand_acknowledged_writes_survive_killed_replicas() {
    writes_through_killed_replicas(KillsStore::table().await, 3, 24, 10_000, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: 10,000 writes through three replicas take minutes"]
async fn ten_thousand_acknowledged_writes_survive_killed_replicas_and_members_of_etcd() {
    writes_through_killed_replicas(KillsStore::etcd().await, 3, 24, 10_000, 12).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_on_any_replica_has_every_acknowledged_write() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("reads").await;
    let http = Client::new();
    let replicas: Vec<_> = (0..3).map(|_| ReplicaProcess::start(&stack, "reads")).collect();
    create_mesh(&http, &replicas[0], "m").await;
    for turn in 0..40_usize {
        let (writer, reader) = (&replicas[turn % 3], &replicas[(turn + 1 + turn % 2) % 3]);
        let update = json!({"spec": {"egressFilter": {"type": if turn % 2 == 0 { "ALLOW_ALL" } else { "DROP_ALL" }}}});
        let written = writer.send(&http, Method::PUT, "/meshes/m", Some(update)).await.unwrap();
        assert_eq!(written.status, 200, "{written:?}");
        let read = reader.send(&http, Method::GET, "/meshes/m", None).await.unwrap();
        assert_eq!((read.status, read.age), (200, None));
        assert_eq!(read.body, written.body, "turn {turn}");
        let exists = json!({"meshName": "m", "clientToken": format!("t{turn}")});
        let refused = reader.send(&http, Method::PUT, "/meshes", Some(exists)).await.unwrap();
        assert_eq!(refused.status, 409, "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_without_its_store_says_how_old_its_answers_are() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("frozen").await;
    let http = Client::new();
    let replica = ReplicaProcess::start(&stack, "frozen");
    create_mesh(&http, &replica, "m").await;
    assert_eq!(replica.status(&http, "/readyz").await, 200);
    stack.freeze(true);
    let first = replica.send(&http, Method::GET, "/meshes/m", None).await.unwrap();
    assert_eq!(first.status, 200);
    assert!(first.age.is_some_and(|age| (1..=6).contains(&age)), "{first:?}");
    let write = replica.send(&http, Method::PUT, "/meshes", Some(json!({"meshName": "late"}))).await.unwrap();
    assert_eq!((write.status, write.outcome.as_deref()), (503, Some("unknown")), "{write:?}");
    until("the replica is not ready", async || replica.status(&http, "/readyz").await == 503).await;
    until("a state that is too old is not served", async || {
        let reply = replica.send(&http, Method::GET, "/meshes/m", None).await.unwrap();
        assert!(reply.status == 503 || reply.age.is_some(), "{reply:?}");
        reply.status == 503
    })
    .await;
    assert_eq!(replica.status(&http, "/healthz").await, 200, "a restart of the process would not help");
    stack.freeze(false);
    until("the replica is ready again", async || replica.status(&http, "/readyz").await == 200).await;
    let reply = replica.send(&http, Method::GET, "/meshes/m", None).await.unwrap();
    assert_eq!((reply.status, reply.age), (200, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_replica_needs_a_role() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("roles").await;
    let http = Client::new();
    let mut single = ReplicaProcess::listening(command(&stack, "roles", &[]));
    create_mesh(&http, &single, "m").await;
    assert_eq!(single.status(&http, "/proxies").await, 200);
    let error = refused(command(&stack, "roles", &[]));
    assert!(error.contains("is using this store") && error.contains("--role replica"), "{error}");
    let error = refused(command(&stack, "roles", &["--data", "/nonexistent"]));
    assert!(error.contains("cannot be used with"), "{error}");

    // A list of proxies needs the reports of all replicas.
    let mut other = ReplicaProcess::start(&stack, "roles");
    until("both know of each other", async || {
        // The refused one has stopped.
        let expected = ["live", "live", "stopped"];
        single.states(&http).await == expected && other.states(&http).await == expected
    })
    .await;
    other.signal("TERM");
    other.child.wait().unwrap();
    until("the other replica has ended", async || single.states(&http).await == ["live", "stopped", "stopped"]).await;
    assert_eq!(single.status(&http, "/proxies").await, 200);

    // A killed process does not keep the next one from starting.
    single.kill();
    let next = ReplicaProcess::listening(command(&stack, "roles", &[]));
    let reply = next.send(&http, Method::GET, "/meshes/m", None).await.unwrap();
    assert_eq!(reply.body["meshName"], Value::from("m"));
    assert_eq!(next.status(&http, "/proxies").await, 200, "the killed process does not count");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: three replicas write for ten seconds"]
async fn no_replica_starves_while_others_write() {
    let Some(stack) = MiniStack::start().await else { return };
    stack.table("fair").await;
    let http = Client::new();
    let replicas: Vec<_> = (0..3).map(|_| ReplicaProcess::start(&stack, "fair")).collect();
    for (number, replica) in replicas.iter().enumerate() {
        create_mesh(&http, replica, &format!("m{number}")).await;
    }
    // The replicas learn of each other by their reports.
    until("the replicas know of each other", async || {
        let mut all = true;
        for replica in &replicas {
            all &= replica.states(&http).await.len() == 3;
        }
        all
    })
    .await;
    let end = std::time::Instant::now() + Duration::from_secs(10);
    let tasks = replicas
        .iter()
        .enumerate()
        .flat_map(|(number, replica)| (0..4).map(move |_| (number, replica.endpoint.clone())));
    let tasks: Vec<_> = tasks
        .map(|(number, endpoint)| {
            let http = http.clone();
            tokio::spawn(async move {
                let (mut count, mut unknown, mut slowest) = (0_u32, 0_u32, Duration::ZERO);
                while std::time::Instant::now() < end {
                    let began = std::time::Instant::now();
                    let reply =
                        send(&http, &endpoint, Method::PUT, &format!("/meshes/m{number}"), Some(json!({}))).await;
                    match reply.unwrap().status {
                        200 => count += 1,
                        503 => unknown += 1,
                        other => panic!("a write got {other}"),
                    }
                    slowest = slowest.max(began.elapsed());
                }
                (number, count, unknown, slowest)
            })
        })
        .collect();
    let (mut counts, mut unknown, mut slowest) = ([0; 3], 0, Duration::ZERO);
    for task in tasks {
        let (number, count, late, longest) = task.await.unwrap();
        counts[number] += count;
        unknown += late;
        slowest = slowest.max(longest);
    }
    println!("writes of three replicas in ten seconds: {counts:?}, {unknown} late, the slowest took {slowest:?}");
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(least * 4 > *most, "a replica starves: {counts:?}");
}
