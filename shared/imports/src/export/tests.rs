//! An export that is read again has the same resources.

use std::collections::BTreeMap;

use mesh::resource::Tags;
use mesh::spec::Spec;
use readers::{Surroundings, read};

use super::*;
use crate::desired::{Desired, InputOptions};
use crate::held::HeldResource;

fn shop() -> Held {
    let text = include_str!("../../../readers/tests/readers/fixtures/shop/api.json");
    let reading = read(text, "shop.json", &Surroundings::default()).unwrap();
    let resources = reading.resources.into_iter().map(|declared| {
        let held = HeldResource {
            spec: declared.spec,
            tags: Tags::read([("note".to_owned(), "a \"${b}\" %{c} \\ $d".to_owned())]).unwrap(),
            version: 1,
            arn: String::new(),
            mesh_owner: "123456789012".parse().unwrap(),
        };
        (declared.path, held)
    });
    resources.collect()
}

fn specs(held: &Held) -> BTreeMap<ResourcePath, (Spec, Tags)> {
    held.iter().map(|(path, resource)| (path.clone(), (resource.spec.clone(), resource.tags.clone()))).collect()
}

#[test]
fn api_json_and_cloudformation_are_read_back_exactly() {
    let held = shop();
    for (format, name) in [(ExportFormat::Json, "shop.json"), (ExportFormat::CloudFormation, "template.json")] {
        let text = export(&held, format);
        let reading = read(&text, name, &Surroundings::default()).unwrap();
        let options = InputOptions { exact_files: [name.to_owned()].into(), ..InputOptions::default() };
        let desired = Desired::from_reading(&reading, &options).unwrap();
        let back = desired.resources.into_iter().map(|(path, one)| (path, (one.spec, one.tags.unwrap()))).collect();
        assert_eq!(specs(&held), back, "{text}");
    }
}

#[test]
fn configuration_has_escaped_texts_and_dependencies() {
    let text = export(&shop(), ExportFormat::Terraform);
    assert!(text.contains(r#"note = "a \"$${b}\" %%{c} \\ $d""#), "{text}");
    assert!(text.contains("virtual_router_name = aws_appmesh_virtual_router."), "{text}");
    assert!(text.contains("depends_on = ["), "{text}");
}

#[test]
fn identifiers_of_similar_names_differ() {
    let paths: Vec<ResourcePath> =
        ["mesh/m/virtualNode/a-b", "mesh/m/virtualNode/a_b"].iter().map(|path| path.parse().unwrap()).collect();
    let paths: Vec<&ResourcePath> = paths.iter().collect();
    let ids = parts::identifiers(&paths, |_| "a_b".to_owned(), |_, _| true);
    assert_eq!(ids.into_values().collect::<Vec<_>>(), ["a_b", "a_b2"]);
}
