//! How many series there are, each counted once, wherever its points lie.

use model::{Tenant, TimeRange};

use super::{Scan, Search, Stop, Wanted};
use crate::cardinality::{Counter, VALUES_MAX};
use crate::message::{CardinalityOf, Reply, Rollup};

pub(in crate::scan) fn run(
    scan: &Scan<'_>,
    (tenant, range): (&Tenant, TimeRange),
    ask: &CardinalityOf,
) -> Result<(), Stop> {
    let wanted = (Wanted::Counts, Rollup::EVERYTHING);
    let search = Search::new(scan, tenant, range, &ask.matchers, wanted, ask.series)?;
    let places = search.places(tenant, &ask.matchers)?;
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
