use ratatui::Terminal;
use ratatui::backend::{CrosstermBackend, TestBackend};
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::command::Command;
use crate::message::{Effect, Message, TailMessage};
use crate::model::Model;
use crate::testdata::{Server, T0, log, respond};
use crate::theme::{ColorLevel, Theme};
use crate::update::tests::{press, press_all};
use crate::update::{start, update};

fn render(model: &Model, level: ColorLevel) -> Buffer {
    let backend = TestBackend::new(model.size.0, model.size.1);
    let mut terminal = Terminal::new(backend).unwrap();
    let theme = Theme::new(level);
    terminal
        .draw(|frame| super::draw(model, &theme, frame))
        .unwrap();
    terminal.backend().buffer().clone()
}

/// The text of a screen, then the runs of cells that are not plain.
fn picture(model: &Model, level: ColorLevel) -> String {
    let buffer = render(model, level);
    let (mut text, mut styles) = (String::new(), String::new());
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        let mut runs: Vec<(u16, u16, String)> = Vec::new();
        while x < buffer.area.width {
            let cell = &buffer[(x, y)];
            line.push_str(cell.symbol());
            let style = describe(cell.style());
            let wide = (crate::text::width(cell.symbol()) as u16).max(1);
            match runs.last_mut() {
                Some((_, end, last)) if *last == style && *end == x => *end += wide,
                _ => runs.push((x, x + wide, style)),
            }
            x += wide;
        }
        text.push_str(line.trim_end());
        text.push('\n');
        let runs: Vec<String> = runs
            .into_iter()
            .filter(|(_, _, style)| !style.is_empty())
            .map(|(start, end, style)| format!("{start}-{end} {style}"))
            .collect();
        if !runs.is_empty() {
            styles.push_str(&format!("{y}: {}\n", runs.join(", ")));
        }
    }
    format!("{text}---\n{styles}")
}

fn describe(style: Style) -> String {
    let mut words = Vec::new();
    match style.fg {
        None | Some(Color::Reset) => {}
        Some(color) => words.push(color.to_string().to_lowercase()),
    }
    let modifiers = [
        (Modifier::BOLD, "bold"),
        (Modifier::DIM, "dim"),
        (Modifier::UNDERLINED, "underlined"),
        (Modifier::REVERSED, "reversed"),
    ];
    words.extend(
        modifiers
            .iter()
            .filter(|(modifier, _)| style.add_modifier.contains(*modifier))
            .map(|(_, name)| (*name).to_owned()),
    );
    words.join(" ")
}

fn session(size: (u16, u16), command: Command, server: Option<&Server>) -> Model {
    let mut model = Model::new("http://127.0.0.1:4400", size, T0);
    let effects = start(&mut model, Some(command));
    if let Some(server) = server {
        respond(&mut model, effects, server);
    }
    // The first frame after the answers brings the lists into their areas.
    update(&mut model, Message::Resize(size.0, size.1));
    model
}

fn screens() -> Vec<(&'static str, Command)> {
    let query = "servce:checkout status:error".to_owned();
    vec![
        ("home", Command::Home),
        ("traces", Command::Traces(query.clone())),
        ("trace", Command::Trace(crate::testdata::TRACE.to_owned())),
        ("logs", Command::Logs(query)),
        ("story", Command::Story("ord-42".to_owned())),
        ("alerts", Command::Alerts),
    ]
}

#[test]
fn every_screen_in_every_state() {
    let servers = [
        ("loading", None),
        ("empty", Some(Server::Empty)),
        ("error", Some(Server::Failing)),
        ("partial", Some(Server::Partial)),
        ("whole", Some(Server::Whole)),
    ];
    for (screen, command) in screens() {
        for (state, server) in &servers {
            let model = session((80, 24), command.clone(), server.as_ref());
            insta::assert_snapshot!(
                format!("{screen}_{state}_80x24"),
                picture(&model, ColorLevel::Sixteen)
            );
        }
    }
}

