//! The point of zero that every series begins with.

/// What is between two points of a series at least.
const NANOS_PER_MS: u64 = 1_000_000;

/// When points are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub now: u64,
    /// When they were the last time; 0 if never.
    pub before: u64,
}

impl Moment {
    /// When a series that began at this time had counted nothing, so that the first it counted is
    /// an increase.
    pub(super) fn nothing_yet(self, start: u64) -> u64 {
        let begun = start.max(self.before.saturating_add(NANOS_PER_MS));
        begun.min(self.now.saturating_sub(NANOS_PER_MS))
    }
}

/// Whether a series has its zero. A zero that has to be written again has the time that it had, so
/// that it is the same point wherever the first one was stored after all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Zero {
    /// Nothing was written yet.
    #[default]
    None,
    /// It is to be written with this time.
    Due(u64),
    Written(u64),
}

impl Zero {
    /// The zero as it is to be written now; from then on it counts as written.
    pub(super) fn take(&mut self, nothing_yet: u64) -> Self {
        let taken = match *self {
            Self::None => Self::Due(nothing_yet),
            known => known,
        };
        if let Self::Due(time) = taken {
            *self = Self::Written(time);
        }
        taken
    }

    /// Takes back that it was written, unless it is of before `since`.
    pub(super) fn put_back(&mut self, taken: Self, since: u64) {
        if let Self::Due(time) = taken
            && time >= since
        {
            *self = taken;
        }
    }

    /// The time of the zero, if it is to be written.
    pub(super) fn due(self) -> Option<u64> {
        match self {
            Self::Due(time) => Some(time),
            Self::None | Self::Written(_) => None,
        }
    }

    /// The time of the zero, once there is one.
    pub(super) fn time(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Due(time) | Self::Written(time) => Some(time),
        }
    }
}
