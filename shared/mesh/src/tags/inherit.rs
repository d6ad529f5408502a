//! Values that are handed down.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Serialize;

use super::register::Register;
use crate::graph::Links;
use crate::name::{ResourceKind, ResourcePath};
use crate::policy::{RequiredTag, TagPolicy};

/// What a resource that lacks a tag takes from those above it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "inherited", rename_all = "kebab-case")]
pub enum Inherited {
    /// This.
    Value {
        /// The value.
        value: String,
        /// One that has it itself.
        from: ResourcePath,
    },
    /// Nothing, because those above it differ.
    Conflict {
        /// Each value, with one that has it.
        values: BTreeMap<String, ResourcePath>,
    },
    /// Nothing, because none above it has the tag.
    Nothing,
    /// Unknown: the tags of one above it could not be read, and it may have another value than the others.
    Unknown,
}

/// The values of one tag, those handed down included.
pub(super) struct Inheritance<'a, 'm> {
    register: &'a Register<'m>,
    links: &'a Links<'m>,
    policy: &'a TagPolicy,
    required: &'a RequiredTag,
    /// By place, what was worked out already.
    known: Vec<Option<Taken<'a>>>,
}

/// What is handed down, by the places of those who have it themselves.
#[derive(Clone)]
pub(super) enum Taken<'a> {
    Value { value: &'a str, from: usize },
    Conflict(Rc<BTreeMap<&'a str, usize>>),
    Nothing,
    Unknown,
}

impl<'a, 'm> Inheritance<'a, 'm> {
    /// Prepares to look at a mesh. Values that the tag may not have are not handed down.
    pub(super) fn of(
        register: &'a Register<'m>,
        links: &'a Links<'m>,
        policy: &'a TagPolicy,
        required: &'a RequiredTag,
    ) -> Self {
        Self { register, links, policy, required, known: vec![None; register.len()] }
    }

    /// What a resource that lacks the tag would take.
    pub(super) fn inherited(&mut self, place: usize) -> Taken<'a> {
        let Some(resource) = self.register.get(place) else { return Taken::Nothing };
        let policy = self.policy;
        for kind in policy.sources(resource.path.kind()) {
            let above = self.above(resource.path.kind(), place, *kind);
            let values = above.iter().map(|number| self.value(self.register.place(*kind, *number)));
            match values.fold(Taken::Nothing, Taken::and) {
                Taken::Nothing => {}
                taken @ (Taken::Value { .. } | Taken::Conflict(_) | Taken::Unknown) => return taken,
            }
        }
        Taken::Nothing
    }

    /// The same with names for places.
    pub(super) fn told(&mut self, place: usize) -> Inherited {
        let path = |place: usize| self.register.get(place).map(|entry| entry.path.clone());
        match self.inherited(place) {
            Taken::Value { value, from } => {
                path(from).map_or(Inherited::Nothing, |from| Inherited::Value { value: value.to_owned(), from })
            }
            Taken::Conflict(values) => {
                let values = values.iter().filter_map(|(value, from)| Some(((*value).to_owned(), path(*from)?)));
                Inherited::Conflict { values: values.collect() }
            }
            Taken::Nothing => Inherited::Nothing,
            Taken::Unknown => Inherited::Unknown,
        }
    }

    /// The value of a resource's own tag, or what it takes.
    fn value(&mut self, place: usize) -> Taken<'a> {
        let entry = self.register.get(place);
        let tags = entry.and_then(|entry| entry.tags);
        // One whose tags could not be read may have a value of its own, so it hands nothing down, and lets nothing pass.
        if tags.is_none() && entry.is_some_and(|entry| entry.exists) {
            return Taken::Unknown;
        }
        let own = tags.and_then(|tags| tags.value(&self.required.key));
        if let Some(value) = own.filter(|value| self.required.allows(value)) {
            return Taken::Value { value, from: place };
        }
        if let Some(Some(known)) = self.known.get(place) {
            return known.clone();
        }
        // Sources come before what takes from them, so this ends.
        let taken = self.inherited(place);
        if let Some(known) = self.known.get_mut(place) {
            *known = Some(taken.clone());
        }
        taken
    }

    /// The numbers of the resources of a kind that stand above a resource, in the order of their names.
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
            // Nothing else stands above anything.
            _ => &[],
        };
        Cow::Borrowed(numbers)
    }
}

impl Taken<'_> {
    /// What both together hand down; of two with the same value the first counts.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, other) => other,
            (own, Self::Nothing) => own,
            // Two that differ are in conflict whatever a third one has.
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

impl<'a> Taken<'a> {
    fn values(self) -> Rc<BTreeMap<&'a str, usize>> {
        match self {
            Self::Value { value, from } => Rc::new(BTreeMap::from([(value, from)])),
            Self::Conflict(values) => values,
            Self::Nothing | Self::Unknown => Rc::default(),
        }
    }
}