#[test]
fn wide_screens_and_details() {
    for (screen, command) in screens() {
        let mut model = session((120, 40), command, Some(&Server::Whole));
        if matches!(screen, "trace" | "story") {
            press(&mut model, "e");
        }
        if matches!(screen, "home" | "trace" | "story" | "logs" | "alerts") {
            press(&mut model, "enter");
        }
        insta::assert_snapshot!(
            format!("{screen}_120x40"),
            picture(&model, ColorLevel::True)
        );
    }
}

#[test]
fn without_colours_nothing_is_lost() {
    for (screen, command) in screens() {
        let model = session((80, 24), command, Some(&Server::Partial));
        let picture = picture(&model, ColorLevel::None);
        let styles = picture.split("---\n").nth(1).unwrap();
        for word in styles
            .split(|c: char| !c.is_alphabetic())
            .filter(|word| !word.is_empty())
        {
            assert!(
                matches!(word, "bold" | "dim" | "reversed"),
                "{screen}: {word}"
            );
        }
        insta::assert_snapshot!(format!("{screen}_no_color"), picture);
    }
}

#[test]
fn help_prompts_chords_and_small_terminals() {
    let mut model = session((80, 24), Command::Help, None);
    insta::assert_snapshot!("help_80x24", picture(&model, ColorLevel::Sixteen));
    press_all(&mut model, &["esc", ":", "s", "t", "r", "enter"]);
    insta::assert_snapshot!("palette_error", picture(&model, ColorLevel::Sixteen));
    press_all(&mut model, &["esc", "g"]);
    insta::assert_snapshot!("chord", picture(&model, ColorLevel::Sixteen));
    let model = session((60, 15), Command::Logs(String::new()), Some(&Server::Whole));
    insta::assert_snapshot!("logs_60x15", picture(&model, ColorLevel::Sixteen));
    let model = session((59, 15), Command::Home, Some(&Server::Whole));
    assert!(picture(&model, ColorLevel::None).starts_with("too small: 59x15\nneeds 60x15\n"));
}

#[test]
fn every_footer_leads_to_help() {
    for size in [(60, 15), (80, 24), (200, 60)] {
        for (screen, command) in screens() {
            let model = session(size, command, Some(&Server::Whole));
            let picture = picture(&model, ColorLevel::None);
            let footer = picture.lines().nth(usize::from(size.1) - 1).unwrap();
            assert!(footer.ends_with("  ? help"), "{screen} {size:?}: {footer}");
        }
    }
}

#[test]
fn what_was_found_is_underlined_wrapped_or_not() {
    let mut model = session((80, 24), Command::Logs(String::new()), Some(&Server::Whole));
    press_all(&mut model, &["f", "O", "R", "D", "e", "r", "enter"]);
    let marked = |model: &Model| {
        let buffer = render(model, ColorLevel::None);
        let cells = buffer.content().iter();
        cells
            .filter(|cell| cell.modifier.contains(Modifier::UNDERLINED))
            .map(ratatui::buffer::Cell::symbol)
            .collect::<String>()
    };
    // "order ord-42" in two records.
    assert_eq!(marked(&model), "orderorder");
    press(&mut model, "w");
    assert_eq!(marked(&model), "orderorder");
    press_all(&mut model, &["f", "enter"]);
    assert_eq!(marked(&model), "");
}

#[test]
fn times_are_of_the_zone_that_is_named() {
    let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    for (screen, command) in screens() {
        let mut model = session((120, 40), command, Some(&Server::Whole));
        model.zone = crate::zone::Zone::local(zone.clone());
        // A day later, so that times need dates.
        update(&mut model, Message::Tick(T0 + 86_400_000_000_000));
        if screen != "traces" {
            press(&mut model, "enter");
        }
        let picture = picture(&model, ColorLevel::None);
        assert!(picture.contains("CET +01:00"), "{screen}: {picture}");
        assert!(!picture.contains(" 22:13"), "{screen}: {picture}");
        if matches!(screen, "traces" | "logs") {
            assert!(picture.contains("11-14 23:13:20"), "{screen}: {picture}");
        }
        press(&mut model, "z");
        assert!(super::tests::picture(&model, ColorLevel::None).contains("· UTC"));
    }
}

