//! Severity numbers from the words and numbers that loggers write.

/// OTLP's number for a level word, of any case.
pub(super) fn number(word: &str) -> Option<i32> {
    let mut lower = [0u8; 16];
    let lower = lower.get_mut(..word.len())?;
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"trace" | b"trc" | b"finest" | b"verbose" | b"silly" => 1,
        b"debug" | b"dbg" | b"debg" | b"fine" | b"finer" => 5,
        b"info" | b"inf" | b"information" | b"informational" | b"config" => 9,
        b"notice" => 10,
        b"warn" | b"warning" | b"wrn" => 13,
        b"error" | b"err" | b"eror" | b"severe" => 17,
        b"critical" | b"crit" | b"fatal" | b"ftl" | b"panic" => 21,
        b"alert" => 22,
        b"emerg" | b"emergency" => 24,
        _ => return None,
    })
}

/// The numbers that bunyan and pino write: 10 (trace) to 60 (fatal).
pub(super) fn bunyan(level: u64) -> Option<i32> {
    Some(match level {
        10 => 1,
        20 => 5,
        30 => 9,
        40 => 13,
        50 => 17,
        60 => 21,
        _ => return None,
    })
}

/// How much of a plain line is searched.
const SEARCH_BYTES: usize = 192;

/// The level of a plain line: an upper-case level word, or one of any case in brackets or
/// before a colon at the start. The first one counts, since loggers put it before the text.
pub(super) fn in_line(line: &str) -> Option<(&str, i32)> {
    let bytes = line.as_bytes();
    if let Some(level) = klog(bytes) {
        return Some((&line[..1], level));
    }
    let end = bytes.len().min(SEARCH_BYTES);
    let mut at = 0;
    while at < end {
        if !bytes[at].is_ascii_alphabetic() {
            at += 1;
            continue;
        }
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let length = bytes[at..].iter().position(|byte| !is_word(byte));
        let stop = length.map_or(bytes.len(), |length| at + length);
        let starts_word = at == 0 || !is_word(&bytes[at - 1]) && bytes[at - 1] < 0x80;
        if starts_word && (3..=13).contains(&(stop - at)) {
            let upper = bytes[at..stop].iter().all(u8::is_ascii_uppercase);
            let before = at.checked_sub(1).map(|before| bytes[before]);
            let after = bytes.get(stop);
            let bracketed = matches!(before, Some(b'[' | b'<' | b'(' | b'|'))
                && matches!(after, Some(b']' | b'>' | b')' | b'|'));
            let leads = at == 0 && after == Some(&b':');
            if (upper || bracketed || leads)
                && let Some(level) = number(&line[at..stop])
            {
                return Some((&line[at..stop], level));
            }
        }
        at = stop.max(at + 1);
    }
    None
}

/// klog lines start with the level's letter and four digits of a date.
fn klog(bytes: &[u8]) -> Option<i32> {
    let digits = bytes.get(1..5)?.iter().all(u8::is_ascii_digit);
    if !digits || bytes.get(5) != Some(&b' ') {
        return None;
    }
    match bytes[0] {
        b'I' => Some(9),
        b'W' => Some(13),
        b'E' => Some(17),
        b'F' => Some(21),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_found_where_loggers_put_them() {
        for (line, expected) in [
            ("2026-01-02 03:04:05,007 ERROR pay: x", Some(("ERROR", 17))),
            ("[warn] disk is filling", Some(("warn", 13))),
            ("error: no such file", Some(("error", 17))),
            ("E0102 03:04:05.1 7 a.go:1] x", Some(("E", 17))),
            ("<notice> hi", Some(("notice", 10))),
            ("GET /error 200 no level here", None),
            ("an error happened", None),
            ("TERROR", None),
            ("INFORMATIONAL: a", Some(("INFORMATIONAL", 9))),
            ("éERR", None),
            ("", None),
        ] {
            assert_eq!(in_line(line), expected, "{line}");
        }
        assert_eq!(number("Warning"), Some(13));
        assert_eq!(number("a word that is far too long to be a level"), None);
        assert_eq!(bunyan(50), Some(17));
    }
}
