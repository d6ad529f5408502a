//! Unix sockets in the file system.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;

use control_plane::xds::{ListenAddress, XdsAuth, XdsListener, XdsSettings};
use control_plane::{Server, Settings};
use xds::ResourceType::Route;

use crate::envoy::{self, EGRESS, Envoy};
use crate::plane::{ACCOUNT, Folder, Plane};

const FRONT: &str = "mesh/shop/virtualNode/front";

fn at(path: &Path, auth: XdsAuth) -> XdsSettings {
    XdsSettings {
        listen: vec![XdsListener { address: ListenAddress::Unix(path.to_owned()), auth }],
        ..XdsSettings::default()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_socket_serves_its_own_user_and_is_removed_with_the_server() {
    let folder = Folder::new();
    let path = folder.join("xds.sock");
    let plane = Plane::with(at(&path, XdsAuth::None)).await;
    assert_eq!(plane.xds, [format!("unix:{}", path.display())]);
    assert_eq!(mode(&path), 0o600);
    plane.make_shop().await;
    let mut front = Envoy::settled(envoy::unix(&plane.xds[0]).await.unwrap(), FRONT, &[EGRESS]).await;
    plane.weigh(50, 50).await;
    front.take(Route).await;
    let report = plane.proxy_once(|report| report["upToDate"] == true).await;
    let peer = report["peer"].as_str().unwrap();
    assert!(peer.starts_with("unix:") && peer.contains(&format!("pid {}", std::process::id())), "{peer}");
    plane.stop().await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no file is left behind");
}

#[tokio::test]
async fn only_the_configured_users_are_served() {
    let folder = Folder::new();
    let path = folder.join("xds.sock");
    let own = std::fs::metadata(folder.path()).unwrap().uid();
    for (uids, served) in [(Vec::new(), true), (vec![own + 1, own], true), (vec![own + 1], false)] {
        let plane = Plane::with(at(&path, XdsAuth::Unix { uids: uids.clone() })).await;
        assert_eq!(mode(&path), 0o660);
        plane.make_shop().await;
        if served {
            Envoy::settled(envoy::unix(&plane.xds[0]).await.unwrap(), FRONT, &[]).await;
        } else {
            let channel = envoy::unix(&plane.xds[0]).await;
            let refused = match channel {
                Err(_) => true,
                Ok(channel) => {
                    let mut client = envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient::new(channel);
                    client.stream_aggregated_resources(futures::stream::pending()).await.is_err()
                }
            };
            assert!(refused, "{uids:?}");
        }
        plane.stop().await;
    }
}

async fn bind(path: &Path) -> Result<Server, String> {
    let account = mesh::name::AccountId::parse(ACCOUNT).unwrap();
    let region = control_plane::state::Region::parse("eu-west-1").unwrap();
    let settings = Settings { xds: at(path, XdsAuth::None), ..Settings::new(account, region) };
    Server::bind(settings).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn only_a_socket_without_a_listener_is_replaced() {
    let folder = Folder::new();
    let path = folder.join("xds.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the socket of a killed process remains");
    let first = bind(&path).await.unwrap();
    let second = bind(&path).await.unwrap_err();
    assert!(second.contains("another process listens on it"), "{second}");
    drop(first);
    assert!(!path.exists());

    std::fs::write(&path, "a file").unwrap();
    let refused = bind(&path).await.unwrap_err();
    assert!(refused.contains("not a socket"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "a file");
    std::fs::remove_file(&path).unwrap();

    // A socket that another server created meanwhile is not removed at the end.
    let first = bind(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let theirs = UnixListener::bind(&path).unwrap();
    drop(first);
    assert!(path.exists());
    drop(theirs);
}
