//! The live tails of several sources as one, for as long as somebody reads them.
//!
//! A source that goes away is named, and asked again until it is back: soon at first, then ever
//! less often. What it acknowledged meanwhile is missing from the tail, so its return says from
//! when until when that was.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use env::{Clock, Random};
use futures::stream::{self, BoxStream, SelectAll};
use futures::{Stream, StreamExt};
use storage::message::{Limits, Reply, Request, Selection, Tail};
use storage::read::{Read, ReadError, Replies};

/// Before a source that went away is asked for the first time.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Before one that was asked in vain many times is asked again.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A source that falls silent is noticed this much later at most: what it acknowledged since then
/// may be missing as well.
const UNNOTICED: Duration = Duration::from_secs(10);

/// One step of a tail.
#[derive(Debug, Clone, PartialEq)]
pub enum TailPart {
    /// Every source is heard, or lost: what is acknowledged from now on comes.
    Begun,
    /// New rows; `sequence` and `dropped` are sums over all sources since the tail began.
    Rows(Tail),
    /// A source went away; the others go on.
    Lost {
        /// Which.
        source: String,
        /// Why.
        reason: String,
    },
    /// A source that went away is back.
    Back(Gap),
    /// The request is wrong: the last part.
    Failed(ReadError),
}

/// What the tail lacks of a source that was away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Which source.
    pub source: String,
    /// Unix nanoseconds: rows acknowledged from here on may be missing...
    pub from: u64,
    /// ...until here.
    pub until: u64,
}

/// By what a source that went away is waited for.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Spreads the attempts of many tails.
    pub random: Arc<dyn Random>,
}

impl Waiting {
    /// From half of a pause, which doubles with every attempt in vain, to the whole of it.
    fn pause(&self, attempts: u32) -> Duration {
        let doubled = PAUSE_MIN.saturating_mul(1 << attempts.min(16));
        let half = doubled.min(PAUSE_MAX) / 2;
        let spread = self.random.next_u64() % 1_001;
        half + half * u32::try_from(spread).unwrap_or(0) / 1_000
    }
}

/// New rows of all sources until dropped.
pub struct Tailing {
    streams: SelectAll<BoxStream<'static, (usize, TailPart)>>,
    /// Per source: last sequence and dropped.
    progress: Vec<(u64, u64)>,
    /// Which sources were neither heard nor lost yet.
    silent: Vec<bool>,
    /// Whether it is still to be said that the tail has begun.
    begins: bool,
    failed: bool,
}

impl Tailing {
    pub(super) fn start(
        readers: &[Arc<dyn Read>],
        selection: &Selection,
        buffer: usize,
        waiting: &Waiting,
    ) -> Self {
        let begun = waiting.clock.unix_nanos();
        let streams = readers.iter().enumerate().map(|(index, reader)| {
            let watch = Watch::start(reader, selection, buffer, waiting, begun);
            stream::unfold(watch, Watch::next)
                .map(move |part| (index, part))
                .boxed()
        });
        Self {
            streams: stream::select_all(streams),
            progress: vec![(0, 0); readers.len()],
            silent: vec![true; readers.len()],
            begins: true,
            failed: false,
        }
    }

    /// What a source's part is in the tail of all; nothing where it is of no interest.
    fn part(&mut self, index: usize, part: TailPart) -> Option<TailPart> {
        self.silent[index] = false;
        match part {
            // It is said once, of all.
            TailPart::Begun => None,
            TailPart::Rows(mut tail) => {
                self.progress[index] = (tail.sequence, tail.dropped);
                tail.sequence = self.progress.iter().map(|(sequence, _)| sequence).sum();
                tail.dropped = self.progress.iter().map(|(_, dropped)| dropped).sum();
                Some(TailPart::Rows(tail))
            }
            other => {
                self.failed = matches!(other, TailPart::Failed(_));
                Some(other)
            }
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
            if self.begins && !self.silent.contains(&true) {
                self.begins = false;
                return Poll::Ready(Some(TailPart::Begun));
            }
            let Some((index, part)) = ready!(self.streams.poll_next_unpin(context)) else {
                return Poll::Ready(None);
            };
            if let Some(part) = self.part(index, part) {
                return Poll::Ready(Some(part));
            }
        }
    }
}

