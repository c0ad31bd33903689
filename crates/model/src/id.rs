//! Trace and span ids: fixed bytes in memory, lower-case hex in text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} hex digits that are not all zero")]
pub struct IdError {
    /// How many hex digits the id has.
    pub expected: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// The id in these bytes, unless their number is wrong or all are zero.
            pub fn from_wire(bytes: &[u8]) -> Option<Self> {
                let id = Self(bytes.try_into().ok()?);
                (!id.is_zero()).then_some(id)
            }

            /// All bytes zero: the wire's way to say "none".
            pub fn is_zero(&self) -> bool {
                self.0 == [0; $bytes]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let mut hex = [0u8; $bytes * 2];
                for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
                    pair[0] = DIGITS[usize::from(byte >> 4)];
                    pair[1] = DIGITS[usize::from(byte & 15)];
                }
                f.write_str(std::str::from_utf8(&hex).expect("hex digits are ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Reads hex of either case.
            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { expected: $bytes * 2 };
                if text.len() != $bytes * 2 {
                    return Err(error);
                }
                let mut bytes = [0u8; $bytes];
                for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                    let high = char::from(pair[0]).to_digit(16).ok_or(error.clone())?;
                    let low = char::from(pair[1]).to_digit(16).ok_or(error.clone())?;
                    *byte = u8::try_from(high << 4 | low).expect("two hex digits fit a byte");
                }
                Self::from_wire(&bytes).ok_or(error)
            }
        }
    };
}

id!(
    /// A W3C trace id: 16 bytes.
    TraceId,
    16
);
id!(
    /// A W3C span id: 8 bytes.
    SpanId,
    8
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_agree() {
        let id: TraceId = "5B8EFFF798038103D269B633813FC60C".parse().unwrap();
        assert_eq!(id.to_string(), "5b8efff798038103d269b633813fc60c");
        assert!(
            "00000000000000000000000000000000"
                .parse::<TraceId>()
                .is_err()
        );
        assert!("5b8e".parse::<SpanId>().is_err());
        assert!("zz1122334455667é".parse::<SpanId>().is_err());
        assert_eq!(SpanId::from_wire(&[0; 8]), None);
        assert_eq!(SpanId::from_wire(&[1; 7]), None);
    }
}
