//! Server-sent events: a parser of the WHATWG event stream format, fed with chunks.
//!
//! Lines end in LF, CRLF or CR; a blank line ends an event; `:` begins a comment. `id` and
//! `retry` are ignored, because a tail begins anew when it is reopened. A line and the data of an
//! event are bounded: a server that never ends a line must not fill the memory.

use std::collections::VecDeque;

use super::ClientError;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SseEvent {
    /// Its name; `message` where none was sent.
    pub(crate) name: String,
    /// Its data lines, joined by LF.
    pub(crate) data: Vec<u8>,
}

/// Parses chunks into events.
#[derive(Debug)]
pub(crate) struct SseParser {
    limit_bytes: usize,
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
}

impl SseParser {
    /// A parser whose lines and events are at most so long.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            line: Vec::new(),
            name: String::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
        }
    }

    /// Takes the next chunk and appends the events that it completes.
    pub(crate) fn feed(
        &mut self,
        mut chunk: &[u8],
        events: &mut VecDeque<SseEvent>,
    ) -> Result<(), ClientError> {
        while !chunk.is_empty() {
            if std::mem::take(&mut self.after_cr) && chunk[0] == b'\n' {
                chunk = &chunk[1..];
                continue;
            }
            match chunk
                .iter()
                .position(|&byte| byte == b'\n' || byte == b'\r')
            {
                Some(end) => {
                    self.append(&chunk[..end])?;
                    self.after_cr = chunk[end] == b'\r';
                    self.end_line(events)?;
                    chunk = &chunk[end + 1..];
                }
                None => {
                    self.append(chunk)?;
                    break;
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        if self.line.len() + bytes.len() > self.limit_bytes {
            return Err(ClientError::TooLarge {
                limit_bytes: self.limit_bytes,
            });
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, events: &mut VecDeque<SseEvent>) -> Result<(), ClientError> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            self.end_event(events);
            return Ok(());
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (&line[..], &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                if self.data.len() + value.len() + 1 > self.limit_bytes {
                    return Err(ClientError::TooLarge {
                        limit_bytes: self.limit_bytes,
                    });
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            _ => {}
        }
        Ok(())
    }

    fn end_event(&mut self, events: &mut VecDeque<SseEvent>) {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.has_data) {
            let name = if name.is_empty() {
                "message".to_owned()
            } else {
                name
            };
            events.push_back(SseEvent { name, data });
        }
    }
}
