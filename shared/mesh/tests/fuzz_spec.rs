//! Reading and checking never panics on any document.

mod edits;

use edits::{Edit, edit, specs};
use mesh::name::{Arn, ResourceKind, ResourcePath, RouteId};
use mesh::resource::Resource;
use mesh::spec::Spec;
use mesh::validate;
use serde_json::Value;

#[test]
fn any_bytes() {
    bolero::check!().for_each(|bytes: &[u8]| {
        if let Ok(document) = serde_json::from_slice::<Value>(bytes) {
            for kind in ResourceKind::ALL {
                read(kind, &document);
            }
        }
        if let Ok(text) = std::str::from_utf8(bytes) {
            names(text);
        }
    });
}

#[test]
fn edited_specs() {
    let specs = specs();
    bolero::check!().with_type::<(u8, Vec<Edit>)>().for_each(|(which, edits)| {
        let Some((_, kind, spec)) = specs.get(usize::from(*which) % specs.len()) else {
            return;
        };
        read(*kind, &edit(spec.clone(), edits.get(..20).unwrap_or(edits)));
    });
}

/// An accepted document must also be read leniently, and written back unchanged.
fn read(kind: ResourceKind, document: &Value) {
    let accepted = validate::parse(kind, document);
    let read = Spec::read(kind, document);
    if let Ok(accepted) = accepted {
        assert_eq!(read.as_ref(), Ok(&accepted));
    }
    if let Ok(spec) = read {
        let written = spec.to_json();
        assert_eq!(Spec::read(kind, &written), Ok(spec), "null members go, all else stays");
    }
    drop(Resource::read(kind, document));
    drop(validate::tags(document));
    drop(validate::tag_keys(document));
}

/// A parsed value must be shown unchanged.
fn names(text: &str) {
    assert_eq!(Arn::parse(text).map_or(text.to_owned(), |arn| arn.to_string()), text);
    assert_eq!(ResourcePath::parse(text).map_or(text.to_owned(), |path| path.to_string()), text);
    assert_eq!(RouteId::parse(text).map_or(text.to_owned(), |id| id.to_string()), text);
    for kind in ResourceKind::ALL {
        drop(validate::name(kind, text));
    }
}
