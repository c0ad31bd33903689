//! What rows share: resources and scopes, once in a block, and which row has which.

use std::sync::Arc;

use model::metric::Series;
use model::{Resource, Scope, Signal};

use super::interned::SharedList;
use super::pick::{At, Pick, Source, damage};
use super::table::{BlockTable, failed, once};
use crate::filter::Level;
use crate::table::{Damage, SharedValue};

/// What to take of a resource, scope or series' attributes.
type SharedOf<'a> = &'a dyn Fn(&Resource, &Scope, &[model::KeyValue]) -> Option<SharedValue>;

impl BlockTable {
    fn resource_list(&self) -> Result<&SharedList<Resource>, Damage> {
        let known = &self.interned.resources;
        once(&self.resources, || known.list(&self.reader, "resources")).map(|list| &**list)
    }

    fn scope_list(&self) -> Result<&SharedList<Scope>, Damage> {
        let known = &self.interned.scopes;
        once(&self.scopes, || known.list(&self.reader, "scopes")).map(|list| &**list)
    }

    /// The resources of these rows.
    pub(super) fn resources(&self, rows: &[usize]) -> Result<Vec<Arc<Resource>>, Damage> {
        let list = self.resource_list()?;
        let index = self.shared_at("resource", list.len(), rows)?;
        let of = |at: &usize| self.interned.resources.entry(list, *at).cloned();
        index.iter().map(of).collect()
    }

    /// The scopes of these rows.
    pub(super) fn scopes(&self, rows: &[usize]) -> Result<Vec<Arc<Scope>>, Damage> {
        let list = self.scope_list()?;
        let index = self.shared_at("scope", list.len(), rows)?;
        let of = |at: &usize| self.interned.scopes.entry(list, *at).cloned();
        index.iter().map(of).collect()
    }

    pub(super) fn all_resources(&self) -> Result<Vec<&Arc<Resource>>, Damage> {
        let list = self.resource_list()?;
        let of = |index| self.interned.resources.entry(list, index);
        (0..list.len()).map(of).collect()
    }

    pub(super) fn all_scopes(&self) -> Result<Vec<&Arc<Scope>>, Damage> {
        let list = self.scope_list()?;
        let of = |index| self.interned.scopes.entry(list, index);
        (0..list.len()).map(of).collect()
    }

    /// Per row an index into what the rows share, checked against its length.
    pub(super) fn shared_index(&self, name: &str, length: usize) -> Result<Vec<u32>, Damage> {
        if name == "series" && self.has_chunks() {
            let index = &self.point_rows()?.0;
            let inside = index.iter().all(|index| (*index as usize) < length);
            return inside.then(|| index.clone()).ok_or_else(|| damage(name));
        }
        match self.reader.indices(name, length).map_err(failed)? {
            Some(index) => self.counted(name, index),
            None if length > 0 || self.rows() == 0 => Ok(vec![0; self.rows()]),
            None => Err(damage(name)),
        }
    }

    /// The same for some rows.
    fn shared_at(&self, name: &str, length: usize, rows: &[usize]) -> Result<Vec<usize>, Damage> {
        let inside = |index: u64| usize::try_from(index).ok().filter(|index| *index < length);
        let list = self.uints_at(name, rows)?.into_iter().map(inside);
        list.collect::<Option<_>>().ok_or_else(|| damage(name))
    }

    /// Something of each resource or scope (of each series' in a block of metrics).
    pub(super) fn shared_pick(&self, level: Level, value: SharedOf<'_>) -> Result<Pick, Damage> {
        let (resource, scope) = (Resource::default(), Scope::default());
        let (values, column): (Vec<_>, _) = if self.signal == Signal::Metrics {
            let of = |s: &Series| value(&s.resource, &s.scope, &s.attributes);
            (self.series()?.iter().map(of).collect(), "series")
        } else if level == Level::Scope {
            let of = |scope: &Arc<Scope>| value(&resource, scope, &[]);
            (self.all_scopes()?.into_iter().map(of).collect(), "scope")
        } else {
            let of = |resource: &Arc<Resource>| value(resource, &scope, &[]);
            let resources = self.all_resources()?;
            (resources.into_iter().map(of).collect(), "resource")
        };
        let index = self.shared_index(column, values.len())?;
        Pick::checked(Source::Shared(values), At::Index(index), self.rows())
    }

    /// The service of each row. It is asked for more than anything else of a resource, so it has a
    /// column beside them.
    pub(super) fn service_pick(&self) -> Result<Pick, Damage> {
        let services = self.reader.text("resource.service").map_err(failed)?;
        let Some(services) = services.filter(|_| self.signal != Signal::Metrics) else {
            return self.shared_pick(Level::Resource, &|resource, _, _| {
                Some(SharedValue::Plain(resource.service().into()))
            });
        };
        let index = self.shared_index("resource", services.len())?;
        Pick::checked(Source::Text(services), At::Index(index), self.rows())
    }

    /// Where attributes of a key may be, the nearest to the row first.
    pub(super) fn levels_of(&self, key: &str) -> Result<Vec<Level>, Damage> {
        let mut levels = vec![Level::Row, Level::Scope, Level::Resource];
        if self.signal != Signal::Metrics {
            let scoped = |scope: &&Arc<Scope>| scope.attributes.iter().any(|a| a.key == key);
            if !self.all_scopes()?.iter().any(scoped) {
                levels.remove(1);
            }
            let keys = self.reader.text("attr.keys").map_err(failed)?;
            if !keys.is_some_and(|keys| keys.values().any(|other| other == key)) {
                levels.remove(0);
            }
        }
        Ok(levels)
    }
}
