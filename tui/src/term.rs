//! The terminal: taken over for the session and given back however the session ends.

use std::fs::File;
use std::io::{self, Stdout, Write};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions};

use crate::model::Model;
use crate::output::Output;
use crate::theme::Theme;
use crate::view;

/// How long a terminal that takes nothing is waited for when it is given back.
const PATIENCE: Duration = Duration::from_secs(2);

/// The terminal while it is ours. Dropping it gives it back.
#[derive(Debug)]
pub struct Term {
    terminal: Terminal<CrosstermBackend<Sheet>>,
    /// What the terminal drew and has not yet been sent.
    sheet: Sheet,
    /// An escape sequence that goes out with the next frame.
    aside: Option<String>,
    output: Output,
    /// Whether it is a terminal that has to be given back.
    taken: bool,
}

/// Collects the bytes of a frame.
#[derive(Debug, Clone, Default)]
struct Sheet(Arc<Mutex<Vec<u8>>>);

impl Sheet {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sheet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut sheet = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sheet.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Term {
    /// Takes the terminal over.
    pub fn open() -> io::Result<Self> {
        restore_on_panic();
        take(&mut io::stdout())?;
        // A handle of its own: a write that waits must not hold the lock of standard output,
        // which giving back needs.
        let writer = File::from(rustix::io::dup(io::stdout())?);
        let sheet = Sheet::default();
        let terminal = Terminal::new(CrosstermBackend::new(sheet.clone()))?;
        Ok(Self {
            terminal,
            sheet,
            aside: None,
            output: Output::start(writer)?,
            taken: true,
        })
    }

    /// A terminal of a fixed size behind a writer.
    pub fn on(writer: impl Write + Send + 'static, size: (u16, u16)) -> io::Result<Self> {
        let sheet = Sheet::default();
        let area = Rect::new(0, 0, size.0, size.1);
        let options = TerminalOptions {
            viewport: ratatui::Viewport::Fixed(area),
        };
        let backend = CrosstermBackend::new(sheet.clone());
        Ok(Self {
            terminal: Terminal::with_options(backend, options)?,
            sheet,
            aside: None,
            output: Output::start(writer)?,
            taken: false,
        })
    }

    /// Its width and height.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Whether the last frame has left, so that another may be drawn.
    pub fn is_ready(&self) -> bool {
        self.output.is_idle()
    }

    /// Waits until the last frame has left; for ever where none is on its way.
    pub async fn written(&mut self) -> io::Result<()> {
        self.output.written().await
    }

    /// Draws a frame and sends it on its way. Only where the last one has left.
    pub fn draw(&mut self, model: &Model, theme: &Theme) -> io::Result<()> {
        draw(&mut self.terminal, model, theme)?;
        let mut frame = self.aside.take().unwrap_or_default().into_bytes();
        frame.append(&mut self.sheet.take());
        self.output.send(frame)
    }

    /// Forgets what is on the screen, so that the next frame is drawn whole.
    pub fn clear(&mut self) -> io::Result<()> {
        // Not `Terminal::clear`: it asks the terminal where the cursor is, and the answer would
        // race with the keys that the event stream reads.
        let size = self.terminal.size()?;
        self.terminal
            .resize(Rect::new(0, 0, size.width, size.height))
    }

    /// Sends an escape sequence that draws nothing with the next frame; a newer one replaces one
    /// that has not left yet.
    pub fn send(&mut self, sequence: String) {
        self.aside = Some(sequence);
    }

    /// Gives the terminal to the shell and comes back when the shell says so. The caller has
    /// stopped reading events before.
    pub fn suspend(&mut self) -> io::Result<()> {
        self.output.finish(PATIENCE);
        give_back();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?;
        take(&mut io::stdout())?;
        self.output = Output::start(File::from(rustix::io::dup(io::stdout())?))?;
        self.clear()
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        self.output.finish(PATIENCE);
        if self.taken {
            // A terminal that takes nothing would hold the end up for ever: another thread waits
            // for it, as long as the process lives.
            let (given, back) = std::sync::mpsc::sync_channel(1);
            std::thread::spawn(move || {
                give_back();
                let _too_late = given.send(());
            });
            let _gone_or_given = back.recv_timeout(PATIENCE);
        }
    }
}

/// Draws a frame; the terminal shows it at once, not line by line.
pub fn draw<W: Write>(
    terminal: &mut Terminal<CrosstermBackend<W>>,
    model: &Model,
    theme: &Theme,
) -> io::Result<()> {
    queue!(terminal.backend_mut(), BeginSynchronizedUpdate)?;
    let drawn = terminal
        .draw(|frame| view::draw(model, theme, frame))
        .map(|_completed| ());
    // Ended even after a failure: a terminal must not be left waiting for the end of a frame.
    let ended = execute!(terminal.backend_mut(), EndSynchronizedUpdate);
    drawn.and(ended)
}

fn take(stdout: &mut Stdout) -> io::Result<()> {
    enable_raw_mode()?;
    execute!(
        stdout,
        EnterAlternateScreen,
        EnableBracketedPaste,
        cursor::Hide
    )
}

fn give_back() {
    // Nothing can be done, and nowhere told, if even this fails.
    let _no_longer_raw = disable_raw_mode();
    let _left = execute!(
        io::stdout(),
        EndSynchronizedUpdate,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    );
}

/// A panic message must be readable: the terminal is given back before it is printed.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            previous(panic);
        }));
    });
}
