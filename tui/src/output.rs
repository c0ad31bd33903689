//! The way out to the terminal: a thread that writes one frame at a time.
//!
//! A terminal behind a slow link takes bytes when it can, and a write to it waits. That wait must
//! not hold up keys and answers, so another thread does it. At most one frame is on its way; until
//! it has left, none is drawn, and the next one shows the newest state. So frames are skipped, not
//! queued, and a link that stands still costs the memory of one frame.

use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The writing thread, and whether it is busy.
#[derive(Debug)]
pub(crate) struct Output {
    frames: Option<SyncSender<Vec<u8>>>,
    /// One outcome for each frame.
    written: UnboundedReceiver<io::Result<()>>,
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Output {
    /// Starts the thread.
    pub(crate) fn start(mut writer: impl Write + Send + 'static) -> io::Result<Self> {
        let (frames, queue) = sync_channel::<Vec<u8>>(1);
        let (outcomes, written) = unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || {
                for frame in queue {
                    let outcome = writer.write_all(&frame).and_then(|()| writer.flush());
                    if outcomes.send(outcome).is_err() {
                        break;
                    }
                }
            })?;
        Ok(Self {
            frames: Some(frames),
            written,
            busy: false,
            thread: Some(thread),
        })
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        !self.busy
    }

    /// Sends a frame. Only where nothing is on its way; otherwise it is an error.
    pub(crate) fn send(&mut self, frame: Vec<u8>) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        if self.busy {
            return Err(io::Error::from(io::ErrorKind::WouldBlock));
        }
        let frames = self.frames.as_ref().ok_or_else(gone)?;
        frames.try_send(frame).map_err(|_ended| gone())?;
        self.busy = true;
        Ok(())
    }

    /// Waits until the frame on its way has left; for ever where there is none. May be dropped
    /// while it waits.
    pub(crate) async fn written(&mut self) -> io::Result<()> {
        if !self.busy {
            return std::future::pending().await;
        }
        let outcome = self.written.recv().await;
        self.busy = false;
        outcome.unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::BrokenPipe)))
    }

    /// Lets the frame on its way leave, for as long as `patience` says; whether it did. No frame
    /// can be sent after it.
    pub(crate) fn finish(&mut self, patience: std::time::Duration) -> bool {
        self.frames = None;
        let Some(thread) = self.thread.take() else {
            return true;
        };
        let (ended, end) = sync_channel(1);
        std::thread::spawn(move || {
            let outcome = thread.join();
            // Nobody listens where patience is over.
            let _too_late = ended.send(outcome.is_ok());
        });
        end.recv_timeout(patience).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, channel};

    /// Takes a write when the test lets it.
    struct Gate {
        open: Receiver<()>,
        seen: std::sync::mpsc::Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.open.recv().map_err(io::Error::other)?;
            self.seen.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn one_frame_is_on_its_way_at_most() {
        let (open, gate) = channel();
        let (seen, frames) = channel();
        let mut output = Output::start(Gate { open: gate, seen }).unwrap();
        output.send(b"first".to_vec()).unwrap();
        assert!(!output.is_idle());
        let refused = output.send(b"second".to_vec()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        open.send(()).unwrap();
        output.written().await.unwrap();
        assert!(output.is_idle());
        output.send(b"third".to_vec()).unwrap();
        assert!(!output.finish(std::time::Duration::ZERO), "it is stuck");
        open.send(()).unwrap();
        assert_eq!(frames.recv().unwrap(), b"first");
        assert_eq!(frames.recv().unwrap(), b"third");
    }

    #[tokio::test]
    async fn a_terminal_that_is_gone_is_an_error() {
        let (open, gate) = channel();
        let (seen, _frames) = channel();
        let mut output = Output::start(Gate { open: gate, seen }).unwrap();
        drop(open);
        output.send(b"frame".to_vec()).unwrap();
        assert!(output.written().await.is_err());
    }
}
