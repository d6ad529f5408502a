//! The caller of each version: `x-meshwarden-written-by`, as the adapter reads it.

use std::collections::BTreeMap;

use aws::Aws;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use control_plane::state::{Action, Stamp, ValidSpec, Write};
use control_plane::{ApiAuth, Quotas, Store};
use mesh::name::ResourcePath;
use mesh::resource::Resource;
use ports::{MeshReader, RouteWrite, RouteWriter, TagWriter as _, Written};
use serde_json::{Value, json};

use crate::plane::{GuardedControlPlane, Interceptor, KeyFile};
use crate::sts::{AUDIENCE, api_auth, config, identity_of, mesh, rights};
use crate::sts_server::{Sts, StsBehaviour};

/// The caller of the versions in the store.
const FIRST: &str = "AKIDFIRST";

const ROUTE: &str = "mesh/shop/virtualRouter/cart/route/all";

/// One resource of each kind, in an order in which they can be created.
fn resources() -> [(&'static str, Value); 7] {
    let listener = json!({ "portMapping": { "port": 8080, "protocol": "http" } });
    let service = json!({ "virtualService": { "virtualServiceName": "cart.local" } });
    let targets = json!([{ "virtualNode": "cart-v1", "weight": 100 }]);
    [
        ("mesh/shop", json!({})),
        ("mesh/shop/virtualNode/cart-v1", json!({})),
        ("mesh/shop/virtualRouter/cart", json!({ "listeners": [listener.clone()] })),
        (ROUTE, json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "weightedTargets": targets } } })),
        ("mesh/shop/virtualService/cart.local", json!({})),
        ("mesh/shop/virtualGateway/edge", json!({ "listeners": [listener] })),
        (
            "mesh/shop/virtualGateway/edge/gatewayRoute/cart",
            json!({ "httpRoute": { "match": { "prefix": "/" }, "action": { "target": service } } }),
        ),
    ]
}

/// A store with one resource of each kind, written by this caller.
async fn store(caller: Option<&str>) -> Store {
    let store = Store::new(Quotas::default());
    for (number, (path, spec)) in resources().into_iter().enumerate() {
        let path = ResourcePath::parse(path).unwrap();
        let spec = ValidSpec::parse(&path, spec).unwrap().into();
        let write = Write { path, action: Action::Create { spec, tags: Vec::new() }, if_version: None, token: None };
        let uid = format!("{number:032x}").parse().unwrap();
        let stamp = Stamp { now: jiff::Timestamp::UNIX_EPOCH, uid, caller: caller.map(Into::into) };
        store.write(&write, &stamp).await.unwrap();
    }
    store
}

async fn writer_of(mesh: &impl MeshReader, path: &str) -> Option<String> {
    let resource = mesh.describe(&ResourcePath::parse(path).unwrap()).await.unwrap();
    resource.metadata().written_by().map(str::to_owned)
}

/// Updates the route through the adapter.
async fn update(mesh: &(impl MeshReader + RouteWriter), version: u64) {
    let Resource::Route(route) = mesh.describe(&ResourcePath::parse(ROUTE).unwrap()).await.unwrap() else {
        unreachable!("the resource is not a route")
    };
    let write = RouteWrite {
        route: "shop/cart/all".parse().unwrap(),
        mesh_owner: None,
        spec: route.spec,
        if_version: version,
        client_token: format!("token-{version}"),
    };
    assert_eq!(mesh.update_route(&write).await.unwrap(), Written::Applied { version: version + 1 });
}

