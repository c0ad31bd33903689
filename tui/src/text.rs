//! Text for the terminal: sanitising, measuring, cutting, and numbers as people read them.
//!
//! What services log is hostile input here: an escape sequence in a log line must not move the
//! cursor, and a direction override must not turn the rest of the row around.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Longest character that is drawn whole, with all that combines with it.
const CHARACTER_BYTES_MAX: usize = 64;

/// Stands for the end of a line in text of several.
pub(crate) const LINE_END: char = '⏎';

/// Makes text safe to draw on one row: control characters become visible pictures, tabs and line
/// ends become single marks, and invisible format characters that reorder or hide text become
/// replacement marks. So does what combines with a character beyond all measure: it takes no column,
/// so nothing else would bound it.
pub(crate) fn sanitise(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Cow::Borrowed(text);
    }
    if !text.chars().any(is_unsafe) && !text.graphemes(true).any(is_endless) {
        return Cow::Borrowed(text);
    }
    let safe = |c| if is_unsafe(c) { picture(c) } else { c };
    let mut drawn = String::new();
    for grapheme in text.graphemes(true) {
        let end = grapheme.floor_char_boundary(CHARACTER_BYTES_MAX);
        drawn.extend(grapheme[..end].chars().map(safe));
        drawn.extend(is_endless(grapheme).then_some(char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(drawn)
}

fn is_endless(grapheme: &str) -> bool {
    grapheme.len() > CHARACTER_BYTES_MAX
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{061C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}'
            | '\u{E0100}'..='\u{E01EF}')
}

fn picture(character: char) -> char {
    match character {
        '\t' => ' ',
        '\n' => LINE_END,
        '\u{7f}' => '␡',
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{FFFD}'),
        _ => '\u{FFFD}',
    }
}

/// Columns that the text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The longest beginning that fits, and whether anything was left off.
pub(crate) fn fit(text: &str, columns: usize) -> (&str, bool) {
    let (end, cut) = fit_end(text, columns);
    (&text[..end], cut)
}

fn fit_end(text: &str, columns: usize) -> (usize, bool) {
    // Only the beginning is looked at: a log body may be megabytes long. Most text is ASCII, of
    // which every character is one column; one more is looked at, since a mark that combines
    // with the last column would belong to it.
    let beginning = &text.as_bytes()[..text.len().min(columns.saturating_add(1))];
    if beginning.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        return (text.len().min(columns), text.len() > columns);
    }
    let mut used = 0;
    for (position, grapheme) in text.grapheme_indices(true) {
        let wide = grapheme.width();
        if used + wide > columns {
            return (position, true);
        }
        used += wide;
    }
    (text.len(), false)
}

/// Cuts text to a width, the cut marked by `…`.
pub(crate) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    match fit(text, columns) {
        (_, false) => Cow::Borrowed(text),
        (_, true) if columns == 0 => Cow::Borrowed(""),
        (_, true) => Cow::Owned(format!("{}…", fit(text, columns - 1).0)),
    }
}

/// Cuts text into rows of a width, at most so many: at the ends of its lines, and between words
/// where there are some. The last row is all that is left, for the canvas to cut and mark.
pub(crate) fn wrap(text: &str, columns: usize, rows: usize) -> Vec<&str> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut rest = text;
    while lines.len() < rows {
        let (end, more) = fit_end(rest, columns);
        if end == 0 && more {
            // A character wider than the row: it cannot be shown, and must not loop for ever.
            break;
        }
        let line_end = rest[..end].find(LINE_END);
        if lines.len() + 1 == rows || (!more && line_end.is_none()) {
            lines.push(rest);
            break;
        }
        let end = match line_end {
            Some(at) => at + LINE_END.len_utf8(),
            None => word_end(rest, end, columns),
        };
        lines.push(&rest[..end]);
        // The space or line end between two rows is the end of the row.
        rest = match line_end {
            Some(_) => &rest[end..],
            None => rest[end..]
                .strip_prefix([' ', LINE_END])
                .unwrap_or(&rest[end..]),
        };
        if rest.trim_start().is_empty() {
            break;
        }
    }
    if lines.is_empty() {
        lines.push("");
    }
    lines
}

/// Where a row of text ends of which so many bytes fit: before the word that does not fit, unless
/// it is longer than a row and would be cut on the next one too.
fn word_end(text: &str, end: usize, columns: usize) -> usize {
    if text[end..].starts_with([' ', LINE_END]) {
        return end;
    }
    let Some(space) = text[..end].rfind(' ') else {
        return end;
    };
    // Spaces at the beginning are an indent, not the end of a word.
    if text[..space].trim_start().is_empty() {
        return end;
    }
    let word = &text[space + 1..];
    let (fits, more) = fit_end(word, columns);
    let ends = [' ', LINE_END];
    let whole = !more || word[..fits].contains(ends) || word[fits..].starts_with(ends);
    if whole { space } else { end }
}

/// The bytes at which a text contains another, whatever the case of its ASCII letters.
pub(crate) fn find_ignoring_case(text: &str, needle: &str) -> Option<std::ops::Range<usize>> {
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    let first = needle.first()?;
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    let last = text.len().checked_sub(needle.len())?;
    (0..=last)
        .filter(|&at| text[at] == lower || text[at] == upper)
        .find(|&at| text[at..at + needle.len()].eq_ignore_ascii_case(needle))
        .map(|at| at..at + needle.len())
}

/// A number with thousands separated by commas.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 trace`, `2,000 traces`.
pub(crate) fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(number as u64))
}

