//! Long values in pieces, each low enough for the smallest pane, so that one can scroll through
//! all of a stack trace or a document.

use crate::text::{LINE_END, fit};

/// Most lines of a piece.
const LINES: usize = 5;
/// Most columns of a piece, over all its lines.
const COLUMNS: usize = 240;

/// Cuts a text into pieces; put together they are the text.
pub(super) fn cut(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        let (piece, more) = fit(rest, COLUMNS);
        let line_ends = piece.match_indices(LINE_END);
        let end = match line_ends.map(|(at, mark)| at + mark.len()).nth(LINES - 1) {
            Some(end) => end,
            None if !more => rest.len(),
            // Behind the last line or word that is whole.
            None => piece
                .rfind(LINE_END)
                .map(|at| at + LINE_END.len_utf8())
                .or_else(|| piece.rfind(' ').map(|at| at + 1))
                .unwrap_or(piece.len()),
        };
        if end == 0 || end == rest.len() {
            pieces.push(rest);
            return pieces;
        }
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::width;

    #[test]
    fn short_values_are_whole() {
        for text in ["", "a", "a⏎b⏎c⏎d⏎e", "a⏎b⏎c⏎d⏎e⏎"] {
            assert_eq!(cut(text), [text]);
        }
    }

    #[test]
    fn pieces_are_low_and_together_the_text() {
        let texts = [
            "a stack trace of many lines⏎  at something⏎".repeat(50),
            "words ".repeat(500),
            "x".repeat(1000),
            "写".repeat(1000),
            format!("a line⏎{}", "y".repeat(300)),
        ];
        for text in texts {
            let pieces = cut(&text);
            assert!(pieces.len() > 1);
            assert_eq!(pieces.concat(), text);
            for piece in pieces {
                assert!(width(piece) <= COLUMNS, "{piece}");
                assert!(piece.matches(LINE_END).count() <= LINES, "{piece}");
                assert!(!piece.starts_with("ords"), "a word is cut");
            }
        }
    }
}
