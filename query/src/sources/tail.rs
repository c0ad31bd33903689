//! The live tails of several sources as one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream, SelectAll};
use futures::{Stream, StreamExt};
use storage::message::{Limits, Reply, Request, Selection, Tail};
use storage::read::{Read, ReadError};

/// One step of a tail.
#[derive(Debug, Clone, PartialEq)]
pub enum TailPart {
    /// New rows; `sequence` and `dropped` are sums over all sources.
    Rows(Tail),
    /// A source went away; the others go on.
    Lost {
        /// Which.
        source: String,
        /// Why.
        reason: String,
    },
    /// The request is wrong, or every source is gone: the last part.
    Failed(ReadError),
}

/// Replies of one source with its index; nothing at the end of its stream.
type Numbered = BoxStream<'static, (usize, Option<Result<Reply, ReadError>>)>;

/// New rows of all sources until dropped.
pub struct Tailing {
    streams: SelectAll<Numbered>,
    names: Vec<String>,
    /// Per source: last sequence and dropped.
    progress: Vec<(u64, u64)>,
    open: Vec<bool>,
    failed: bool,
}

impl Tailing {
    pub(super) fn start(readers: &[Arc<dyn Read>], selection: Selection, buffer: usize) -> Self {
        let limits = Limits {
            timeout_ms: u64::MAX,
            ..Limits::default()
        };
        let streams = readers.iter().enumerate().map(|(index, reader)| {
            let request = Request::Tail {
                selection: selection.clone(),
                buffer,
            };
            let replies = reader.execute(request, limits);
            replies
                .map(Some)
                .chain(stream::iter([None]))
                .map(move |reply| (index, reply))
                .boxed()
        });
        Self {
            streams: stream::select_all(streams),
            names: readers
                .iter()
                .map(|reader| reader.name().to_owned())
                .collect(),
            progress: vec![(0, 0); readers.len()],
            open: vec![true; readers.len()],
            failed: false,
        }
    }

    fn lose(&mut self, index: usize, reason: String) -> TailPart {
        self.open[index] = false;
        TailPart::Lost {
            source: self.names[index].clone(),
            reason,
        }
    }

    fn part(&mut self, index: usize, reply: Option<Result<Reply, ReadError>>) -> Option<TailPart> {
        if !self.open[index] {
            return None;
        }
        match reply {
            Some(Ok(Reply::Tail(mut tail))) => {
                self.progress[index] = (tail.sequence, tail.dropped);
                tail.sequence = self.progress.iter().map(|(sequence, _)| sequence).sum();
                tail.dropped = self.progress.iter().map(|(_, dropped)| dropped).sum();
                Some(TailPart::Rows(tail))
            }
            Some(Ok(Reply::End(_))) | None => Some(self.lose(index, "the tail ended".to_owned())),
            Some(Ok(_)) => None,
            Some(Err(error @ ReadError::Invalid(_))) => {
                self.failed = true;
                Some(TailPart::Failed(error))
            }
            Some(Err(ReadError::Unavailable(reason))) => Some(self.lose(index, reason)),
        }
    }
}

impl Stream for Tailing {
    type Item = TailPart;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<TailPart>> {
        loop {
            if self.failed {
                return Poll::Ready(None);
            }
            if !self.open.contains(&true) {
                self.failed = true;
                let gone = ReadError::Unavailable("every source of data is gone".to_owned());
                return Poll::Ready(Some(TailPart::Failed(gone)));
            }
            match self.streams.poll_next_unpin(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.open.fill(false),
                Poll::Ready(Some((index, reply))) => {
                    if let Some(part) = self.part(index, reply) {
                        return Poll::Ready(Some(part));
                    }
                }
            }
        }
    }
}
