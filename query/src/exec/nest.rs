//! Rows below their scopes below their resources, as OTLP JSON nests them.

use indexmap::IndexMap;
use model::{Resource, Scope};
use otlp::encode::json::{resource_json, scope_json};
use serde_json::{Map, Value as Json};

/// Resources in the order of their first row, each with its scopes; `T` is what a scope has.
pub(super) struct Nest<T> {
    resources: IndexMap<String, Node<IndexMap<String, Node<T>>>>,
}

/// Members of a resource or scope, and what is below it.
struct Node<T> {
    members: Map<String, Json>,
    below: T,
}

/// Where a scope is: the number of its resource, and its own.
pub(super) type ScopePlace = (usize, usize);

impl<T> Default for Nest<T> {
    fn default() -> Self {
        Self {
            resources: IndexMap::new(),
        }
    }
}

impl<T: Default> Nest<T> {
    /// The place of a scope, each scope once by all that it has.
    pub(super) fn enter(&mut self, resource: &Resource, scope: &Scope) -> ScopePlace {
        let resource = envelope("resource", resource_json(resource), &resource.schema_url);
        let scope = envelope("scope", scope_json(scope), &scope.schema_url);
        let (first, resource) = child(&mut self.resources, resource);
        let (second, _) = child(&mut resource.below, scope);
        (first, second)
    }

    /// What a scope has.
    pub(super) fn at(&mut self, (resource, scope): ScopePlace) -> &mut T {
        &mut self.resources[resource].below[scope].below
    }

    /// OTLP's list of resources, whose scopes are the member `scopes`. What a scope has becomes
    /// its member `rows`; a scope without any is left out.
    pub(super) fn finish(
        self,
        scopes: &str,
        rows: &str,
        list: impl Fn(T) -> Vec<Json>,
    ) -> Vec<Json> {
        let resources = self.resources.into_values().filter_map(|resource| {
            let below = resource.below.into_values().filter_map(|mut scope| {
                let list = list(scope.below);
                let some = !list.is_empty();
                scope.members.insert(rows.to_owned(), list.into());
                some.then_some(Json::Object(scope.members))
            });
            let below: Vec<Json> = below.collect();
            let some = !below.is_empty();
            let mut members = resource.members;
            members.insert(scopes.to_owned(), below.into());
            some.then_some(Json::Object(members))
        });
        resources.collect()
    }
}

fn child<T: Default>(
    nodes: &mut IndexMap<String, Node<T>>,
    members: Map<String, Json>,
) -> (usize, &mut Node<T>) {
    let entry = nodes.entry(Json::Object(members.clone()).to_string());
    let index = entry.index();
    let node = entry.or_insert_with(|| Node {
        members,
        below: T::default(),
    });
    (index, node)
}

fn envelope(name: &str, value: Json, schema_url: &str) -> Map<String, Json> {
    let mut members = Map::new();
    members.insert(name.to_owned(), value);
    if !schema_url.is_empty() {
        members.insert("schemaUrl".into(), schema_url.into());
    }
    members
}