#[tokio::test]
async fn describe_of_every_kind_names_the_key_that_wrote_the_version() {
    let keys =
        KeyFile::keys("written-by", r#"{"keys": [{"id": "AKIDTERRAFORM", "secret": "s", "name": "terraform"}]}"#);
    let plane = GuardedControlPlane::with_store(ApiAuth::Keys(keys.path().to_owned()), store(Some(FIRST)).await).await;
    let sdk = config(&plane.endpoint, ("AKIDTERRAFORM", "s", ""), 0).to_builder();
    let key = Credentials::new("AKIDTERRAFORM", "s", None, None, "tests");
    let mesh = Aws::with_config(sdk.credentials_provider(SharedCredentialsProvider::new(key)).build()).mesh();
    for (path, _) in resources() {
        assert_eq!(writer_of(&mesh, path).await.as_deref(), Some(FIRST), "{path}");
        let described = mesh.describe_with_tags(&ResourcePath::parse(path).unwrap()).await.unwrap();
        assert_eq!(described.resource.metadata().written_by(), Some(FIRST), "{path}");
    }
    // A change of tags makes no version, so its caller is not that of the version.
    let arn = "arn:aws:appmesh:eu-west-1:123456789012:mesh/shop/virtualRouter/cart/route/all";
    mesh.tag(arn, &BTreeMap::from([("team".to_owned(), "shop".to_owned())])).await.unwrap();
    assert_eq!(writer_of(&mesh, ROUTE).await.as_deref(), Some(FIRST));
    update(&mesh, 1).await;
    assert_eq!(writer_of(&mesh, ROUTE).await.as_deref(), Some("AKIDTERRAFORM"));
    assert_eq!(writer_of(&mesh, "mesh/shop/virtualRouter/cart").await.as_deref(), Some(FIRST));
}

#[tokio::test]
async fn update_names_its_caller_and_the_body_has_only_members_of_the_api_model() {
    let keys = KeyFile::keys("written-sdk", r#"{"keys": [{"id": "AKIDCI", "secret": "s", "name": "ci"}]}"#);
    let plane = GuardedControlPlane::with_store(ApiAuth::Keys(keys.path().to_owned()), store(Some(FIRST)).await).await;
    let interceptor = Interceptor::default();
    let client = plane.client("AKIDCI", "s").interceptor(interceptor.clone()).build();
    let client = aws_sdk_appmesh::Client::from_conf(client);
    let described = client.describe_mesh().mesh_name("shop").send().await.unwrap();
    assert_eq!(described.mesh().unwrap().metadata().unwrap().version(), 1);
    let answer = interceptor.recorded()[0].send().await;
    assert_eq!(answer.headers()["x-meshwarden-written-by"], FIRST);
    let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let members: Vec<&String> = body["metadata"].as_object().unwrap().keys().collect();
    let known = ["arn", "createdAt", "lastUpdatedAt", "meshOwner", "resourceOwner", "uid", "version"];
    assert_eq!(members, known);

    let updated = client.update_mesh().mesh_name("shop").client_token("t").send().await.unwrap();
    assert_eq!(updated.mesh().unwrap().metadata().unwrap().version(), 2);
    // The retry of the SDK within the second gets the answer of the first request.
    let repeated = interceptor.recorded()[1].send().await;
    assert_eq!(
        (repeated.status().as_u16(), &repeated.headers()["x-meshwarden-written-by"]),
        (200, &"AKIDCI".parse().unwrap())
    );
}

#[tokio::test]
async fn role_of_sts_is_named_without_its_session() {
    let sts = Sts::start(StsBehaviour::Honest).await;
    let rights = rights(&sts.endpoint);
    let plane =
        GuardedControlPlane::with_settings(api_auth(&sts.endpoint), store(None).await, Some(&rights), None).await;
    let mesh = mesh(config(&plane.endpoint, identity_of(0), 0), &sts.endpoint, AUDIENCE);
    assert_eq!(writer_of(&mesh, ROUTE).await, None, "no caller is known");
    update(&mesh, 1).await;
    let role = "arn:aws:iam::123456789012:role/meshwarden-failover";
    assert_eq!(writer_of(&mesh, ROUTE).await.as_deref(), Some(role));
}

#[tokio::test]
async fn server_without_authentication_names_no_caller() {
    let plane = GuardedControlPlane::with_store(ApiAuth::Loopback, store(Some(FIRST)).await).await;
    let mesh = Aws::with_config(config(&plane.endpoint, identity_of(0), 0)).mesh();
    assert_eq!(writer_of(&mesh, ROUTE).await.as_deref(), Some(FIRST));
    update(&mesh, 1).await;
    assert_eq!(writer_of(&mesh, ROUTE).await, None, "the caller of an earlier version is not that of this one");
}
