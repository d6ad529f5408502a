//! The API over TLS.

use std::fs;
use std::sync::Arc;

use control_plane::state::Region;
use control_plane::{Server, Settings, TlsFiles};
use mesh::name::AccountId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::client::ACCOUNT;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn with_a_certificate_the_api_is_served_over_tls_only() {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let name = |end: &str| std::env::temp_dir().join(format!("meshwarden-api-tls-{}.{end}", std::process::id()));
    let files = TlsFiles { certificate: name("pem"), key: name("key") };
    fs::write(&files.certificate, certified.cert.pem()).unwrap();
    fs::write(&files.key, certified.signing_key.serialize_pem()).unwrap();
    let settings = Settings::new(AccountId::parse(ACCOUNT).unwrap(), Region::parse("eu-west-1").unwrap());
    let server = Server::bind(Settings { api_tls: Some(files.clone()), ..settings }).await.unwrap();
    fs::remove_file(&files.certificate).unwrap();
    fs::remove_file(&files.key).unwrap();
    let addr = server.addr();
    assert_eq!(server.endpoint(), format!("https://{addr}"));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async move { drop(stopped.await) }));

    // A silent connection does not delay others.
    let silent = TcpStream::connect(addr).await.unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(addr).await.unwrap();
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response).await;
    assert!(response.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&response));

    let mut plain = TcpStream::connect(addr).await.unwrap();
    plain.write_all(REQUEST).await.unwrap();
    let mut response = Vec::new();
    let _ = plain.read_to_end(&mut response).await;
    assert!(!response.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&response));

    drop((stop, silent));
    serving.await.unwrap().unwrap();
}
