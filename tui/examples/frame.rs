//! CPU time per frame with so many spans and log lines, a million unless told otherwise, on a
//! 200x60 terminal, through the real terminal backend into a byte counter. CPU is the mean over all
//! frames of one kind, as the kernel counts it (Linux); the other times are of the clock, so they
//! count what else runs on the machine.
//!
//! `cargo run --release -p tui --example frame [-- COUNT]`

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use api::{Completeness, LogView, SpanView};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use tui::command::Command;
use tui::message::{Answer, Effect, Message, Request};
use tui::model::timeline::{TimelineView, build};
use tui::model::{Model, TreeValue, logs};
use tui::theme::{ColorLevel, Theme};
use tui::update::{start, update};

const ROWS: u64 = 1_000_000;
/// Fewer would not fill the screen.
const ROWS_MIN: u64 = 1_000;
/// One span in so many failed.
const ERROR_EVERY: u64 = 1_000;
const SIZE: (u16, u16) = (200, 60);
const FRAMES: usize = 500;

/// Counts what would go to the terminal.
#[derive(Default)]
struct Counter(usize);

impl Write for &mut Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn main() -> std::io::Result<ExitCode> {
    let rows = match std::env::args().nth(1).map(|text| text.parse()) {
        None => ROWS,
        Some(Ok(rows)) if rows >= ROWS_MIN => rows,
        Some(_) => {
            writeln!(std::io::stderr(), "the count of rows is {ROWS_MIN} or more")?;
            return Ok(ExitCode::FAILURE);
        }
    };
    run(rows, &mut std::io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn run(rows: u64, out: &mut impl Write) -> std::io::Result<()> {
    let began = Instant::now();
    let view = spans(rows);
    writeln!(
        out,
        "{rows} spans built in {:.2} s, {:.0} bytes a span",
        began.elapsed().as_secs_f64(),
        view.timeline.size_bytes() as f64 / rows as f64
    )?;
    let mut model = open(Command::Trace("t".to_owned()), view, rows);
    measure(out, "trace: move the mark", &mut model, &['j'])?;
    measure(out, "trace: page", &mut model, &['\u{6}'])?;
    // As many as there are: beyond the last nothing moves.
    let errors = usize::try_from(rows / ERROR_EVERY).map_or(FRAMES, |errors| errors.min(FRAMES));
    measure_some(out, "trace: next error", &mut model, &['e'], errors)?;
    measure(out, "trace: fold and unfold all", &mut model, &['-', '+'])?;
    let mut model = open(Command::Logs(String::new()), TimelineView::default(), rows);
    measure(out, "logs: move the mark", &mut model, &['k'])?;
    measure(out, "logs: page", &mut model, &['\u{2}'])?;
    measure(out, "logs: page, wrapped", &mut model, &['w', '\u{2}'])
}

/// Four children each: ten levels of a million.
fn spans(rows: u64) -> TimelineView {
    let spans: Vec<SpanView> = (0..rows)
        .map(|number| {
            let parent = if number == 0 {
                String::new()
            } else {
                format!("{:016x}", (number - 1) / 4 + 1)
            };
            let mut span = SpanView {
                span_id: format!("{:016x}", number + 1),
                parent_span_id: parent,
                name: format!("operation {}", number % 50),
                service: format!("service-{}", number % 12),
                start_time_unix_nano: number * 1_000,
                end_time_unix_nano: number * 1_000 + 5_000_000,
                confidence: 1.0,
                ..SpanView::default()
            };
            span.status.code = if (number + 1).is_multiple_of(ERROR_EVERY) {
                2
            } else {
                0
            };
            span
        })
        .collect();
    TimelineView::new(build(&spans, &[]))
}

/// A session whose server has answered.
fn open(command: Command, view: TimelineView, rows: u64) -> Model {
    let mut model = Model::new("http://localhost", SIZE, 0);
    let mut tree = Some(view);
    for effect in start(&mut model, Some(command)) {
        let Effect::Fetch {
            slot,
            generation,
            request,
        } = effect
        else {
            continue;
        };
        let answer = match request {
            Request::Trace(_) => {
                let view = tree.take().unwrap_or_default();
                let value = TreeValue {
                    view,
                    ..TreeValue::default()
                };
                Answer::Tree(Box::new(value), Completeness::default())
            }
            Request::Logs(_) => {
                let records: Vec<LogView> = (0..rows).map(record).collect();
                Answer::Logs(logs::lines(&records), None, Completeness::default())
            }
            _ => continue,
        };
        let answer = Ok(Box::new(answer));
        update(
            &mut model,
            Message::Answer {
                slot,
                generation,
                now: 0,
                answer,
            },
        );
    }
    model
}

fn record(number: u64) -> LogView {
    LogView {
        time_unix_nano: number * 1_000_000,
        severity_number: if number % 100 == 99 { 17 } else { 9 },
        service: format!("service-{}", number % 12),
        body: format!("request {number} from 10.0.{}.{} took {} ms and wrote {} bytes of an answer that is long enough to be wrapped at two hundred columns, as log lines of services written in a hurry so often are, alas",
            number % 256, number / 256 % 256, number % 977, number * 31 % 65_536).into(),
        ..LogView::default()
    }
}

fn measure(
    out: &mut impl Write,
    what: &str,
    model: &mut Model,
    keys: &[char],
) -> std::io::Result<()> {
    measure_some(out, what, model, keys, FRAMES)
}

fn measure_some(
    out: &mut impl Write,
    what: &str,
    model: &mut Model,
    keys: &[char],
    frames: usize,
) -> std::io::Result<()> {
    let theme = Theme::new(ColorLevel::True);
    let mut counter = Counter::default();
    let mut times = Vec::with_capacity(frames);
    let cpu;
    {
        let area = Rect::new(0, 0, SIZE.0, SIZE.1);
        let options = TerminalOptions {
            viewport: Viewport::Fixed(area),
        };
        let mut terminal = Terminal::with_options(CrosstermBackend::new(&mut counter), options)?;
        tui::term::draw(&mut terminal, model, &theme)?;
        let before = cpu_nanos();
        for frame in 0..frames {
            let key = keys[frame % keys.len()];
            let began = Instant::now();
            update(model, Message::Key(pressed(key)));
            tui::term::draw(&mut terminal, model, &theme)?;
            times.push(began.elapsed());
        }
        cpu = match (before, cpu_nanos()) {
            (Some(before), Some(after)) => {
                format!("{:.3} ms", (after - before) as f64 / 1e6 / frames as f64)
            }
            _ => "unknown".to_owned(),
        };
    }
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    writeln!(
        out,
        "{what:28} cpu {cpu}, p50 {:.3} ms, p99 {:.3} ms, {} bytes a frame",
        ms(times[frames / 2]),
        ms(times[frames * 99 / 100]),
        counter.0 / frames
    )
}

/// What the kernel counts as time of this thread on a processor.
fn cpu_nanos() -> Option<u64> {
    // The count is brought up to date when the thread gives way.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Control characters stand for control keys.
fn pressed(key: char) -> KeyEvent {
    match key {
        '\u{1}'..='\u{1a}' => {
            let letter = char::from(key as u8 + b'a' - 1);
            KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)
        }
        _ => KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE),
    }
}
