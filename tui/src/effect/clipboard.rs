//! The clipboard by OSC 52, which reaches the user's own machine through SSH and tmux.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Longest text that terminals commonly take (xterm: 100,000 bytes of sequence).
const BYTES_MAX: usize = 74_000;

/// The escape sequence that puts a text on the clipboard. tmux takes it itself where
/// `set-clipboard` is on, and passes it on wrapped where `allow-passthrough` is: it gets both.
pub fn osc52(text: &str, tmux: bool) -> Result<String, String> {
    if text.len() > BYTES_MAX {
        return Err(format!(
            "{} bytes are more than terminals take ({BYTES_MAX})",
            text.len()
        ));
    }
    let plain = format!("\x1b]52;c;{}\x07", STANDARD.encode(text));
    Ok(if tmux {
        format!(
            "{plain}\x1bPtmux;{}\x1b\\",
            plain.replace('\x1b', "\x1b\x1b")
        )
    } else {
        plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_encoded_whatever_it_contains() {
        assert_eq!(
            osc52("a\u{1b}b", false).as_deref(),
            Ok("\x1b]52;c;YRti\x07")
        );
        assert_eq!(
            osc52("a", true).as_deref(),
            Ok("\x1b]52;c;YQ==\x07\x1bPtmux;\x1b\x1b]52;c;YQ==\x07\x1b\\")
        );
        assert!(osc52(&"x".repeat(BYTES_MAX + 1), false).is_err());
    }
}
