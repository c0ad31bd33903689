//! Attributes of the wide corpus: 5,000 keys, of which each row has about ten.
//!
//! A row is of one of about a thousand kinds of event, each of one service; frequent kinds are
//! much more frequent than rare ones. A kind has five keys that few others have and five drawn
//! from all; the type of a key's values never changes.

use fastrand::Rng;
use model::{KeyValue, Value};

use super::corpus::{SERVICES, rng};

/// Distinct keys.
pub(super) const KEYS: usize = 5_000;
/// Kinds of event of one service.
pub(super) const KINDS: usize = (KEYS / OWN_KEYS).div_ceil(SERVICES.len());
/// Keys of a kind that few others have.
const OWN_KEYS: usize = 5;
/// Keys of a kind drawn from all.
const SHARED_KEYS: usize = 5;
/// Keeps the generators of kinds apart from others.
const OF_KIND: u64 = 0x6b69_6e64;

const DOMAINS: [&str; 20] = [
    "account",
    "basket",
    "billing",
    "carrier",
    "catalog",
    "coupon",
    "customs",
    "device",
    "fraud",
    "invoice",
    "ledger",
    "loyalty",
    "parcel",
    "partner",
    "pricing",
    "refund",
    "review",
    "stock",
    "tax",
    "warehouse",
];
const SUBJECTS: [&str; 25] = [
    "address", "audit", "batch", "cache", "channel", "check", "client", "cluster", "contract",
    "currency", "discount", "event", "feature", "item", "job", "limit", "lock", "message",
    "policy", "queue", "region", "rule", "shard", "step", "token",
];
const FIELDS: [&str; 10] = [
    "state",
    "name",
    "count",
    "ratio",
    "enabled",
    "reason",
    "id",
    "size_bytes",
    "duration_ms",
    "tags",
];

/// The name of a key.
pub(super) fn key(number: usize) -> String {
    let field = FIELDS[number % FIELDS.len()];
    let subject = SUBJECTS[number / FIELDS.len() % SUBJECTS.len()];
    let domain = DOMAINS[number / FIELDS.len() / SUBJECTS.len() % DOMAINS.len()];
    format!("{domain}.{subject}.{field}")
}

/// The keys of a kind, each once.
pub(super) fn keys(seed: u64, service: usize, kind: usize) -> Vec<usize> {
    let event = kind * SERVICES.len() + service;
    let mut rng = rng(seed ^ OF_KIND, event as u64);
    let own = (0..OWN_KEYS).map(|own| (event * OWN_KEYS + own) % KEYS);
    let mut keys: Vec<_> = own.collect();
    keys.extend((0..SHARED_KEYS).map(|_| rng.usize(..KEYS)));
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The attributes of one row of a service.
pub(super) fn attributes(seed: u64, service: usize, rng: &mut Rng) -> Vec<KeyValue> {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    let kind = (rng.f64().powi(2) * KINDS as f64) as usize;
    let mut attributes = Vec::with_capacity(OWN_KEYS + SHARED_KEYS);
    for number in keys(seed, service, kind) {
        attributes.push(KeyValue::new(key(number), value(number, rng)));
    }
    // Not every event knows all of it.
    if rng.bool() {
        attributes.pop();
    }
    attributes
}

/// A value of a key.
fn value(number: usize, rng: &mut Rng) -> Value {
    // Keys differ in how many values they have.
    let few = 2 + u32::try_from(number % 37).unwrap_or_default();
    match number % FIELDS.len() {
        0 => Value::Str(format!("state-{}", rng.u32(..few))),
        1 => Value::Str(format!("name {} of {few}", rng.u32(..few * 20))),
        2 => Value::Int(i64::from(rng.u32(..few * 4))),
        3 => Value::Double(f64::from(rng.u32(..10_000)) / 10_000.0),
        4 => Value::Bool(rng.bool()),
        5 => Value::Str(format!("rule {} did not hold", rng.u32(..few))),
        6 => Value::Str(format!("{:012x}", rng.u64(..1 << 48))),
        7 => Value::Int(i64::from(rng.u32(..10_000_000))),
        8 => Value::Double(f64::from(rng.u32(..5_000_000)) / 1_000.0),
        _ => Value::Array(
            (0..rng.u32(1..4))
                .map(|_| Value::Str(format!("tag-{}", rng.u32(..few))))
                .collect(),
        ),
    }
}
