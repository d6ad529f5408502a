//! The adapters that need no service: files, folders, and a stand-in that only logs.

use std::io;
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use ports::{BusEvent, EventBus, Notice, Notifier, PolicySource, PortError, PortErrorKind, ReportStore};

/// A file that contains the policy.
#[derive(Clone, Debug)]
pub struct PolicyFile(pub PathBuf);

#[async_trait]
impl PolicySource for PolicyFile {
    async fn read(&self) -> Result<String, PortError> {
        let path = self.0.clone();
        let what = || format!("read the policy file {}", self.0.display());
        let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
        read.map_err(io::Error::other).flatten().map_err(|error| file_error(what(), error))
    }
}

/// A folder that stores reports.
#[derive(Clone, Debug)]
pub struct ReportsFolder(pub PathBuf);

#[async_trait]
impl ReportStore for ReportsFolder {
    async fn put(&self, name: &str, body: &[u8]) -> Result<String, PortError> {
        let what = || format!("store report {name} in {}", self.0.display());
        if !stays_below(Path::new(name)) {
            return Err(PortError::new(what(), PortErrorKind::Other, "the name is outside the folder"));
        }
        let (path, body) = (self.0.join(name), body.to_vec());
        let place = path.display().to_string();
        let write = move || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(path, body)
        };
        let written = tokio::task::spawn_blocking(write).await.map_err(io::Error::other).flatten();
        written.map_err(|error| file_error(what(), error))?;
        Ok(place)
    }

    async fn get(&self, name: &str) -> Result<Vec<u8>, PortError> {
        let what = || format!("read report {name} in {}", self.0.display());
        if !stays_below(Path::new(name)) {
            return Err(PortError::new(what(), PortErrorKind::Other, "the name is outside the folder"));
        }
        let path = self.0.join(name);
        let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
        read.map_err(io::Error::other).flatten().map_err(|error| file_error(what(), error))
    }
}

fn stays_below(name: &Path) -> bool {
    !name.as_os_str().is_empty() && name.components().all(|part| matches!(part, Component::Normal(_)))
}

fn file_error(call: String, error: io::Error) -> PortError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => PortErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => PortErrorKind::Denied,
        _ => PortErrorKind::Other,
    };
    PortError { call, kind, message: error.to_string(), source: Some(Box::new(error)) }
}

/// Stands in for a topic, a bus or a report store that is not set up: it logs what it would have sent or stored.
#[derive(Clone, Copy, Debug)]
pub struct Unset;

#[async_trait]
impl Notifier for Unset {
    async fn notify(&self, notice: &Notice) -> Result<(), PortError> {
        tracing::warn!(subject = notice.subject, body = notice.body, urgency = ?notice.urgency, "did not send a notification: no topic is configured");
        Ok(())
    }
}

#[async_trait]
impl EventBus for Unset {
    async fn put(&self, events: &[BusEvent]) -> Result<(), PortError> {
        for event in events {
            tracing::info!(detail_type = event.detail_type, detail = %event.detail, "did not put an event: no bus is configured");
        }
        Ok(())
    }
}

#[async_trait]
impl ReportStore for Unset {
    async fn put(&self, name: &str, body: &[u8]) -> Result<String, PortError> {
        tracing::info!(name, bytes = body.len(), "did not store a report: no location is configured");
        Ok(String::new())
    }

    async fn get(&self, name: &str) -> Result<Vec<u8>, PortError> {
        let why = "no location is configured for reports";
        Err(PortError::new(format!("read report {name}"), PortErrorKind::NotFound, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reports_stay_in_their_folder() {
        let folder = ReportsFolder(std::env::temp_dir().join(format!("meshwarden-reports-{}", std::process::id())));
        let place = folder.put("2026/11/shop.json", b"{}").await.unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"{}");
        assert_eq!(folder.get("2026/11/shop.json").await.unwrap(), b"{}");
        assert_eq!(folder.get("2026/11/other.json").await.unwrap_err().kind, PortErrorKind::NotFound);
        for name in ["../shop.json", "/etc/shop.json", "a/../../b", "", "./a"] {
            let (put, got) = (folder.put(name, b"{}").await.unwrap_err(), folder.get(name).await.unwrap_err());
            assert_eq!((put.kind, got.kind), (PortErrorKind::Other, PortErrorKind::Other), "{name}");
        }
        std::fs::remove_dir_all(&folder.0).unwrap();
    }

    #[tokio::test]
    async fn policy_file_is_read_each_time_and_a_missing_one_is_named() {
        let path = std::env::temp_dir().join(format!("meshwarden-policy-{}.yaml", std::process::id()));
        let source = PolicyFile(path.clone());
        let missing = source.read().await.unwrap_err();
        assert_eq!(missing.kind, PortErrorKind::NotFound);
        assert!(missing.to_string().contains(&path.display().to_string()), "{missing}");
        std::fs::write(&path, "version: 1").unwrap();
        assert_eq!(source.read().await.unwrap(), "version: 1");
        std::fs::remove_file(&path).unwrap();
    }
}
