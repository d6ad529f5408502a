//! A control plane behind a private CA, as the functions and the command reach it: `AWS_CA_BUNDLE` and `SSL_CERT_FILE`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use aws::Aws;
use control_plane::state::Region;
use control_plane::{Server, Settings, TlsFiles};
use ports::MeshReader as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::sync::oneshot;

/// A folder, removed with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The client of functions and command, in another process with other variables.
#[tokio::test]
#[ignore = "part of the other test of this file, which starts it with variables"]
async fn client() {
    let outcome = match Aws::open_checked().await {
        Ok(aws) => aws.mesh().meshes().await.map(|meshes| meshes.len()).map_err(|error| format!("{error:?}")),
        Err(error) => Err(format!("not opened: {error}")),
    };
    println!("outcome {outcome:?}");
}

/// What the client prints with these variables.
async fn outcome(endpoint: &str, variables: &[(&str, &Path)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["client", "--exact", "--ignored", "--nocapture"])
        .env_remove("AWS_CA_BUNDLE")
        .env_remove("SSL_CERT_FILE")
        .envs([("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "AKIDTEST"), ("AWS_SECRET_ACCESS_KEY", "secret")])
        .env("AWS_ENDPOINT_URL_APP_MESH", endpoint)
        .envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_once("outcome ").unwrap().1.lines().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_ca_of_either_variable_is_trusted_and_replaces_the_machines_roots() {
    let scratch = Scratch(std::env::temp_dir().join(format!("meshwarden-private-ca-{}", std::process::id())));
    std::fs::create_dir_all(&scratch.0).unwrap();
    let (ours, other) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
    let tls = TlsFiles {
        certificate: scratch.write("api.pem", &leaf.pem()),
        key: scratch.write("api.key", &key.serialize_pem()),
    };
    let settings = Settings::new("123456789012".parse().unwrap(), Region::parse("eu-west-1").unwrap());
    let server = Server::bind(Settings { api_tls: Some(tls), ..settings }).await.unwrap();
    let endpoint = format!("https://localhost:{}", server.addr().port());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve(async move { drop(stopped.await) }));

    let (ca, wrong) = (scratch.write("ca.pem", &ours.pem()), scratch.write("other.pem", &other.pem()));
    assert_eq!(outcome(&endpoint, &[("AWS_CA_BUNDLE", &ca)]).await, "Ok(0)");
    assert_eq!(outcome(&endpoint, &[("SSL_CERT_FILE", &ca)]).await, "Ok(0)");
    assert_eq!(outcome(&endpoint, &[("AWS_CA_BUNDLE", &ca), ("SSL_CERT_FILE", &wrong)]).await, "Ok(0)");
    for variables in [&[][..], &[("AWS_CA_BUNDLE", wrong.as_path())], &[("SSL_CERT_FILE", &wrong)]] {
        let refused = outcome(&endpoint, variables).await;
        assert!(refused.starts_with("Err("), "{variables:?}: {refused}");
    }
    let missing = scratch.0.join("missing.pem");
    let refused = outcome(&endpoint, &[("AWS_CA_BUNDLE", &missing)]).await;
    assert!(refused.contains("not opened: invalid AWS_CA_BUNDLE"), "{refused}");
    drop(stop);
    serving.await.unwrap().unwrap();
}
