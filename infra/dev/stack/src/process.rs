//! Processes that outlive the command that started them, with records by which they are identified and ended.

use std::fs;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::interrupt;

/// The time that a process has to end before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A process that this program started. Process ids are reused, so the record has the start time too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) started: String,
}

impl Record {
    /// Starts a process in a separate group, with its output in `folder`/`name`.log and its record in
    /// the same folder.
    pub(crate) fn start(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let log = log_file(folder, name);
        let output = File::create(&log).map_err(Failure::file("create", &log))?;
        let errors = output.try_clone().map_err(Failure::file("open", &log))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|source| Failure::Start { command: name.to_owned(), source })?;
        // An ended process has no start time; the readiness check then reports its end.
        let started = start_time(child.id()).unwrap_or_default();
        let record = Self { name: name.to_owned(), pid: child.id(), started };
        record.write(folder).inspect_err(|_| end_group(record.pid))?;
        Ok(record)
    }

    /// The records in a folder.
    pub(crate) fn all(folder: &Path) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let named = path.extension().is_some_and(|extension| extension == "pid");
                named.then(|| serde_json::from_slice(&fs::read(path).ok()?).ok()).flatten()
            })
            .collect()
    }

    /// Whether the recorded process still runs.
    pub(crate) fn runs(&self) -> bool {
        start_time(self.pid).is_some_and(|started| started == self.started)
    }

    /// Ends it with its children, and removes its record. It may have ended already.
    pub(crate) fn end(&self, folder: &Path) -> Result<()> {
        if self.runs() {
            end_group(self.pid);
        }
        let path = record_file(folder, &self.name);
        if path.exists() {
            fs::remove_file(&path).map_err(Failure::file("remove", path))?;
        }
        Ok(())
    }

    fn write(&self, folder: &Path) -> Result<()> {
        let path = record_file(folder, &self.name);
        fs::write(&path, serde_json::json!(self).to_string()).map_err(Failure::file("write", path))
    }
}

/// The log file of a process.
pub(crate) fn log_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.log"))
}

fn record_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pid"))
}

/// Sends SIGTERM to one process, which ends its own children.
pub(crate) fn ask_to_end(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        // An error means that the process has ended already.
        kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
    }
}

/// Sends SIGTERM to a group, and kills it if it does not end in time.
///
/// Not by `process-wrap`, which ends only groups that its own handle has started: `down` ends processes of an earlier
/// command, which it recognises by their recorded start time.
pub(crate) fn end_group(leader: u32) {
    let Ok(leader) = i32::try_from(leader) else {
        return;
    };
    let group = Pid::from_raw(leader);
    // An error means that the group has ended already.
    let gone = || killpg(group, None).is_err() || leader_has_exited(leader);
    if killpg(group, Signal::SIGTERM).is_ok() {
        let ended = interrupt::poll_to_the_end(GRACE, || Ok(gone().then_some(())));
        if !matches!(ended, Ok(Some(()))) || killpg(group, None).is_ok() {
            killpg(group, Signal::SIGKILL).ok();
        }
    }
}

fn leader_has_exited(leader: i32) -> bool {
    u32::try_from(leader).is_ok_and(|pid| start_time(pid).is_none())
}

/// The start time of a process, in a unit of the operating system; `None` if it does not run.
fn start_time(pid: u32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field is the program's name in brackets, which may contain spaces and brackets.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let state = fields.next()?;
        // The 22nd field, so the 20th after the state.
        let started = fields.nth(18)?;
        return (state != "Z").then(|| started.to_owned());
    }
    let output = Command::new("ps").args(["-o", "lstart=", "-p", &pid.to_string()]).output().ok()?;
    let started = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!started.is_empty()).then_some(started)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("meshwarden-stack-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn sleeper() -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & sleep 600"]);
        command
    }

    #[test]
    fn a_started_process_runs_until_it_is_ended() {
        let folder = folder("ended");
        let record = Record::start("sleeper", sleeper(), &folder).unwrap();
        assert!(record.runs());
        assert_eq!(Record::all(&folder), std::slice::from_ref(&record));
        record.end(&folder).unwrap();
        assert!(!record.runs());
        assert_eq!(Record::all(&folder), []);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn another_process_under_the_same_id_is_left_alone() {
        let folder = folder("identity");
        let record = Record::start("sleeper", sleeper(), &folder).unwrap();
        let other = Record { started: "0".to_owned(), ..record.clone() };
        other.end(&folder).unwrap();
        assert!(record.runs());
        record.end(&folder).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}
