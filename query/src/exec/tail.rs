//! Live tail: new log records as they are acknowledged.

use api::TailEvent;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use model::{Signal, Tenant, TimeRange};
use storage::filter::Filter;
use storage::message::Selection;

use crate::error::QueryError;
use crate::sources::{Sources, TailPart};

/// What a tail sends.
pub type TailStep = Result<TailEvent, QueryError>;

/// New log records until the stream is dropped. Ends after an error.
pub fn tail(
    sources: &Sources,
    tenant: Tenant,
    filter: Filter,
    buffer: usize,
) -> BoxStream<'static, TailStep> {
    let selection = Selection {
        tenant,
        signal: Signal::Logs,
        filter,
        range: TimeRange::ALL,
    };
    let parts = sources.tail(selection, buffer);
    let state = (parts, TailEvent::default());
    stream::unfold(state, |(mut parts, mut last)| async move {
        let step = match parts.next().await? {
            TailPart::Rows(tail) => {
                last.sequence = tail.sequence;
                last.dropped = tail.dropped;
                let logs = tail.logs.iter().map(crate::traces::view::log_view);
                Ok(TailEvent {
                    logs: logs.collect(),
                    ..last.clone()
                })
            }
            TailPart::Lost { source, .. } => {
                last.lost.push(source);
                Ok(last.clone())
            }
            TailPart::Failed(error) => Err(QueryError::from(error)),
        };
        Some((step, (parts, last)))
    })
    .boxed()
}