#[test]
fn carets_stand_under_the_wrong_part() {
    let model = session(
        (80, 24),
        Command::Logs("servce:a".into()),
        Some(&Server::Failing),
    );
    let picture = picture(&model, ColorLevel::None);
    let lines: Vec<&str> = picture.lines().collect();
    assert_eq!(lines[2], "❯ servce:a");
    assert_eq!(lines[3], "  ^^^^^^");
    assert_eq!(lines[4], "✗ unknown field \"servce\" did you mean service?");
}

#[test]
fn an_empty_list_names_the_field_that_no_row_has() {
    let query = || "sevice:a".to_owned();
    for command in [Command::Logs(query()), Command::Traces(query())] {
        let model = session((80, 24), command, Some(&Server::Empty));
        let picture = picture(&model, ColorLevel::None);
        let lines: Vec<&str> = picture.lines().collect();
        let nothing = lines.iter().position(|line| line.contains("matches in"));
        let hint = lines[nothing.expect("an empty list says so") + 1];
        assert!(
            hint.contains("no field sevice; did you mean service?"),
            "{picture}"
        );
    }
}

#[test]
fn following_says_what_is_new_and_what_is_lost() {
    let mut model = session((80, 24), Command::Logs(String::new()), Some(&Server::Whole));
    let effects = press(&mut model, "F");
    let Some(Effect::Tail {
        entry, generation, ..
    }) = effects.first()
    else {
        panic!("no tail")
    };
    let (entry, generation) = (*entry, *generation);
    let tell = |model: &mut Model, event: TailMessage| {
        update(
            model,
            Message::Tail {
                entry,
                generation,
                now: T0,
                event,
            },
        )
    };
    let effects = tell(&mut model, TailMessage::Opened);
    respond(&mut model, effects, &Server::Whole);
    press(&mut model, "k");
    let counts = api::TailEvent {
        sequence: 1_005,
        dropped: 1_000,
        lost: vec!["collector-b".to_owned()],
        ..api::TailEvent::default()
    };
    let new = crate::model::logs::lines(&[log(900, 9, "email", "sent")]);
    tell(&mut model, TailMessage::Lines(new, counts));
    insta::assert_snapshot!("logs_paused", picture(&model, ColorLevel::Sixteen));
    press(&mut model, "G");
    let text = picture(&model, ColorLevel::None);
    assert!(
        text.contains("● following ! 1,000 dropped ! lost collector-b"),
        "{text}"
    );
}

#[test]
fn hostile_data_reaches_the_terminal_harmless() {
    let mut model = session((120, 40), Command::Story("x".into()), Some(&Server::Whole));
    press_all(&mut model, &["e", "enter"]);
    let mut bytes = Vec::new();
    {
        let backend = CrosstermBackend::new(&mut bytes);
        let area = ratatui::layout::Rect::new(0, 0, 120, 40);
        let options = ratatui::TerminalOptions {
            viewport: ratatui::Viewport::Fixed(area),
        };
        let mut terminal = Terminal::with_options(backend, options).unwrap();
        crate::term::draw(&mut terminal, &model, &Theme::new(ColorLevel::None)).unwrap();
    }
    let written = String::from_utf8(bytes).unwrap();
    assert!(written.starts_with("\x1b[?2026h") && written.contains("\x1b[?2026l"));
    assert!(
        !written.contains('\u{7}') && !written.contains("\x1b]0") && !written.contains("\x1b[31m")
    );
    let size = |number| std::num::NonZero::new(number).unwrap();
    let mut terminal = vt100::Parser::new(size(40), size(120), 0);
    terminal.process(written.as_bytes());
    let screen = terminal.screen().contents();
    assert!(screen.contains("charge ␛[31mcard␇"), "{screen}");
    assert!(screen.contains("写帐"), "{screen}");
}
