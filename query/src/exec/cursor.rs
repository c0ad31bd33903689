//! Cursors: where the next page begins, as opaque text.
//!
//! A cursor names a place in the order of the rows, not a number of rows to skip, so a page is
//! the same whether or not newer rows came in since. It is `KIND.NUMBER.TEXT`, in base64 so that
//! nobody takes it apart.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::error::QueryError;

/// A place in a list: a number by which the list is ordered, and what tells equal ones apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The last row's key: a time, a duration or a count.
    pub number: u64,
    /// What tells rows of the same key apart: a trace id, or the place among records of one time.
    pub text: String,
}

impl Cursor {
    /// The cursor as text. `kind` is what the list is ordered by.
    pub fn encode(&self, kind: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{kind}.{}.{}", self.number, self.text))
    }

    /// What is said of a cursor that is none.
    pub fn wrong() -> QueryError {
        QueryError::parameter("the cursor is not one of this list")
            .hint("pass the cursor of the page before, with the same order")
    }

    /// The cursor of a text that was made for a list of the same kind.
    pub fn decode(kind: &str, text: &str) -> Result<Self, QueryError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Self::wrong())?;
        let plain = String::from_utf8(bytes).map_err(|_| Self::wrong())?;
        let mut parts = plain.splitn(3, '.');
        let (Some(of), Some(number), Some(text)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Self::wrong());
        };
        if of != kind {
            return Err(Self::wrong());
        }
        Ok(Self {
            number: number.parse().map_err(|_| Self::wrong())?,
            text: text.to_owned(),
        })
    }
}
