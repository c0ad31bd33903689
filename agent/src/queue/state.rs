//! The receivers' key-value state: encoded updates, and the file that sums them up.
//!
//! Updates are a postcard list of (key, value or nothing); the later one wins. The `state` file
//! is a version byte, eight bytes of checksum (FNV-1a over the rest), and a postcard
//! [`Summary`].

use std::collections::BTreeMap;

use journal::Position;
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// A new value of a key, or its removal.
pub type Update = (Vec<u8>, Option<Vec<u8>>);

/// Everything that has to outlive the journal records that said it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Summary {
    /// The epoch of `next_sequence`.
    pub(super) epoch: u64,
    /// What the next entry after `position` is numbered.
    pub(super) next_sequence: u64,
    /// All records before this are contained.
    pub(super) position: [u8; 16],
    pub(super) values: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Summary {
    pub(super) fn at(&self) -> Position {
        Position::from_bytes(self.position)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let body = postcard::to_stdvec(self).expect("bytes and integers always serialise");
        let mut out = vec![VERSION];
        out.extend_from_slice(&fnv1a(&body).to_le_bytes());
        out.extend_from_slice(&body);
        out
    }
}

/// What a state file turned out to be.
#[derive(Debug)]
pub(super) enum StateFile {
    Good(Summary),
    Newer(u8),
    Damaged,
}

pub(super) fn decode(content: &[u8]) -> StateFile {
    let Some((version, rest)) = content.split_first() else {
        return StateFile::Damaged;
    };
    if *version > VERSION {
        return StateFile::Newer(*version);
    }
    let Some((checksum, body)) = rest.split_at_checked(8) else {
        return StateFile::Damaged;
    };
    if fnv1a(body).to_le_bytes() != checksum {
        return StateFile::Damaged;
    }
    postcard::from_bytes(body).map_or(StateFile::Damaged, StateFile::Good)
}

pub(super) fn encode_updates(updates: &[Update]) -> Vec<u8> {
    if updates.is_empty() {
        return Vec::new();
    }
    postcard::to_stdvec(updates).expect("bytes always serialise")
}

pub(super) fn apply(values: &mut BTreeMap<Vec<u8>, Vec<u8>>, updates: &[u8]) {
    if updates.is_empty() {
        return;
    }
    match postcard::from_bytes::<Vec<Update>>(updates) {
        Ok(updates) => {
            for (key, value) in updates {
                match value {
                    Some(value) => values.insert(key, value),
                    None => values.remove(&key),
                };
            }
        }
        // The journal's checksum held, so this is a fault of ours and not of the disk.
        Err(error) => tracing::error!(%error, "a queue record's state updates do not decode"),
    }
}

/// FNV-1a, 64 bits: stable over versions and machines, unlike the standard hasher.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
