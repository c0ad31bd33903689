//! What the rows of a chunk share: resources, scopes, metrics and series, each kept once.

use std::sync::Arc;

use model::room::{NoRoom, Room, allocation};
use model::row::{MetricRef, ResourceRef, ScopeRef};
use model::value::KeyValueRef;
use model::wire::owned_bytes;
use model::{KeyValue, Metric, Resource, Scope, ValueRef};
use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::{encode, encode_onto};
use crate::block::wire::{put_varint, zigzag};
use crate::points::{Entry, SeriesEntry};

/// What was seen already, by its hash.
#[derive(Debug)]
pub(super) struct Shared<T> {
    known: FxHashMap<u64, T>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self {
            known: FxHashMap::default(),
        }
    }
}

impl<T> Shared<T> {
    pub(super) fn get(&self, hash: u64) -> Option<&T> {
        self.known.get(&hash)
    }

    pub(super) fn insert(&mut self, hash: u64, value: T, room: &mut Room) -> Result<(), NoRoom> {
        if self.known.len() == self.known.capacity() {
            // A map doubles, and has an eighth of its places free.
            room.take((2 * self.known.len()).max(4) * size_of::<(u64, T)>())?;
        }
        self.known.insert(hash, value);
        Ok(())
    }
}

pub(super) fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// About what an `Arc` takes beside its value: two counts, and the allocator's part.
const ARC_BYTES: usize = 32;

/// An entry of `value`, which allocates so much; the room for that is taken already.
fn entry<T: serde::Serialize>(
    value: T,
    allocated: usize,
    room: &mut Room,
) -> Result<Entry<T>, NoRoom> {
    let encoded = encode(&value);
    let hash = hash(&encoded);
    let rest = allocation(encoded.len()) + size_of::<T>() + size_of::<Entry<T>>() + 2 * ARC_BYTES;
    room.take(rest)?;
    Ok(Entry {
        value: Arc::new(value),
        encoded: encoded.into(),
        hash,
        bytes: allocated + rest,
    })
}

pub(super) fn resource(
    resource: &ResourceRef<'_>,
    room: &mut Room,
) -> Result<Entry<Resource>, NoRoom> {
    let list = |keys: &[String]| {
        let each = keys.iter().map(|key| allocation(key.len()));
        allocation(size_of_val(keys)) + each.sum::<usize>()
    };
    let entities = resource.entity_refs.iter().map(|entity| {
        allocation(entity.schema_url.len())
            + allocation(entity.r#type.len())
            + list(&entity.id_keys)
            + list(&entity.description_keys)
    });
    let allocated = owned_bytes(resource.attributes)
        + allocation(size_of_val(resource.entity_refs))
        + entities.sum::<usize>()
        + allocation(resource.schema_url.len());
    room.take(allocated)?;
    let resource = Resource {
        attributes: owned(resource.attributes),
        dropped_attributes_count: resource.dropped_attributes_count,
        entity_refs: resource.entity_refs.to_vec(),
        schema_url: resource.schema_url.to_owned(),
    };
    entry(resource, allocated, room)
}

/// The hash of the entry that [`resource`] would make, without making it.
pub(super) fn resource_hash(resource: &ResourceRef<'_>, scratch: &mut Vec<u8>) -> u64 {
    scratch.clear();
    put_attributes(scratch, resource.attributes);
    put_varint(scratch, u64::from(resource.dropped_attributes_count));
    encode_onto(resource.entity_refs, scratch);
    put_bytes(scratch, resource.schema_url.as_bytes());
    hash(scratch)
}

/// The hash of the entry that [`scope`] would make, without making it.
pub(super) fn scope_hash(scope: &ScopeRef<'_>, scratch: &mut Vec<u8>) -> u64 {
    scratch.clear();
    put_bytes(scratch, scope.name.as_bytes());
    put_bytes(scratch, scope.version.as_bytes());
    put_attributes(scratch, scope.attributes);
    put_varint(scratch, u64::from(scope.dropped_attributes_count));
    put_bytes(scratch, scope.schema_url.as_bytes());
    hash(scratch)
}

pub(super) fn scope(scope: &ScopeRef<'_>, room: &mut Room) -> Result<Entry<Scope>, NoRoom> {
    let texts = [scope.name, scope.version, scope.schema_url];
    let allocated = owned_bytes(scope.attributes) + texts_bytes(&texts);
    room.take(allocated)?;
    let scope = Scope {
        name: scope.name.to_owned(),
        version: scope.version.to_owned(),
        attributes: owned(scope.attributes),
        dropped_attributes_count: scope.dropped_attributes_count,
        schema_url: scope.schema_url.to_owned(),
    };
    entry(scope, allocated, room)
}

pub(super) fn metric(metric: &MetricRef<'_>, room: &mut Room) -> Result<Entry<Metric>, NoRoom> {
    let texts = [metric.name, metric.description, metric.unit];
    let allocated = owned_bytes(metric.metadata) + texts_bytes(&texts);
    room.take(allocated)?;
    let metric = Metric {
        name: metric.name.to_owned(),
        description: metric.description.to_owned(),
        unit: metric.unit.to_owned(),
        kind: metric.kind,
        temporality: metric.temporality,
        monotonic: metric.monotonic,
        metadata: owned(metric.metadata),
    };
    entry(metric, allocated, room)
}

/// A series of these parts, which it shares, and of these encoded attributes, which are its own.
pub(super) fn series(
    resource: &Arc<Entry<Resource>>,
    scope: &Arc<Entry<Scope>>,
    metric: &Arc<Entry<Metric>>,
    attributes: &[u8],
    id: u128,
    room: &mut Room,
) -> Result<SeriesEntry, NoRoom> {
    let bytes = allocation(attributes.len()) + size_of::<SeriesEntry>() + ARC_BYTES;
    room.take(bytes)?;
    let parts = (resource, scope, metric);
    Ok(SeriesEntry::new(parts, attributes, id, bytes))
}

/// Appends attributes as their owned list would be encoded.
pub(super) fn put_attributes(out: &mut Vec<u8>, attributes: &[KeyValueRef<'_>]) {
    put_varint(out, attributes.len() as u64);
    for attribute in attributes {
        put_bytes(out, attribute.key.as_bytes());
        match attribute.value {
            ValueRef::Str(text) => {
                out.push(1);
                put_bytes(out, text.as_bytes());
            }
            ValueRef::Bool(flag) => out.extend_from_slice(&[2, u8::from(flag)]),
            ValueRef::Int(int) => {
                out.push(3);
                put_varint(out, zigzag(int));
            }
            ValueRef::Double(double) => {
                out.push(4);
                out.extend_from_slice(&double.to_le_bytes());
            }
            ValueRef::Bytes(bytes) => {
                out.push(5);
                put_bytes(out, bytes);
            }
            nested => encode_onto(&nested.to_value(), out),
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn texts_bytes(texts: &[&str]) -> usize {
    texts.iter().map(|text| allocation(text.len())).sum()
}

fn owned(attributes: &[KeyValueRef<'_>]) -> Vec<KeyValue> {
    attributes
        .iter()
        .map(|attribute| attribute.to_key_value())
        .collect()
}
