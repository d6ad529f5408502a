//! Removed files, full disks, and killed processes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::plane::{Folder, Plane, TIMEOUT, figure, rounds, until};

/// A data folder inside a temporary folder.
struct Data {
    folder: Folder,
}

impl Data {
    fn new() -> Self {
        Self { folder: Folder::new() }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn start(&self) -> Plane {
        Plane::start(&[
            "--account",
            "123456789012",
            "--data",
            self.path().to_str().unwrap(),
            "--quota",
            "meshes-per-account=100000",
        ])
    }

    /// Starts the command where it must fail, and returns its error output.
    fn refused(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_control-plane"));
        command.args(["--account", "123456789012"]).arg("--data").arg(self.path());
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() && begun.elapsed() < TIMEOUT {
            std::thread::yield_now();
        }
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

fn create(plane: &Plane, name: &str) -> u16 {
    plane.send("PUT", "/v20190125/meshes", &[], &format!(r#"{{"meshName": "{name}"}}"#)).status
}

fn has(plane: &Plane, name: &str) -> bool {
    plane.send("GET", &format!("/v20190125/meshes/{name}"), &[], "").status == 200
}

#[test]
fn an_unlinked_store_is_rewritten_before_a_write_is_acknowledged() {
    for file in ["meshwarden.redb", "meshwarden.acknowledged", "meshwarden.lock"] {
        let data = Data::new();
        let plane = data.start();
        assert_eq!(create(&plane, "before"), 200);
        fs::remove_file(data.path().join(file)).unwrap();
        let mut acknowledged = vec!["before".to_owned()];
        let begun = Instant::now();
        for number in 0.. {
            let name = format!("after-{number}");
            if create(&plane, &name) == 200 {
                acknowledged.push(name);
            }
            if acknowledged.len() > 3 {
                break;
            }
            assert!(begun.elapsed() < TIMEOUT, "writes are refused permanently without {file}");
        }
        drop(plane);
        let plane = data.start();
        for name in acknowledged {
            assert!(has(&plane, &name), "{name} was acknowledged, but is lost without {file}");
        }
    }
}

#[test]
fn a_replaced_store_is_not_overwritten() {
    let data = Data::new();
    let plane = data.start();
    assert_eq!(create(&plane, "before"), 200);
    let store = data.path().join("meshwarden.redb");
    fs::remove_file(&store).unwrap();
    fs::write(&store, "another").unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        assert_eq!(create(&plane, "after"), 503);
    }
    assert_eq!(plane.send("GET", "/readyz", &[], "").status, 503);
    assert_eq!(fs::read(&store).unwrap(), b"another");
}

#[test]
fn a_removed_folder_is_detected_by_the_process_and_by_the_next_start() {
    let data = Data::new();
    let plane = data.start();
    assert_eq!(create(&plane, "before"), 200);
    fs::remove_dir_all(data.path()).unwrap();
    for number in 0..5 {
        assert_eq!(create(&plane, &format!("after-{number}")), 503);
    }
    assert!(has(&plane, "before"), "reads still succeed");
    assert_eq!(plane.send("GET", "/readyz", &[], "").status, 503);
    drop(plane);
    for _ in 0..2 {
        let error = data.refused();
        assert!(error.contains("shows that it had one") && error.contains(".data.meshwarden"), "{error}");
    }
    fs::remove_file(data.folder.join(".data.meshwarden")).unwrap();
    assert!(!has(&data.start(), "before"), "the new store is empty");
}

#[test]
fn two_processes_never_acknowledge_writes_to_one_folder() {
    let data = Data::new();
    let first = data.start();
    assert_eq!(create(&first, "before"), 200);
    fs::remove_file(data.path().join("meshwarden.lock")).unwrap();
    // Before the next write of the first process, and after it.
    for name in ["after-1", "after-2"] {
        let error = data.refused();
        assert!(error.contains("another process"), "{error}");
        until("the first process stores writes", || create(&first, name) != 503);
    }
}

#[test]
fn killed_processes_lose_no_acknowledged_write() {
    let data = Data::new();
    let mut acknowledged = Vec::new();
    for round in 0..3 * rounds() {
        let plane = data.start();
        let id = plane.child.id().to_string();
        let (written, most) = (AtomicUsize::new(0), 30 + 7 * round);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                until("writes are acknowledged", || written.load(Ordering::SeqCst) >= most);
                assert!(Command::new("kill").args(["-KILL", &id]).status().unwrap().success());
            });
            for number in 0.. {
                let name = format!("m-{round}-{number}");
                let Ok(mut stream) = std::net::TcpStream::connect(plane.api) else { break };
                let body = format!(r#"{{"meshName": "{name}"}}"#);
                let head = format!(
                    "PUT /v20190125/meshes HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let mut response = String::new();
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
                let _ = stream.read_to_string(&mut response);
                match response.get(..12) {
                    Some("HTTP/1.1 200") => {
                        acknowledged.push(name);
                        written.fetch_add(1, Ordering::SeqCst);
                    }
                    _ => break,
                }
            }
        });
    }
    let plane = data.start();
    assert!(!acknowledged.is_empty() && acknowledged.iter().all(|name| has(&plane, name)));
    figure(&format!("acknowledged writes after {} kills, none lost", 3 * rounds()), &acknowledged.len().to_string());
}

#[test]
fn deletions_are_stored_on_a_full_disk() {
    let folder = Folder::new();
    let disk = folder.join("disk");
    fs::create_dir(&disk).unwrap();
    // A small disk in the mount namespace of the process, which ends with it.
    let script = "mount -t tmpfs -o size=16m tests \"$1\" && exec \"$0\" --account 123456789012 --data \"$1/data\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_control-plane")]).arg(&disk);
    let may = Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs tests \"$0\""]).arg(&disk).status();
    if !may.is_ok_and(|may| may.success()) {
        eprintln!("skipped: a small disk cannot be mounted here");
        return;
    }
    command.stderr(Stdio::null());
    let plane = Plane::listening(command, None);
    let seen = PathBuf::from(format!("/proc/{}/root{}", plane.child.id(), disk.display()));
    assert_eq!((create(&plane, "m0"), create(&plane, "m1")), (200, 200));
    let piece = vec![1; 16 * 1024];
    let mut filler = fs::File::create(seen.join("filler")).unwrap();
    while filler.write_all(&piece).is_ok() {}
    let mut number = 2;
    until("the disk is full", || {
        number += 1;
        // A large resource, so that the store has to grow.
        let tags: Vec<String> =
            (0..40).map(|n| format!(r#"{{"key": "k{n}", "value": "{}"}}"#, "v".repeat(250))).collect();
        let body = format!(r#"{{"meshName": "x{number}", "tags": [{}]}}"#, tags.join(","));
        let status = plane.send("PUT", "/v20190125/meshes", &[], &body).status;
        if status == 400 {
            for n in 3..number {
                plane.send("DELETE", &format!("/v20190125/meshes/x{n}"), &[], "");
            }
        }
        status == 503
    });
    until("a deletion is stored", || plane.send("DELETE", "/v20190125/meshes/m1", &[], "").status == 200);
    assert!(!has(&plane, "m1"));
    drop(filler);
    fs::remove_file(seen.join("filler")).unwrap();
    until("writes are accepted again", || [200, 409].contains(&create(&plane, "m2")));
    assert_eq!(plane.send("GET", "/readyz", &[], "").status, 200);
}
