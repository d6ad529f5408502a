//! A template is imported into a control plane, Envoys connect to it by a name, and traffic follows the imported routes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "folder/mod.rs"]
mod folder;

use std::process::{Command, Stdio};

use folder::Folder;
use meshwarden_tests::envoys::EnvoyMesh;

/// A service with two versions, as the templates of App Mesh's examples describe it.
const TEMPLATE: &str = r#"
Parameters:
  MeshName: { Type: String, Default: shop }
  Domain: { Type: String, Default: shop.local }
Resources:
  Mesh:
    Type: AWS::AppMesh::Mesh
    Properties: { MeshName: !Ref MeshName }
  FirstColor:
    Type: AWS::AppMesh::VirtualNode
    Properties: &version
      MeshName: !GetAtt Mesh.MeshName
      VirtualNodeName: color-v1
      Spec:
        Listeners: [{ PortMapping: { Port: 9080, Protocol: http } }]
        ServiceDiscovery: { DNS: { Hostname: !Sub "color-v1.${Domain}" } }
  SecondColor:
    Type: AWS::AppMesh::VirtualNode
    Properties: { <<: *version, VirtualNodeName: color-v2 }
  Router:
    Type: AWS::AppMesh::VirtualRouter
    Properties:
      MeshName: !GetAtt Mesh.MeshName
      VirtualRouterName: color
      Spec: { Listeners: [{ PortMapping: { Port: 9080, Protocol: http } }] }
  Route:
    Type: AWS::AppMesh::Route
    Properties:
      MeshName: !GetAtt Mesh.MeshName
      VirtualRouterName: !GetAtt Router.VirtualRouterName
      RouteName: color
      Spec:
        HttpRoute:
          Match: { Prefix: / }
          Action:
            WeightedTargets:
              - { VirtualNode: !GetAtt FirstColor.VirtualNodeName, Weight: 0 }
              - { VirtualNode: !GetAtt SecondColor.VirtualNodeName, Weight: 100 }
  Service:
    Type: AWS::AppMesh::VirtualService
    Properties:
      MeshName: !GetAtt Mesh.MeshName
      VirtualServiceName: !Sub "color.${Domain}"
      Spec: { Provider: { VirtualRouter: { VirtualRouterName: !GetAtt Router.VirtualRouterName } } }
  Gateway:
    Type: AWS::AppMesh::VirtualNode
    Properties:
      MeshName: !GetAtt Mesh.MeshName
      VirtualNodeName: gateway
      Spec: { Backends: [{ VirtualService: { VirtualServiceName: !GetAtt Service.VirtualServiceName } }] }
"#;

/// Runs `meshwarden import` over the folder.
async fn import(mesh: &EnvoyMesh, folder: &Folder) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshwarden"));
    command
        .args(["import", "mesh.yaml", "--endpoint", &mesh.endpoint])
        .current_dir(&folder.0)
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .stdin(Stdio::null());
    // The control plane serves on this runtime.
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let shown = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_follows_an_imported_template() {
    let Some(mut mesh) = EnvoyMesh::start_empty().await else { return };
    mesh.connect_by_name();
    let folder = Folder::new(&[("mesh.yaml", TEMPLATE)]);
    import(&mesh, &folder).await;
    for node in ["color-v1", "color-v2"] {
        mesh.start_application(node).await;
        mesh.start_envoy(node).await;
    }
    mesh.start_envoy("gateway").await;
    mesh.until_served_by("gateway", "color-v2").await;
    assert_eq!(mesh.requests("gateway", &[], 20).await, [("color-v2".to_owned(), 20)].into());
    // The next import moves the traffic to the first version.
    let moved = TEMPLATE.replace("Weight: 0 }", "Weight: 1 }").replace("Weight: 100 }", "Weight: 0 }");
    let folder = Folder::new(&[("mesh.yaml", &moved)]);
    import(&mesh, &folder).await;
    mesh.until_served_by("gateway", "color-v1").await;
}
