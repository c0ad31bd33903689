//! Live tail: new log records as they are acknowledged.

use api::{TailEvent, TailGap};
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use model::{Signal, Tenant, TimeRange};
use storage::filter::Filter;
use storage::message::Selection;

use crate::error::QueryError;
use crate::sources::{Sources, TailPart, Waiting};

/// What a tail sends.
#[derive(Debug)]
pub enum TailStep {
    /// What is acknowledged from now on comes.
    Begun,
    /// New records, or news of the sources.
    Event(TailEvent),
    /// The last step.
    Failed(QueryError),
}

/// New log records until the stream is dropped. Ends after an error.
pub fn tail(
    sources: &Sources,
    tenant: Tenant,
    filter: Filter,
    buffer: usize,
    waiting: &Waiting,
) -> BoxStream<'static, TailStep> {
    let selection = Selection {
        tenant,
        signal: Signal::Logs,
        filter,
        range: TimeRange::ALL,
    };
    let parts = sources.tail(&selection, buffer, waiting);
    let state = (parts, TailEvent::default());
    stream::unfold(state, |(mut parts, mut last)| async move {
        let step = match parts.next().await? {
            TailPart::Begun => TailStep::Begun,
            TailPart::Rows(tail) => {
                last.sequence = tail.sequence;
                last.dropped = tail.dropped;
                let logs = tail.logs.iter().map(crate::traces::view::log_view);
                TailStep::Event(TailEvent {
                    logs: logs.collect(),
                    ..last.clone()
                })
            }
            TailPart::Lost { source, .. } => {
                last.lost.push(source);
                TailStep::Event(last.clone())
            }
            TailPart::Back(gap) => {
                last.lost.retain(|source| *source != gap.source);
                TailStep::Event(TailEvent {
                    gaps: vec![TailGap {
                        source: gap.source,
                        from_unix_nano: gap.from,
                        until_unix_nano: gap.until,
                    }],
                    ..last.clone()
                })
            }
            TailPart::Failed(error) => TailStep::Failed(error.into()),
        };
        Some((step, (parts, last)))
    })
    .boxed()
}