/// A duration in the unit that suits it, in at most seven columns.
pub(crate) fn duration(nanos: u64) -> String {
    let value = nanos as f64;
    // A unit ends where its last digits would round to the next.
    match nanos {
        0 => "0".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..999_500 => scaled(value / 1e3, "µs"),
        999_500..999_500_000 => scaled(value / 1e6, "ms"),
        999_500_000..59_950_000_000 => scaled(value / 1e9, "s"),
        _ => {
            let seconds = nanos.saturating_add(50_000_000) / 1_000_000_000;
            match seconds {
                0..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
                3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
                _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
            }
        }
    }
}

fn scaled(value: f64, unit: &str) -> String {
    if value < 9.995 {
        format!("{value:.2}{unit}")
    } else if value < 99.95 {
        format!("{value:.1}{unit}")
    } else {
        format!("{value:.0}{unit}")
    }
}

/// How long ago, or `-` for a time that is not known.
pub(crate) fn ago(now: u64, then: u64) -> String {
    if then == 0 || now == 0 {
        return "-".to_owned();
    }
    let seconds = now.saturating_sub(then) / 1_000_000_000;
    duration(seconds.max(1) * 1_000_000_000).replace(".00", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unsafe_survives() {
        let hostile = "a\u{1b}[31mb\tc\nd\u{7f}\u{9b}2J\u{202e}e\u{200b}";
        assert_eq!(sanitise(hostile), "a␛[31mb c⏎d␡\u{FFFD}2J\u{FFFD}e\u{FFFD}");
        assert!(matches!(sanitise("naïve 日本 👩‍👩‍👧"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_combines_without_end_is_cut() {
        let marks = "\u{301}".repeat(1_000_000);
        let family = "👩\u{200D}".repeat(100_000);
        let hostile = format!("e{marks}x {family}👩 y\u{61c}");
        let drawn = sanitise(&hostile);
        assert!(drawn.len() < 200, "{} bytes", drawn.len());
        assert!(drawn.starts_with("e\u{301}\u{301}"));
        let parts: Vec<&str> = drawn.split(char::REPLACEMENT_CHARACTER).collect();
        assert_eq!(parts.len(), 4, "{drawn}");
        assert!(parts[1].starts_with("x 👩") && parts[2] == " y", "{drawn}");
        let modest = format!("e{}", "\u{301}".repeat(20));
        assert_eq!(sanitise(&modest), modest);
    }

    #[test]
    fn cuts_at_whole_characters() {
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("abe\u{301}", 3), "abe\u{301}");
        assert_eq!(fit("abe\u{301}", 2), ("ab", true));
        assert_eq!(wrap("日本語x", 4, 9), ["日本", "語x"]);
        assert_eq!(wrap("日本", 1, 9), [""]);
        assert_eq!(wrap("abcdef", 2, 2), ["ab", "cdef"]);
        assert_eq!(wrap("", 5, 3), [""]);
    }

    #[test]
    fn wraps_between_words() {
        assert_eq!(
            wrap("and by its correlation", 11, 9),
            ["and by its", "correlation"]
        );
        assert_eq!(wrap("abc def ghi", 3, 9), ["abc", "def", "ghi"]);
        assert_eq!(wrap("abc  def", 4, 9), ["abc ", "def"]);
        // A word longer than a row begins where there is room, and is cut.
        assert_eq!(wrap("id 0123456789 x", 8, 9), ["id 01234", "56789 x"]);
        assert_eq!(wrap("  indented", 5, 9), ["  ind", "ented"]);
        assert_eq!(wrap("a 日本 語語 b", 6, 9), ["a 日本", "語語 b"]);
        assert_eq!(wrap("one two three", 5, 2), ["one", "two three"]);
        assert_eq!(wrap("値 値 ", 5, 9), ["値 値"]);
    }

    #[test]
    fn wraps_at_the_ends_of_lines() {
        assert_eq!(wrap("a⏎ at b⏎⏎c", 20, 9), ["a⏎", " at b⏎", "⏎", "c"]);
        assert_eq!(wrap("abc⏎", 20, 9), ["abc⏎"]);
        assert_eq!(wrap("abc⏎def⏎", 3, 9), ["abc", "def"]);
        assert_eq!(wrap("ab cdef⏎g", 5, 9), ["ab", "cdef⏎", "g"]);
        assert_eq!(wrap("a⏎b⏎c", 9, 2), ["a⏎", "b⏎c"]);
    }

    #[test]
    fn finds_whatever_the_case() {
        assert_eq!(
            find_ignoring_case("日本 Card Declined", "card d"),
            Some(7..13)
        );
        assert_eq!(find_ignoring_case("日本", "本"), Some(3..6));
        assert_eq!(find_ignoring_case("ab", "abc"), None);
        assert_eq!(find_ignoring_case("ab", ""), None);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(counted(1, "log"), "1 log");
        assert_eq!(counted(1_000, "log"), "1,000 logs");
        let expected = [
            (0, "0"),
            (999, "999ns"),
            (1_500, "1.50µs"),
            (12_340_000, "12.3ms"),
            (912_000_000, "912ms"),
            (999_400, "999µs"),
            (999_700, "1.00ms"),
            (999_700_000, "1.00s"),
            (1_240_000_000, "1.24s"),
            (59_940_000_000, "59.9s"),
            (59_960_000_000, "1m00s"),
            (123_000_000_000, "2m03s"),
            (3_720_000_000_000, "1h02m"),
            (90_000_000_000_000, "1d01h"),
        ];
        for (nanos, text) in expected {
            assert_eq!(duration(nanos), text);
        }
        assert_eq!(ago(70_000_000_000, 5_000_000_000), "1m05s");
        assert_eq!(ago(0, 5), "-");
    }
}
