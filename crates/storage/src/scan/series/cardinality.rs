//! How many series there are, each counted once, wherever its points lie.

use model::{Tenant, TimeRange};

use super::{Scan, Search, Stop, Wanted};
use crate::cardinality::{Counter, VALUES_MAX};
use crate::message::{CardinalityOf, Reply, Rollup};
use crate::scan::memory::Foreseen;

pub(in crate::scan) fn run(
    scan: &Scan<'_>,
    (tenant, range): (&Tenant, TimeRange),
    ask: &CardinalityOf,
) -> Result<(), Stop> {
    let wanted = (Wanted::Counts, Rollup::EVERYTHING);
    let search = Search::new(scan, tenant, range, &ask.matchers, wanted, ask.series)?;
    let places = search.places(tenant, &ask.matchers)?;
    // Until they are counted: what a place has of a series is added to what is there.
    let _share = scan.samples_memory(Foreseen {
        parts: 0,
        ..search.foreseen(&places)
    })?;
    let stopped = search.read_all(places)?;
    let mut counter = Counter::default();
    for (number, found) in search.found.into_inner().into_list().iter().enumerate() {
        counter.add(&found.entry.series(), found.rows());
        if number.is_multiple_of(1024) {
            scan.check()?;
        }
    }
    if counter.untold() {
        scan.cut("label_values", VALUES_MAX, "select fewer series");
    }
    let answer = counter.finish(ask);
    scan.reply(Reply::Cardinality(Box::new(answer)))?;
    stopped
}
