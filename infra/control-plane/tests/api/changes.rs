//! The changes that a follower in the same process receives.

use control_plane::state::{Change, Operation};
use mesh::name::ResourcePath;
use serde_json::json;

use crate::client::{ARN, Plane};

#[tokio::test]
async fn every_accepted_write_is_sent_to_followers_once_and_in_order() {
    let plane = Plane::start().await;
    let mut changes = plane.store.changes();
    let create = json!({"meshName": "shop", "clientToken": "t"});
    plane.put("/meshes", create.clone()).await.ok();
    plane.put("/meshes", create).await.ok();
    plane.put_if(7, "/meshes/shop", json!({"spec": {}})).await.error("ConflictException");
    plane.put("/meshes/shop", json!({"spec": {}})).await.ok();
    let tags = json!({"tags": [{"key": "team", "value": "orders"}]});
    plane.put(&format!("/tag?resourceArn={ARN}mesh/shop"), tags).await.ok();
    plane.get("/meshes/shop").await.ok();
    plane.delete("/meshes/shop").await.ok();
    for (operation, version) in
        [(Operation::Created, 1), (Operation::Updated, 2), (Operation::Retagged, 2), (Operation::Deleted, 3)]
    {
        let path = ResourcePath::parse("mesh/shop").unwrap();
        assert_eq!(changes.try_recv(), Ok(Change { path, version, operation }));
    }
    assert!(changes.try_recv().is_err());
}
