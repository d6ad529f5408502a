//! Properties of every spec and every split.

mod edits;

use any::{any_route, any_spec, any_split, id};
use edits::{edit, specs};
use mesh::change::{Change, diff};
use mesh::spec::{RouteSpec, Spec};
use mesh::split::WeightSplit;
use mesh::validate;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

#[test]
fn specs_with_every_member_are_accepted_and_written_back_equal() {
    for (name, kind, spec) in specs() {
        assert_eq!(validate::spec(kind, &spec), Ok(()), "{name}");
        assert_eq!(Spec::read(kind, &spec).map(|spec| spec.to_json()), Ok(spec), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_split_is_read_back_as_it_was_written(split in any_split()) {
        let json = serde_json::to_string(&split).unwrap();
        let read: WeightSplit = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read.targets_hash(), split.targets_hash());
        prop_assert_eq!(read, split);
    }

    #[test]
    fn shares_add_up(split in any_split()) {
        let shares = split.shares();
        prop_assert_eq!(shares.iter().map(|share| share.weight).sum::<u16>(), split.total());
        for share in shares {
            prop_assert_eq!(Some(share.weight), split.weight_of(share.virtual_node));
        }
    }

    #[test]
    fn read_spec_round_trips((name, kind, spec) in any_spec()) {
        if let Ok(read) = Spec::read(kind, &spec) {
            prop_assert_eq!(read.to_json(), spec.clone(), "{}", name);
            let through_serde = serde_json::to_string(&read).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&through_serde).unwrap(), spec);
        }
    }

    #[test]
    fn client_reads_every_accepted_spec((_, kind, spec) in any_spec()) {
        match validate::parse(kind, &spec) {
            Ok(parsed) => prop_assert_eq!(Spec::read(kind, &spec), Ok(parsed)),
            Err(violations) => prop_assert!(violations.iter().all(|violation| violation.path.starts_with("spec"))),
        }
    }

    #[test]
    fn setting_weights_changes_weights_only((_, spec) in any_route(), weights in vec(0_u8..=100, 10)) {
        let Ok(mut route) = RouteSpec::read(&spec) else { return Ok(()) };
        let Some(original) = route.split() else { return Ok(()) };
        let split = original.with_weights(&weights[..original.targets().len()]).unwrap();
        let set = |split: &WeightSplit| Change::SetRouteWeights { route: id(), split: split.clone() };
        let before = route.to_json();
        set(&split).apply_to_spec(&mut route).unwrap();
        prop_assert_eq!(route.split(), Some(split));
        for difference in diff(&before, &route.to_json()) {
            prop_assert!(difference.path.ends_with(".weight"), "{}", difference.path);
        }
        set(&original).apply_to_spec(&mut route).unwrap();
        prop_assert_eq!(route.to_json().to_string(), before.to_string(), "to the byte");
    }
}

/// The properties above are about specs that are read, so enough of them must be.
#[test]
fn many_edited_specs_are_read() {
    let (mut read, mut all) = (0, 0);
    for (_, kind, spec) in specs() {
        for place in 0..200 {
            for what in 0..16 {
                all += 1;
                read += usize::from(Spec::read(kind, &edit(spec.clone(), &[(place, what)])).is_ok());
            }
        }
    }
    assert!(read * 4 > all, "only {read} of {all}");
}

/// The inputs of the properties.
#[cfg(test)]
mod any {
    use mesh::name::{ResourceKind, RouteId, VirtualNodeName};
    use mesh::split::{Port, Weight, WeightSplit, WeightedTarget};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::edits::{Edit, edit, specs};

    pub(super) fn id() -> RouteId {
        RouteId::parse("shop/recs/all").unwrap()
    }

    pub(super) fn any_split() -> impl Strategy<Value = WeightSplit> {
        let target = (0_u8..4, 0_u8..=100, prop::option::of(1_u16..)).prop_map(|(node, weight, port)| WeightedTarget {
            virtual_node: VirtualNodeName::parse(&format!("node-{node}")).unwrap(),
            weight: Weight::new(weight).unwrap(),
            port: port.map(|port| Port::new(port).unwrap()),
        });
        vec(target, 1..=10).prop_map(|targets| WeightSplit::new(targets).unwrap())
    }

    pub(super) fn any_spec() -> impl Strategy<Value = (&'static str, ResourceKind, Value)> {
        let edits = vec(any::<Edit>(), 0..5);
        (prop::sample::select(specs()), edits).prop_map(|((name, kind, spec), edits)| (name, kind, edit(spec, &edits)))
    }

    pub(super) fn any_route() -> impl Strategy<Value = (&'static str, Value)> {
        let routes: Vec<_> = specs().into_iter().filter(|(_, kind, _)| *kind == ResourceKind::Route).collect();
        let edits = vec(any::<Edit>(), 0..5);
        (prop::sample::select(routes), edits).prop_map(|((name, _, spec), edits)| (name, edit(spec, &edits)))
    }
}