/// The tail of one source.
struct Watch {
    reader: Arc<dyn Read>,
    request: Request,
    waiting: Waiting,
    replies: Option<Replies>,
    /// When the tail began.
    begun: u64,
    /// Whether the source was ever heard.
    heard: bool,
    /// Since when the source may have been away.
    lost: Option<u64>,
    /// How often it was asked in vain since.
    attempts: u32,
    /// Sequence and dropped of the tails that it ended...
    past: (u64, u64),
    /// ...and of the present one.
    present: (u64, u64),
    /// Rows that came with its return.
    rows: Option<Tail>,
}

impl Watch {
    fn start(
        reader: &Arc<dyn Read>,
        selection: &Selection,
        buffer: usize,
        waiting: &Waiting,
        begun: u64,
    ) -> Self {
        let request = Request::Tail {
            selection: selection.clone(),
            buffer,
        };
        let mut watch = Self {
            reader: Arc::clone(reader),
            request,
            waiting: waiting.clone(),
            replies: None,
            begun,
            heard: false,
            lost: None,
            attempts: 0,
            past: (0, 0),
            present: (0, 0),
            rows: None,
        };
        // From here on, not from when the tail is first polled.
        watch.replies = Some(watch.ask());
        watch
    }

    fn ask(&self) -> Replies {
        let limits = Limits {
            timeout_ms: u64::MAX,
            ..Limits::default()
        };
        self.reader.execute(self.request.clone(), limits)
    }

    /// The next thing that somebody has to know.
    async fn next(mut self) -> Option<(TailPart, Self)> {
        loop {
            if let Some(tail) = self.rows.take() {
                return Some((TailPart::Rows(tail), self));
            }
            let reply = match &mut self.replies {
                Some(replies) => replies.next().await,
                None => {
                    tokio::time::sleep(self.waiting.pause(self.attempts)).await;
                    self.attempts = self.attempts.saturating_add(1);
                    self.replies.insert(self.ask()).next().await
                }
            };
            let part = match reply {
                Some(Ok(Reply::Tail(tail))) => self.heard(tail),
                Some(Ok(Reply::End(_))) | None => self.lose("the tail ended".to_owned()),
                Some(Ok(_)) => None,
                Some(Err(ReadError::Unavailable(reason))) => self.lose(reason),
                Some(Err(
                    error @ (ReadError::Invalid(_)
                    | ReadError::TooLarge(_)
                    | ReadError::TooManySamples(_)
                    | ReadError::TooManySeries(_)
                    | ReadError::Foreseen(_)),
                )) => Some(TailPart::Failed(error)),
            };
            if let Some(part) = part {
                return Some((part, self));
            }
        }
    }

    /// Keeps what the source sent, and says that it is heard at last or that it is back.
    fn heard(&mut self, mut tail: Tail) -> Option<TailPart> {
        self.attempts = 0;
        self.present = (tail.sequence, tail.dropped);
        tail.sequence += self.past.0;
        tail.dropped += self.past.1;
        let has_news = !tail.logs.is_empty() || !tail.spans.is_empty();
        self.rows = has_news.then_some(tail);
        let was_heard = std::mem::replace(&mut self.heard, true);
        let Some(from) = self.lost.take() else {
            return (!was_heard).then_some(TailPart::Begun);
        };
        Some(TailPart::Back(Gap {
            source: self.reader.name().to_owned(),
            from,
            until: self.waiting.clock.unix_nanos(),
        }))
    }

    /// Gives the present tail up. Only the first of several attempts in vain is worth telling.
    fn lose(&mut self, reason: String) -> Option<TailPart> {
        self.replies = None;
        self.past.0 += self.present.0;
        self.past.1 += self.present.1;
        self.present = (0, 0);
        if self.lost.is_some() {
            return None;
        }
        let unnoticed = u64::try_from(UNNOTICED.as_nanos()).unwrap_or(u64::MAX);
        let since = self.waiting.clock.unix_nanos().saturating_sub(unnoticed);
        self.lost = Some(since.max(self.begun));
        Some(TailPart::Lost {
            source: self.reader.name().to_owned(),
            reason,
        })
    }
}

#[cfg(test)]
mod tests;
