//! Resources, scopes and metrics. Each block has a list of its own, but the blocks of one answer
//! repeat the same few: each is decoded once.

use std::sync::Arc;

use model::{Metric, Resource, Scope};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;

use crate::block::BlockReader;
use crate::table::Damage;

/// Things of one kind that are kept; others are decoded each time.
const KEPT_MAX: usize = 10_000;

/// What was decoded for one answer so far.
#[derive(Default)]
pub(crate) struct Interned {
    resources: Known<Resource>,
    scopes: Known<Scope>,
    metrics: Known<Metric>,
}

impl Interned {
    /// The resources of a block.
    pub(super) fn resources(&self, reader: &BlockReader) -> Result<Vec<Arc<Resource>>, Damage> {
        self.resources.list(reader, "resources")
    }

    /// The scopes of a block.
    pub(super) fn scopes(&self, reader: &BlockReader) -> Result<Vec<Arc<Scope>>, Damage> {
        self.scopes.list(reader, "scopes")
    }

    /// The metrics of a block.
    pub(super) fn metrics(&self, reader: &BlockReader) -> Result<Vec<Arc<Metric>>, Damage> {
        self.metrics.list(reader, "metrics")
    }
}

/// Things by their encoding.
struct Known<T>(Mutex<FxHashMap<Box<[u8]>, Arc<T>>>);

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: DeserializeOwned> Known<T> {
    fn list(&self, reader: &BlockReader, name: &str) -> Result<Vec<Arc<T>>, Damage> {
        let column = reader
            .bytes(name)
            .map_err(|error| Damage(error.to_string()))?;
        let Some(column) = column else {
            return Ok(Vec::new());
        };
        let mut known = self.0.lock();
        let mut one = |bytes: &[u8]| {
            if let Some(decoded) = known.get(bytes) {
                return Ok(decoded.clone());
            }
            let decoded = Arc::new(postcard::from_bytes(bytes)?);
            if known.len() < KEPT_MAX {
                known.insert(bytes.into(), Arc::clone(&decoded));
            }
            Ok(decoded)
        };
        let list: Result<_, postcard::Error> = column.iter().map(&mut one).collect();
        list.map_err(|error| Damage(format!("{name}: {error}")))
    }
}
