//! What the kernel says about a process.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Of `utime` and `stime`: Linux shows them in this unit whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;
/// Between two reads that have to agree.
const SETTLE_STEP: Duration = Duration::from_millis(500);
/// A process that works for so long after its load never settles.
const SETTLE_MAX: Duration = Duration::from_secs(300);
/// Between two looks at its memory.
const SAMPLE_STEP: Duration = Duration::from_millis(20);

/// Ticks of user and system time so far.
pub(crate) fn cpu_ticks(pid: u32) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold spaces; utime and stime are the 14th and 15th field.
    let (_, fields) = stat.rsplit_once(')').context("a stat line of the kernel")?;
    let fields: Vec<_> = fields.split_whitespace().collect();
    let ticks = |at: usize| -> anyhow::Result<u64> {
        Ok(fields
            .get(at)
            .context("a stat line of the kernel")?
            .parse()?)
    };
    Ok(ticks(11)? + ticks(12)?)
}

/// Waits until the process uses no more CPU than a tick, and returns its seconds so far.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn settled_cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut before = cpu_ticks(pid)?;
    loop {
        std::thread::sleep(SETTLE_STEP);
        let now = cpu_ticks(pid)?;
        if now - before <= 1 {
            return Ok(now as f64 / TICKS_PER_SECOND);
        }
        if begin.elapsed() > SETTLE_MAX {
            bail!("the server still works {SETTLE_MAX:?} after its load");
        }
        before = now;
    }
}

/// Follows the anonymous memory of a process, of which the kernel keeps no peak: pages of mapped
/// files, which it may drop at any time, are not in it.
pub(crate) struct AnonPeak {
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl AnonPeak {
    pub(crate) fn follow(pid: u32) -> Self {
        let (stop, peak) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&peak));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                seen.fetch_max(anon_bytes(pid).unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(SAMPLE_STEP);
            }
        });
        Self { stop, peak, thread }
    }

    /// The peak in bytes.
    pub(crate) fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        // It cannot panic, and what it saw is kept in any case.
        let _ = self.thread.join();
        self.peak.load(Ordering::Relaxed)
    }
}

fn anon_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}
