//! The text of an expression and where its characters stand in the file.

use crate::yaml::{Node, Style};

/// A PromQL expression.
#[derive(Clone, Debug)]
pub struct Expr {
    pub text: String,
    /// Where the text starts in the file.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// Where in the text the position is not simply one column further: byte offset, line,
    /// column; ascending, the first for offset 0.
    jumps: Vec<(usize, u32, u32)>,
}

impl Expr {
    /// Aligns the text with the source: every character of it that is not white space stands in
    /// the source in the same order, with only white space, quotes and escapes in between.
    pub(crate) fn new(text: &str, style: Style, node: &Node, source: &[char]) -> Self {
        let mut at = Cursor::start(style, node, source);
        let mut jumps: Vec<(usize, u32, u32)> = Vec::new();
        let mut expected = None;
        for (offset, c) in text.char_indices() {
            if c == '\n' {
                // The end of a line is where the line's text ends; the next character will say
                // where the next one starts.
                expected = None;
                continue;
            }
            if c.is_whitespace() {
                if at.peek() == Some(c) {
                    at.advance();
                }
                expected = expected.map(|(line, column)| (line, column + 1));
                continue;
            }
            at.seek(c);
            let here = (at.line, at.column);
            if expected != Some(here) {
                jumps.push((offset, here.0, here.1));
            }
            at.advance();
            expected = Some((here.0, here.1 + 1));
        }
        if jumps.first().is_none_or(|first| first.0 > 0) {
            let place = jumps.first().map(|first| (first.1, first.2));
            let (line, column) = place.unwrap_or((node.place.line, node.place.column));
            jumps.insert(0, (0, line, column));
        }
        Self {
            text: text.to_owned(),
            line: jumps[0].1,
            column: jumps[0].2,
            jumps,
        }
    }

    /// Line and column in the file of a byte offset into the text.
    pub fn position(&self, offset: usize) -> (u32, u32) {
        let end = self.text.trim_end().len();
        let offset = offset.min(end.max(1));
        let index = self
            .jumps
            .partition_point(|jump| jump.0 <= offset)
            .saturating_sub(1);
        let (start, line, column) = self.jumps[index];
        let between = self.text.get(start..offset).unwrap_or_default();
        let columns = between.chars().take_while(|c| *c != '\n').count();
        (line, column + u32::try_from(columns).unwrap_or(u32::MAX))
    }
}

/// A place in the source.
struct Cursor<'a> {
    source: &'a [char],
    index: usize,
    end: usize,
    line: u32,
    column: u32,
    escapes: bool,
}

impl<'a> Cursor<'a> {
    /// The first character of the scalar's content.
    fn start(style: Style, node: &Node, source: &'a [char]) -> Self {
        let mut cursor = Self {
            source,
            index: node.span.0,
            end: node.span.1.max(node.span.0).min(source.len()),
            line: node.place.line,
            column: node.place.column,
            escapes: false,
        };
        if style == Style::Quoted {
            let quote = cursor.peek();
            cursor.advance();
            cursor.escapes = quote == Some('"');
        }
        if style == Style::Block && matches!(cursor.peek(), Some('|' | '>')) {
            while cursor.peek().is_some_and(|c| c != '\n') {
                cursor.advance();
            }
        }
        cursor
    }

    fn raw(&self, ahead: usize) -> Option<char> {
        let index = self.index + ahead;
        self.source.get(index).copied().filter(|_| index < self.end)
    }

    /// The character that stands here, escapes decoded, and how many of the source it takes.
    fn next(&self) -> Option<(char, usize)> {
        let c = self.raw(0)?;
        if !self.escapes || c != '\\' {
            return Some((c, 1));
        }
        let kind = self.raw(1)?;
        let digits = match kind {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            // Control characters and escaped line ends: white space to an expression.
            '0' | 'a' | 'b' | 't' | 'n' | 'v' | 'f' | 'r' | 'e' | 'N' | '_' | 'L' | 'P' | '\n' => {
                return Some((' ', 2));
            }
            other => return Some((other, 2)),
        };
        let code: String = (2..2 + digits)
            .filter_map(|ahead| self.raw(ahead))
            .collect();
        let decoded = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
        Some((decoded.unwrap_or(' '), 2 + digits))
    }

    fn peek(&self) -> Option<char> {
        self.next().map(|(c, _)| c)
    }

    fn advance(&mut self) {
        let length = self.next().map_or(0, |(_, length)| length);
        for _ in 0..length {
            if self.raw(0) == Some('\n') {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
            self.index += 1;
        }
    }

    /// Moves on to the next `wanted`.
    fn seek(&mut self, wanted: char) {
        let (index, line, column) = (self.index, self.line, self.column);
        while let Some(c) = self.peek() {
            if c == wanted {
                return;
            }
            self.advance();
        }
        // The text is not in the source after all: stay rather than run to its end.
        (self.index, self.line, self.column) = (index, line, column);
    }
}
