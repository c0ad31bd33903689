use std::io::Write;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver as Gate, Sender as Opener, channel};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use futures::stream;

use super::*;
use crate::testdata::{Server, respond};
use crate::theme::ColorLevel;

const SIZE: (u16, u16) = (120, 40);
const KEYS: usize = 20_000;

/// A terminal that takes no frame before the test lets it.
struct SlowTerminal {
    open: Gate<()>,
    frames: Opener<Vec<u8>>,
}

impl Write for SlowTerminal {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.open.recv().map_err(std::io::Error::other)?;
        self.frames
            .send(bytes.to_vec())
            .map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A session over a trace that has arrived, whose server says nothing more.
fn session(server: &TcpListener, events: BoxStream<'static, std::io::Result<Event>>) -> Session {
    let url = format!("http://{}", server.local_addr().unwrap());
    let mut model = Model::new(&url, SIZE, crate::testdata::T0);
    let effects = start(
        &mut model,
        Some(Command::Trace(crate::testdata::TRACE.into())),
    );
    respond(&mut model, effects, &Server::Whole);
    let (sender, receiver) = mpsc::channel(CHANNEL);
    let client = Client::new(&url).unwrap();
    Session {
        model,
        theme: Theme::new(ColorLevel::None),
        runner: Runner::new(client, sender),
        receiver,
        events,
        tmux: false,
        changed: true,
        urgent: true,
        over: false,
    }
}

fn key(character: char) -> std::io::Result<Event> {
    let key = KeyEvent::new(KeyCode::Char(character), KeyModifiers::NONE);
    Ok(Event::Key(key))
}

/// While the first frame is stuck thousands of keys are taken; then one frame shows what they
/// did, and none of those between is ever sent.
#[tokio::test]
async fn a_slow_terminal_skips_frames_and_holds_up_no_key() {
    let (open, gate) = channel();
    let (frames, seen) = channel();
    let mut term = Term::on(SlowTerminal { open: gate, frames }, SIZE).unwrap();
    // The mark goes down and up, and stays one row below the first.
    let keys = (0..KEYS)
        .map(|number| key(if number % 2 == 0 { 'j' } else { 'k' }))
        .chain([key('j')]);
    // The link is let go when every key has been taken, and the user leaves when the second
    // frame is there.
    let (shown, second) = tokio::sync::oneshot::channel();
    let end = stream::once(async move {
        tokio::task::spawn_blocking(move || {
            open.send(()).unwrap();
            let first: Vec<u8> = seen.recv().unwrap();
            open.send(()).unwrap();
            let second: Vec<u8> = seen.recv().unwrap();
            shown.send((first, second, open)).unwrap();
        })
        .await
        .unwrap();
        key('Q')
    });
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let session = session(&server, stream::iter(keys).chain(end).boxed());
    session.run(&mut term, None).await.unwrap();
    drop(term);
    let (first, second, _open) = second.await.unwrap();
    let size = |number| std::num::NonZero::new(number).unwrap();
    let mut terminal = vt100::Parser::new(size(SIZE.1), size(SIZE.0), 0);
    terminal.process(&first);
    terminal.process(&second);
    let marked: Vec<u16> = (0..SIZE.1)
        .filter(|&row| {
            let cell = terminal.screen().cell(row, 3);
            cell.is_some_and(vt100::Cell::inverse)
        })
        .collect();
    assert_eq!(marked.len(), 1, "{}", terminal.screen().contents());
    assert!(
        second.len() < first.len(),
        "only what changed is sent: {} bytes after {}",
        second.len(),
        first.len()
    );
}

/// A terminal that takes nothing at all does not keep the user from leaving.
#[tokio::test]
async fn one_can_leave_while_the_terminal_stands_still() {
    let (open, gate) = channel();
    let (frames, _seen) = channel();
    let mut term = Term::on(SlowTerminal { open: gate, frames }, SIZE).unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let session = session(
        &server,
        stream::iter([key('j'), key('Q')])
            .chain(stream::pending())
            .boxed(),
    );
    session.run(&mut term, None).await.unwrap();
    assert!(!term.is_ready());
    // The writing thread ends with its gate.
    drop(open);
}
