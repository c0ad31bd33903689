//! Who is connected, and whose connection is closed when there are too many.
//!
//! At the limit a newcomer takes the place of the connection that has been without a request for
//! the longest. Otherwise whoever opens many connections and says nothing would keep everybody
//! out until their time is over. Where every connection has a request under way, the newcomer
//! waits for the first that has none, or whose answers its peer has stopped to take: a peer that
//! does not read keeps its place for as long as nobody wants it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct Crowd {
    limit: usize,
    /// How long an answer may wait for its peer where the place is wanted.
    patience: Duration,
    began: Instant,
    members: Mutex<HashMap<u64, Arc<Member>>>,
    /// Counts what happens, so that idle times can be compared.
    clock: AtomicU64,
    /// A connection ended or has no request under way any more.
    room: Notify,
}

#[derive(Debug, Default)]
struct Member {
    requests: AtomicUsize,
    /// Of these, the ones whose answer waits for the peer to take what there is of it.
    unsent: AtomicUsize,
    /// Milliseconds of the crowd's life at which an answer last went on.
    moved_ms: AtomicU64,
    /// The crowd's clock when the last request ended.
    idle_since: AtomicU64,
    ever_active: AtomicBool,
    leave: Notify,
}

/// A place in the crowd, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    crowd: Arc<Crowd>,
    member: Arc<Member>,
}

/// A request under way, until dropped.
#[derive(Debug)]
pub(super) struct Busy {
    crowd: Arc<Crowd>,
    member: Arc<Member>,
}

impl Crowd {
    pub(super) fn new(limit: usize, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            limit: limit.max(1),
            patience,
            began: Instant::now(),
            members: Mutex::default(),
            clock: AtomicU64::new(0),
            room: Notify::new(),
        })
    }

    /// Takes a place, that of the longest idle connection if need be.
    pub(super) async fn enter(self: &Arc<Self>) -> Place {
        loop {
            let room = self.room.notified();
            if let Some(place) = self.try_enter() {
                return place;
            }
            // Nothing tells that an answer has stopped.
            let _elapsed = tokio::time::timeout(self.patience, room).await;
        }
    }

    fn try_enter(self: &Arc<Self>) -> Option<Place> {
        let mut members = self.members.lock();
        if members.len() >= self.limit {
            let idle = members.values().filter(|member| self.is_free(member));
            let longest = idle.min_by_key(|member| member.idle_since.load(Ordering::Relaxed));
            if let Some(member) = longest {
                member.leave.notify_one();
            }
            return None;
        }
        let number = self.tick();
        let member = Arc::new(Member {
            idle_since: AtomicU64::new(number),
            ..Member::default()
        });
        members.insert(number, Arc::clone(&member));
        Some(Place {
            number,
            crowd: Arc::clone(self),
            member,
        })
    }

    /// Whether nothing is under way on a connection, or nothing that goes on.
    fn is_free(&self, member: &Member) -> bool {
        let requests = member.requests.load(Ordering::Acquire);
        let waits = || {
            let moved = Duration::from_millis(member.moved_ms.load(Ordering::Relaxed));
            member.unsent.load(Ordering::Acquire) == requests
                && self.began.elapsed().saturating_sub(moved) >= self.patience
        };
        requests == 0 || waits()
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

impl Place {
    /// Resolves when somebody else is to have this place. A request that came in the meantime
    /// keeps it: who wanted it asks again when a request ends.
    pub(super) async fn wanted(&self) {
        loop {
            self.member.leave.notified().await;
            if self.crowd.is_free(&self.member) {
                return;
            }
        }
    }

    /// Whether there was ever a request.
    pub(super) fn ever_active(&self) -> bool {
        self.member.ever_active.load(Ordering::Relaxed)
    }

    /// How requests are noted, apart from the place's own life.
    pub(super) fn requests(&self) -> Requests {
        Requests {
            crowd: Arc::clone(&self.crowd),
            member: Arc::clone(&self.member),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.members.lock().remove(&self.number);
        self.crowd.room.notify_waiters();
    }
}

/// Notes the requests of one connection.
#[derive(Debug)]
pub(super) struct Requests {
    crowd: Arc<Crowd>,
    member: Arc<Member>,
}

impl Requests {
    /// A request begins.
    pub(super) fn begin(&self) -> Busy {
        self.member.requests.fetch_add(1, Ordering::AcqRel);
        self.member.ever_active.store(true, Ordering::Relaxed);
        Busy {
            crowd: Arc::clone(&self.crowd),
            member: Arc::clone(&self.member),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let now = self.crowd.tick();
        self.member.idle_since.store(now, Ordering::Relaxed);
        if self.member.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.crowd.room.notify_waiters();
        }
    }
}

/// A response's body; its request is under way until all of it is sent.
pub(super) struct BusyBody {
    body: Body,
    busy: Busy,
    /// Whether it is for the peer to take what there is, not for the body to have more.
    unsent: bool,
}

impl BusyBody {
    pub(super) fn new(body: Body, busy: Busy) -> Self {
        let mut new = Self {
            body,
            busy,
            unsent: false,
        };
        new.set_unsent(true);
        new
    }

    fn set_unsent(&mut self, unsent: bool) {
        let Busy { crowd, member } = &self.busy;
        let now = u64::try_from(crowd.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        member.moved_ms.store(now, Ordering::Relaxed);
        match (std::mem::replace(&mut self.unsent, unsent), unsent) {
            (false, true) => drop(member.unsent.fetch_add(1, Ordering::AcqRel)),
            (true, false) => drop(member.unsent.fetch_sub(1, Ordering::AcqRel)),
            _ => {}
        }
    }
}

impl Drop for BusyBody {
    fn drop(&mut self) {
        self.set_unsent(false);
    }
}

impl hyper::body::Body for BusyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.set_unsent(polled.is_ready());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
