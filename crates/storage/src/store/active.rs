//! Which metric series are active, and the bound on how many may be.
//!
//! A series is active from its first point until none has come for an hour. While a tenant has as
//! many as are allowed, points of further series are refused; those of active ones go on. Only a
//! hash of each series is kept. A restart forgets them all: whoever sends first is active then.

use std::collections::BTreeMap;

use model::Tenant;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// A series of which no point came for this long is not active any more.
const ACTIVE_SECONDS: u64 = 3_600;
/// While there is no room, it is looked for this often.
const SWEEP_SECONDS: u64 = 60;

/// The active series of each tenant.
#[derive(Debug)]
pub(crate) struct ActiveSeries {
    most: usize,
    tenants: Mutex<BTreeMap<Tenant, Active>>,
}

#[derive(Debug, Default)]
struct Active {
    /// Hash of a series -> second in which its last point came.
    seen: FxHashMap<u64, u64>,
    swept: u64,
}

impl ActiveSeries {
    /// At most `most` per tenant.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            tenants: Mutex::default(),
        }
    }

    /// Whether a point of this series may be stored now.
    pub(super) fn admit(&self, tenant: &Tenant, series: u64, unix_nano: u64) -> bool {
        let second = unix_nano / model::time::NANOS_PER_SECOND;
        let mut tenants = self.tenants.lock();
        if !tenants.contains_key(tenant) {
            tenants.insert(tenant.clone(), Active::default());
        }
        let Some(active) = tenants.get_mut(tenant) else {
            return false;
        };
        if let Some(last) = active.seen.get_mut(&series) {
            *last = second;
            return true;
        }
        if active.seen.len() >= self.most && second >= active.swept + SWEEP_SECONDS {
            active.sweep(second);
        }
        if active.seen.len() >= self.most {
            return false;
        }
        active.seen.insert(series, second);
        true
    }

    /// Forgets those that are not active any more.
    pub(super) fn sweep(&self, unix_nano: u64) {
        let second = unix_nano / model::time::NANOS_PER_SECOND;
        for active in self.tenants.lock().values_mut() {
            active.sweep(second);
        }
    }

    /// How many each tenant has.
    pub(super) fn counts(&self) -> Vec<(Tenant, usize)> {
        let tenants = self.tenants.lock();
        let count = |(tenant, active): (&Tenant, &Active)| (tenant.clone(), active.seen.len());
        tenants.iter().map(count).collect()
    }
}

impl Active {
    fn sweep(&mut self, second: u64) {
        self.swept = second;
        self.seen
            .retain(|_, last| last.saturating_add(ACTIVE_SECONDS) > second);
        if self.seen.capacity() > 2 * self.seen.len() + 1_024 {
            self.seen.shrink_to_fit();
        }
    }
}
