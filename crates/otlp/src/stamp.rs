//! The headers by which an agent and a collector know each other's exports and clocks.

use std::str::FromStr;

use http::HeaderMap;
use model::ClockOffset;

/// The agent's id.
pub const AGENT: &str = "throughline-agent";
/// Grows with each fresh start of the agent's queue.
pub const EPOCH: &str = "throughline-epoch";
/// Grows by one with each export of an epoch.
pub const SEQUENCE: &str = "throughline-sequence";
/// The agent's clock when it sent.
pub const SENT: &str = "throughline-sent-unix-nano";
/// Before this time the agent has had everything acknowledged; 2^64 - 1 with its last export.
pub const COMPLETE_TO: &str = "throughline-complete-to-unix-nano";
/// The collector's clock minus the agent's when the export was put together; comes with its error.
pub const CLOCK_OFFSET: &str = "throughline-clock-offset-nano";
/// How wrong that offset may be.
pub const CLOCK_ERROR: &str = "throughline-clock-error-nano";
/// The collector's clock when the request had arrived; in the answer.
pub const RECEIVED: &str = "throughline-received-unix-nano";
/// The collector's clock when it answered; in the answer.
pub const REPLIED: &str = "throughline-replied-unix-nano";

/// The `complete to` of an agent that stops and has nothing left to send: its goodbye.
pub const COMPLETE_FOR_EVER: u64 = u64::MAX;

/// The longest agent id that is accepted.
const AGENT_LENGTH_MAX: usize = 128;

/// What an agent says about an export beside its data.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StampHeaders {
    /// The agent's id.
    pub agent: String,
    /// Grows with each fresh start of the agent's queue.
    pub epoch: u64,
    /// Grows by one with each export of an epoch.
    pub sequence: u64,
    /// The agent's clock when it sent, unix nanoseconds; 0 where not said.
    pub sent_unix_nano: u64,
    /// Before this time the agent has had everything acknowledged; 0 where not said,
    /// [`COMPLETE_FOR_EVER`] where it stops.
    pub complete_to_unix_nano: u64,
    /// How far the agent's clock was off when the export was put together, once measured.
    pub clock: Option<ClockOffset>,
}

impl StampHeaders {
    /// Reads the stamp from a request's headers; none where no agent is named.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let Some(agent) = headers.get(AGENT) else {
            return Ok(None);
        };
        let agent = agent
            .to_str()
            .ok()
            .filter(|agent| (1..=AGENT_LENGTH_MAX).contains(&agent.len()))
            .ok_or_else(|| {
                format!("header {AGENT} must be 1 to {AGENT_LENGTH_MAX} ASCII letters")
            })?;
        let required = |name| {
            number(headers, name)?.ok_or_else(|| format!("header {name} must come with {AGENT}"))
        };
        Ok(Some(Self {
            agent: agent.to_owned(),
            epoch: required(EPOCH)?,
            sequence: required(SEQUENCE)?,
            sent_unix_nano: number(headers, SENT)?.unwrap_or(0),
            complete_to_unix_nano: number(headers, COMPLETE_TO)?.unwrap_or(0),
            clock: clock(headers)?,
        }))
    }

    /// The stamp as headers.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (AGENT, self.agent.clone()),
            (EPOCH, self.epoch.to_string()),
            (SEQUENCE, self.sequence.to_string()),
            (SENT, self.sent_unix_nano.to_string()),
            (COMPLETE_TO, self.complete_to_unix_nano.to_string()),
        ];
        if let Some(clock) = self.clock {
            headers.push((CLOCK_OFFSET, clock.offset_nano.to_string()));
            headers.push((CLOCK_ERROR, clock.error_nano.to_string()));
        }
        headers
    }
}

/// The agent's clock offset; an offset says nothing without its error.
fn clock(headers: &HeaderMap) -> Result<Option<ClockOffset>, String> {
    let offset = parsed::<i64>(headers, CLOCK_OFFSET, "from -2^63 to 2^63 - 1")?;
    match (offset, number(headers, CLOCK_ERROR)?) {
        (None, None) => Ok(None),
        (Some(offset_nano), Some(error_nano)) => Ok(Some(ClockOffset {
            offset_nano,
            error_nano,
        })),
        _ => Err(format!(
            "header {CLOCK_OFFSET} must come with {CLOCK_ERROR}"
        )),
    }
}

/// A header that holds a decimal number.
pub(crate) fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, String> {
    parsed(headers, name, "from 0 to 2^64 - 1")
}

fn parsed<T: FromStr>(headers: &HeaderMap, name: &str, range: &str) -> Result<Option<T>, String> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number
        .map(Some)
        .ok_or_else(|| format!("header {name} must be a number {range}"))
}
