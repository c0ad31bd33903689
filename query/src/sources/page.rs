//! A page of log records of several sources, and the place where the next one begins.
//!
//! Records are ordered by time, those of one time by digest, copies of one record by the name of
//! their source and then by count. Copies within a source are not told apart: whichever of them
//! were given, the same number is left.

use std::cmp::Ordering;

use model::LogRecord;
use storage::digest;
use storage::message::{Order, Place, Reply};

use super::held::Held;
use super::{RowsRequest, Sources, Work};
use crate::error::QueryError;

/// A record that was given: the place after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPlace {
    /// The record's time.
    pub time: u64,
    /// Its digest.
    pub digest: u64,
    /// How many copies of it this source gave.
    pub copies: u64,
    /// The source that gave it.
    pub source: String,
}

impl LogPlace {
    /// The place in one source. Copies in sources before this one were all given, and those
    /// after it have given none.
    fn of_source(&self, name: &str) -> Place {
        Place {
            time: self.time,
            digest: self.digest,
            copies: match name.cmp(&self.source) {
                Ordering::Less => u64::MAX,
                Ordering::Equal => self.copies,
                Ordering::Greater => 0,
            },
        }
    }
}

/// A page.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPage {
    /// The records, in order.
    pub logs: Vec<LogRecord>,
    /// Where the next page begins, if there is one.
    pub next: Option<LogPlace>,
}

impl Sources {
    /// The page of log records after a place.
    pub async fn log_page(
        &self,
        rows: RowsRequest,
        after: Option<&LogPlace>,
        work: &Work,
    ) -> Result<LogPage, QueryError> {
        let mut found: Vec<(usize, LogRecord)> = Vec::new();
        let (order, limit) = (rows.order, rows.limit);
        let request = |source: usize| {
            RowsRequest {
                // One more than wanted tells whether there is another page.
                limit: limit.saturating_add(1),
                after: after.map(|place| place.of_source(self.readers[source].name())),
                ..rows.clone()
            }
            .into()
        };
        let mut held = Held::new(work.answer_bytes());
        self.each_its_own(request, work, |source, reply| {
            if let Reply::Logs(logs) = reply {
                held.add(&logs, work)?;
                found.extend(logs.into_iter().map(|log| (source, log)));
            }
            Ok(())
        })
        .await?;
        self.settle(&mut found, order);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = more.then(|| self.place_after(&found, after)).flatten();
        let logs = found.into_iter().map(|(_, log)| log).collect();
        Ok(LogPage { logs, next })
    }

    /// Brings records into their order.
    fn settle(&self, found: &mut [(usize, LogRecord)], order: Order) {
        match order {
            Order::Newest => found.sort_by_key(|(_, log)| std::cmp::Reverse(log.timestamp())),
            Order::Oldest => found.sort_by_key(|(_, log)| log.timestamp()),
        }
        let tied =
            |a: &(usize, LogRecord), b: &(usize, LogRecord)| a.1.timestamp() == b.1.timestamp();
        for run in found.chunk_by_mut(tied).filter(|run| run.len() > 1) {
            run.sort_by_cached_key(|(source, log)| {
                (digest::log(log), self.readers[*source].name().to_owned())
            });
        }
    }

    /// The place after the last record. Copies of it are counted over this page, and over those
    /// before it where they ended within the same copies.
    fn place_after(
        &self,
        found: &[(usize, LogRecord)],
        before: Option<&LogPlace>,
    ) -> Option<LogPlace> {
        let (source, last) = found.last()?;
        let mut place = LogPlace {
            time: last.timestamp(),
            digest: digest::log(last),
            copies: 0,
            source: self.readers[*source].name().to_owned(),
        };
        let copies = found.iter().rev().take_while(|(of, log)| {
            of == source && log.timestamp() == place.time && digest::log(log) == place.digest
        });
        place.copies = copies.count() as u64;
        if let Some(before) = before
            && (before.time, before.digest, &before.source)
                == (place.time, place.digest, &place.source)
        {
            place.copies += before.copies;
        }
        Some(place)
    }
}
