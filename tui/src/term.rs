//! The terminal: taken over for the session and given back however the session ends.

use std::io::{self, BufWriter, Stdout, Write};
use std::sync::Once;

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{cursor, execute, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;

use crate::model::Model;
use crate::theme::Theme;
use crate::view;

/// A frame of a large terminal fits, so that it reaches the terminal in one piece.
const BUFFER_BYTES: usize = 256 * 1024;

/// The terminal while it is ours. Dropping it gives it back.
#[derive(Debug)]
pub struct Term {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Term {
    /// Takes the terminal over.
    pub fn open() -> io::Result<Self> {
        restore_on_panic();
        let writer = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
        let terminal = Terminal::new(CrosstermBackend::new(writer))?;
        let mut term = Self { terminal };
        term.take()?;
        Ok(term)
    }

    /// Its width and height.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Draws a frame.
    pub fn draw(&mut self, model: &Model, theme: &Theme) -> io::Result<()> {
        draw(&mut self.terminal, model, theme)
    }

    /// Forgets what is on the screen, so that the next frame is drawn whole.
    pub fn clear(&mut self) -> io::Result<()> {
        // Not `Terminal::clear`: it asks the terminal where the cursor is, and the answer would
        // race with the keys that the event stream reads.
        let size = self.terminal.size()?;
        self.terminal
            .resize(Rect::new(0, 0, size.width, size.height))
    }

    /// Writes an escape sequence that draws nothing.
    pub fn send(&mut self, sequence: &str) -> io::Result<()> {
        let writer = self.terminal.backend_mut();
        writer.write_all(sequence.as_bytes())?;
        io::Write::flush(writer)
    }

    /// Gives the terminal to the shell and comes back when the shell says so. The caller has
    /// stopped reading events before.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?;
        self.take()?;
        self.clear()
    }

    fn take(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        execute!(
            self.terminal.backend_mut(),
            EnterAlternateScreen,
            EnableBracketedPaste,
            cursor::Hide
        )
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        give_back();
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
