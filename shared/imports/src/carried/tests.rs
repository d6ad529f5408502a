//! Each row of the report.

use mesh::name::ResourceKind;
use readers::{Surroundings, read};

use super::*;
use crate::desired::InputOptions;
use crate::held::as_held;

const MANIFEST: &str = r"apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels:
    mesh: shop
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: Mesh
metadata:
  name: shop
spec:
  meshOwner: '111111111111'
  namespaceSelector:
    matchLabels:
      mesh: shop
---
apiVersion: appmesh.k8s.aws/v1beta2
kind: VirtualNode
metadata:
  name: a
  namespace: shop
  labels:
    app: a
spec:
  podSelector:
    matchLabels:
      app: a
  listeners:
    - portMapping:
        port: 8080
        protocol: http
      healthCheck:
        protocol: http
        path: /
        healthyThreshold: 2
        unhealthyThreshold: 2
        intervalMillis: 5000
        timeoutMillis: 2000
  serviceDiscovery:
    dns:
      hostname: a.internal
";

fn rows(change: impl Fn(&mut Value)) -> Vec<CarriedRow> {
    let reading = read(MANIFEST, "a.yaml", &Surroundings::default()).unwrap();
    let desired = Desired::from_reading(&reading, &InputOptions::default()).unwrap();
    let held = desired.resources.iter().map(|(path, resource)| {
        let mut spec = as_held(&resource.spec).to_json();
        if path.kind() == ResourceKind::VirtualNode {
            change(&mut spec);
        }
        let held = HeldResource {
            spec: Spec::read(path.kind(), &spec).unwrap(),
            tags: mesh::resource::Tags::default(),
            version: 1,
            arn: String::new(),
            mesh_owner: "222222222222".parse().unwrap(),
        };
        (path.clone(), held)
    });
    carried_over(&desired, &held.collect())
}

fn others(rows: &[CarriedRow]) -> Vec<(CarriedOutcome, &str, Option<usize>)> {
    let others = rows.iter().filter(|row| row.outcome != CarriedOutcome::Carried);
    others.map(|row| (row.outcome, row.member.as_str(), row.line)).collect()
}

#[test]
fn every_member_of_a_manifest_has_a_row() {
    let rows = rows(|_| ());
    let expected = [
        (CarriedOutcome::Differs, "meshOwner", Some(8)),
        (CarriedOutcome::NotHeld, "spec.namespaceSelector", Some(14)),
        (CarriedOutcome::Added, "spec.listeners[0].healthCheck.port", Some(33)),
        (CarriedOutcome::Differs, "meshOwner", Some(18)),
        (CarriedOutcome::NotHeld, "spec.podSelector", Some(26)),
        (CarriedOutcome::NotHeld, "metadata.labels", Some(23)),
    ];
    assert_eq!(others(&rows), expected);
    let carried = rows.iter().filter(|row| row.outcome == CarriedOutcome::Carried).count();
    assert_eq!(carried, 10, "{rows:#?}");
}

#[test]
fn owner_without_a_known_account_is_a_row() {
    let template = r"AWSTemplateFormatVersion: '2010-09-09'
Resources:
  Node:
    Type: AWS::AppMesh::VirtualNode
    DependsOn: Other
    Properties:
      MeshName: shop
      MeshOwner: !Ref Owner
      VirtualNodeName: a
      Spec: {}
";
    let reading = read(template, "t.yaml", &Surroundings::default()).unwrap();
    let desired = Desired::from_reading(&reading, &InputOptions::default()).unwrap();
    let rows = carried_over(&desired, &Held::new());
    assert_eq!(
        others(&rows),
        [
            (CarriedOutcome::Differs, "spec", Some(10)),
            (CarriedOutcome::Differs, "meshOwner", Some(3)),
            (CarriedOutcome::NotHeld, "DependsOn", Some(5)),
        ]
    );
    assert_eq!(rows[1].in_file, Some(json!("${Owner}")));
}

#[test]
fn member_that_the_api_holds_differently_is_named_with_both_values() {
    let rows = rows(|spec| spec["serviceDiscovery"]["dns"]["hostname"] = json!("b.internal"));
    let row = rows.iter().find(|row| row.member == "spec.serviceDiscovery.dns.hostname").unwrap();
    assert_eq!((row.outcome, row.line), (CarriedOutcome::Differs, Some(42)));
    assert_eq!((&row.in_file, &row.in_api), (&Some(json!("a.internal")), &Some(json!("b.internal"))));
}
