//! Inherited tag values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;

use super::register::Register;
use mesh::graph::Links;
use mesh::name::{ResourceKind, ResourcePath};
use policy::{RequiredTag, TagPolicy};

/// The value that a resource without a tag inherits from its parents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "inherited", rename_all = "kebab-case")]
pub enum Inherited {
    /// This value.
    Value {
        /// The value.
        value: String,
        /// A resource with the tag.
        from: ResourcePath,
    },
    /// No value, because its parents have different values.
    Conflict {
        /// The values, each with a resource that has it.
        values: BTreeMap<String, ResourcePath>,
    },
    /// No value, because no parent has the tag.
    Nothing,
    /// Unknown: the tags of a parent could not be read, and may have a different value.
    Unknown,
}

/// The values of one tag, including inherited values.
pub(super) struct Inheritance<'a, 'm> {
    register: &'a Register<'m>,
    links: &'a Links<'m>,
    policy: &'a TagPolicy,
    required: &'a RequiredTag,
    /// The computed values, by place.
    known: Vec<Option<InheritedTag<'a>>>,
}

/// The inherited value, by the places of the resources with the tag.
#[derive(Clone)]
pub(super) enum InheritedTag<'a> {
    Value { value: &'a str, from: usize },
    Conflict(Rc<BTreeMap<&'a str, usize>>),
    Nothing,
    Unknown,
}

impl<'a, 'm> Inheritance<'a, 'm> {
    /// Prepares the computation for a mesh. Values that the policy does not allow are not inherited.
    pub(super) fn new(
        register: &'a Register<'m>,
        links: &'a Links<'m>,
        policy: &'a TagPolicy,
        required: &'a RequiredTag,
    ) -> Self {
        Self { register, links, policy, required, known: vec![None; register.len()] }
    }

    /// The value that a resource without the tag inherits.
    pub(super) fn inherited(&mut self, place: usize) -> InheritedTag<'a> {
        let Some(resource) = self.register.get(place) else { return InheritedTag::Nothing };
        let policy = self.policy;
        for kind in policy.sources(resource.path.kind()) {
            let above = self.above(resource.path.kind(), place, *kind);
            let values = above.iter().map(|number| self.value(self.register.place(*kind, *number)));
            match values.fold(InheritedTag::Nothing, InheritedTag::and) {
                InheritedTag::Nothing => {}
                taken @ (InheritedTag::Value { .. } | InheritedTag::Conflict(_) | InheritedTag::Unknown) => {
                    return taken;
                }
            }
        }
        InheritedTag::Nothing
    }

    /// The inherited value, with names instead of places.
    pub(super) fn named(&mut self, place: usize) -> Inherited {
        let path = |place: usize| self.register.get(place).map(|entry| entry.path.clone());
        match self.inherited(place) {
            InheritedTag::Value { value, from } => {
                path(from).map_or(Inherited::Nothing, |from| Inherited::Value { value: value.to_owned(), from })
            }
            InheritedTag::Conflict(values) => {
                let values = values.iter().filter_map(|(value, from)| Some(((*value).to_owned(), path(*from)?)));
                Inherited::Conflict { values: values.collect() }
            }
            InheritedTag::Nothing => Inherited::Nothing,
            InheritedTag::Unknown => Inherited::Unknown,
        }
    }

    /// The value of a resource's own tag, or its inherited value.
    fn value(&mut self, place: usize) -> InheritedTag<'a> {
        let entry = self.register.get(place);
        let tags = entry.and_then(|entry| entry.tags);
        // A resource with unread tags may have its own value, so it passes no value on.
        if tags.is_none() && entry.is_some_and(|entry| entry.exists) {
            return InheritedTag::Unknown;
        }
        let own = tags.and_then(|tags| tags.value(&self.required.key));
        if let Some(value) = own.filter(|value| self.required.allows(value)) {
            return InheritedTag::Value { value, from: place };
        }
        if let Some(Some(known)) = self.known.get(place) {
            return known.clone();
        }
        // Parents come before their children, so the recursion terminates.
        let taken = self.inherited(place);
        if let Some(known) = self.known.get_mut(place) {
            *known = Some(taken.clone());
        }
        taken
    }

    /// The numbers of the resources of a kind that are parents of a resource, in the order of their names.
    fn above(&self, of: ResourceKind, place: usize, kind: ResourceKind) -> Cow<'a, [usize]> {
        let links = self.links;
        let number = self.register.number(of, place);
        let parent = || links.routes.get(number).map(|route| std::slice::from_ref(&route.router)).unwrap_or_default();
        let numbers = match (kind, of) {
            (ResourceKind::Mesh, _) => &[0],
            (ResourceKind::VirtualService, ResourceKind::VirtualRouter) => links.services_through(number),
            (ResourceKind::VirtualService, ResourceKind::VirtualNode) => links.services_at(number),
            (ResourceKind::VirtualService, ResourceKind::Route) => {
                parent().first().map(|router| links.services_through(*router)).unwrap_or_default()
            }
            (ResourceKind::VirtualRouter, ResourceKind::Route) => parent(),
            (ResourceKind::VirtualRouter, ResourceKind::VirtualNode) => {
                let to_node = links.routes_at(number).iter().filter_map(|route| links.routes.get(*route));
                let mut routers: Vec<usize> = to_node.map(|route| route.router).collect();
                routers.dedup();
                return Cow::Owned(routers);
            }
            (ResourceKind::Route, ResourceKind::VirtualNode) => links.routes_at(number),
            (ResourceKind::VirtualGateway, ResourceKind::GatewayRoute) => {
                let route = links.gateway_routes.get(number);
                route.map(|route| std::slice::from_ref(&route.gateway)).unwrap_or_default()
            }
            // No other kind has parents of this kind.
            _ => &[],
        };
        Cow::Borrowed(numbers)
    }
}

impl InheritedTag<'_> {
    /// Combines the values of two parents; of two equal values the first counts.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, other) => other,
            (own, Self::Nothing) => own,
            // Two different values conflict, independent of a third one.
            (Self::Conflict(values), Self::Unknown) | (Self::Unknown, Self::Conflict(values)) => Self::Conflict(values),
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Value { value, from }, Self::Value { value: other, .. }) if value == other => {
                Self::Value { value, from }
            }
            (own, other) => {
                let mut values = own.values();
                let all = Rc::make_mut(&mut values);
                for (value, from) in other.values().iter() {
                    all.entry(value).or_insert(*from);
                }
                Self::Conflict(values)
            }
        }
    }
}

impl<'a> InheritedTag<'a> {
    fn values(self) -> Rc<BTreeMap<&'a str, usize>> {
        match self {
            Self::Value { value, from } => Rc::new(BTreeMap::from([(value, from)])),
            Self::Conflict(values) => values,
            Self::Nothing | Self::Unknown => Rc::default(),
        }
    }
}
