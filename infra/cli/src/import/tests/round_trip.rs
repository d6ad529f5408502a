//! Every form leads to the same state, and an export leads to it again.

use imports::{ExportFormat, export};

use super::*;

/// The forms of the fixtures.
const FORMS: [&str; 5] = ["api.json", "cloudformation.yaml", "terraform.json", "manifest.yaml", "config"];

/// The options that complete a fixture. The templates import values and have parameters.
fn flags(mesh: &str) -> Vec<&'static str> {
    match mesh {
        "shop" => vec!["--region", "eu-west-1", "--account", "123456789012"],
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn every_form_leads_to_the_same_specs() {
    for mesh in ["shop", "front"] {
        let mut states = BTreeMap::new();
        for form in FORMS {
            let file = fixtures().join(mesh).join(form);
            let desired = read(&[&file], &flags(mesh)).unwrap_or_else(|error| panic!("{mesh}/{form}: {error}"));
            let plane = ControlPlane::start().await;
            let api = api_of(&plane).await;
            let report = import(&api, &desired, &[]).await.unwrap_or_else(|error| panic!("{mesh}/{form}: {error}"));
            assert!(different(&report.carried_over).is_empty(), "{form}: {:#?}", different(&report.carried_over));
            let held = state(&api).await;
            assert_eq!(held, declared(&desired), "{form}");
            let again = import(&api, &desired, &["--prune"]).await.unwrap();
            assert!(again.plan.is_empty() && again.execution.is_none(), "{form}: {:?}", again.plan);
            let specs: BTreeMap<ResourcePath, Spec> = held.into_iter().map(|(path, (spec, _))| (path, spec)).collect();
            states.insert(form, specs);
        }
        let first = &states["api.json"];
        for (form, specs) in &states {
            assert_eq!(specs, first, "{mesh}/{form}");
        }
    }
}

#[tokio::test]
async fn export_into_an_empty_store_leads_to_the_same_state() {
    for mesh in ["shop", "front"] {
        let desired = read(&[&fixtures().join(mesh).join("api.json")], &[]).unwrap();
        let plane = ControlPlane::start().await;
        let api = api_of(&plane).await;
        import(&api, &desired, &[]).await.unwrap();
        let expected = state(&api).await;
        let folder = Folder::new();
        for (format, name) in [
            (ExportFormat::Json, "mesh.json"),
            (ExportFormat::CloudFormation, "template.json"),
            (ExportFormat::Terraform, "main.tf"),
        ] {
            let file = folder.file(name, &export(&all_held(&api).await, format));
            let desired = read(&[&file], &[]).unwrap_or_else(|error| panic!("{name}: {error}"));
            let other = ControlPlane::start().await;
            let other = api_of(&other).await;
            import(&other, &desired, &[]).await.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(state(&other).await, expected, "{mesh}/{name}");
        }
    }
}
