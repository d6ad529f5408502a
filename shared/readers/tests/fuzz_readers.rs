//! Readers never panic on any file.

#[path = "../../mesh/tests/edits/mod.rs"]
mod edits;

use edits::{Edit, edit, specs};
use readers::{File, Reading, Surroundings, detect, read, read_all};
use serde_json::Value;

const FILES: [(&str, &str); 5] = [
    ("api.json", include_str!("readers/fixtures/loose/api.json")),
    ("item.json", include_str!("readers/fixtures/shop/config/shop_virtualnode_web_shop.json")),
    ("cloudformation.yaml", include_str!("readers/fixtures/shop/cloudformation.yaml")),
    ("terraform.json", include_str!("readers/fixtures/loose/terraform.json")),
    ("manifest.yaml", include_str!("readers/fixtures/front/manifest.yaml")),
];

#[test]
fn any_bytes() {
    bolero::check!().for_each(|bytes: &[u8]| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            reads(text);
        }
    });
}

/// A text that is cut, repeated and patched is often still partly valid.
#[test]
fn mangled_files() {
    bolero::check!().with_type::<(u8, u16, u16, String)>().for_each(|(which, from, to, text)| {
        let (_, file) = FILES[usize::from(*which) % FILES.len()];
        let place = |at: &u16| file.floor_char_boundary(usize::from(*at) % file.len());
        let (from, to) = (place(from), place(to));
        reads(&format!("{}{text}{}", &file[..from], &file[to..]));
    });
}

#[test]
fn edited_documents() {
    let mut documents: Vec<Value> = FILES.iter().filter_map(|(_, text)| serde_json::from_str(text).ok()).collect();
    documents.extend(specs().into_iter().map(|(_, _, spec)| spec));
    bolero::check!().with_type::<(u8, Vec<Edit>)>().for_each(|(which, edits)| {
        let document = documents[usize::from(*which) % documents.len()].clone();
        reads(&edit(document, edits.get(..20).unwrap_or(edits)).to_string());
    });
}

fn reads(text: &str) {
    let around = Surroundings::default();
    let found = read(text, "file", &around);
    assert!(found.is_err() || detect(text, "file").is_ok() || text.contains("Namespace"));
    let name = "file";
    let (twice, _) = read_all(&[File { name, text }, File { name, text }], &around);
    for reading in found.iter().chain([&twice]) {
        is_shown(reading);
    }
}

/// Every message can be formatted, and names its file.
fn is_shown(reading: &Reading) {
    assert!(reading.refusals.iter().all(|refusal| refusal.to_string().starts_with("file:")));
    assert!(reading.remarks.iter().all(|remark| remark.to_string().starts_with("file: ")));
    assert!(reading.resources.is_sorted_by_key(|resource| &resource.path));
    drop(reading.meshes());
}
