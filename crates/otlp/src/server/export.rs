//! What a receiver hands over.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::BoxFuture;
use model::{Signal, Tenant};

use super::{Transport, Verdict};
use crate::stamp::StampHeaders;

/// One export request.
#[derive(Debug, Clone)]
pub struct Export {
    /// Whose rows.
    pub tenant: Tenant,
    /// Which signal.
    pub signal: Signal,
    /// The request in protobuf, decompressed; not decoded yet.
    pub request: Bytes,
    /// The agent's stamp, if one of our agents sent it.
    pub stamp: Option<StampHeaders>,
    /// How it came.
    pub transport: Transport,
    /// This machine's clock when the request had arrived.
    pub received_unix_nano: u64,
}

/// Decides what becomes of exports.
pub trait Accept: Send + Sync {
    /// Resolves when the export is stored, or refused. The future is dropped when the sender
    /// goes away; the export may be stored nevertheless.
    fn accept(&self, export: Export) -> BoxFuture<'_, Verdict>;
}

/// The system's clock in unix nanoseconds.
pub fn unix_nanos() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
