//! OTLP JSON requests turned into protobuf, so that all behind the receiver sees one encoding.
//!
//! The text is read as a stream and each member is written as it comes; no tree is built. The
//! mapping is that of the OTLP specification: lowerCamelCase names, unknown members ignored, ids
//! in hex of either case, other bytes in base64, 64-bit integers as strings or numbers, enums as
//! integers only (names are refused), `"NaN"`, `"Infinity"` and `"-Infinity"` as doubles, `null`
//! as absent. Nesting is limited by `serde_json` to 128 levels. Protobuf can be four times the text
//! (a count in a list is two bytes there and eight here), so it is bounded while it is written.

pub(crate) mod schema;

use std::fmt;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use model::Signal;
use model::room::{NoRoom, Room};
use model::wire::{put_bytes, put_key, put_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::proto::{put_double, put_fixed64, zigzag};
use schema::{Field, Kind, Message};

/// Why a text was not turned into protobuf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// It is not an OTLP JSON request. Names the path and the line and column.
    #[error("malformed OTLP JSON: {0}")]
    Malformed(String),
    /// The request in protobuf would be longer than this.
    #[error("more than {0} bytes in protobuf")]
    TooLarge(usize),
    /// There is no memory for it.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// The request in protobuf: at most `limit` bytes, which are taken from `room`.
pub fn to_protobuf(
    signal: Signal,
    text: &[u8],
    limit: usize,
    room: &mut Room,
) -> Result<Vec<u8>, JsonError> {
    let spec = match signal {
        Signal::Traces => &schema::TRACES,
        Signal::Logs => &schema::LOGS,
        Signal::Metrics => &schema::METRICS,
    };
    let mut out = Output {
        bytes: Vec::with_capacity(text.len() / 2),
        limit,
        room,
        taken: 0,
        full: None,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read = MessageSeed {
        spec,
        out: &mut out,
    }
    .deserialize(&mut deserializer)
    .and_then(|()| deserializer.end());
    match (read, out.full) {
        (_, Some(full)) => Err(full),
        (Err(error), None) => Err(JsonError::Malformed(error.to_string())),
        (Ok(()), None) => Ok(out.bytes),
    }
}

/// The protobuf so far.
struct Output<'a> {
    bytes: Vec<u8>,
    limit: usize,
    room: &'a mut Room,
    /// What was taken of the room.
    taken: usize,
    /// Why no more is written.
    full: Option<JsonError>,
}

impl Output<'_> {
    /// Ends the reading where the output has become too long. Asked after each member, none of
    /// which is much longer than its text.
    #[inline]
    fn check<E: Error>(&mut self) -> Result<(), E> {
        if self.bytes.capacity() > self.taken {
            self.take()?;
        }
        if self.bytes.len() > self.limit {
            self.full = Some(JsonError::TooLarge(self.limit));
            return Err(E::custom("too large"));
        }
        Ok(())
    }

    #[cold]
    fn take<E: Error>(&mut self) -> Result<(), E> {
        let more = self.bytes.capacity() - self.taken;
        self.room.take(more).map_err(|no| {
            self.full = Some(no.into());
            E::custom("no room")
        })?;
        self.taken += more;
        Ok(())
    }
}

/// Adds `segment` to the path at the front of an error. Errors of the JSON reader itself carry
/// no path: they have a line and a column.
fn within<E: Error>(segment: fmt::Arguments<'_>, error: &E) -> E {
    let text = error.to_string();
    match text.strip_prefix('$') {
        Some(rest) => E::custom(format_args!("${segment}{rest}")),
        None if text.starts_with("invalid type") || text.starts_with("invalid value") => {
            E::custom(format_args!("${segment}: {text}"))
        }
        None => E::custom(text),
    }
}

fn wrong<E: Error>(reason: fmt::Arguments<'_>) -> E {
    E::custom(format_args!("$: {reason}"))
}

/// Reads an object and appends the members of the message.
struct MessageSeed<'a, 'r> {
    spec: &'static Message,
    out: &'a mut Output<'r>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object ({})", self.spec.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(NameSeed(self.spec))? {
            match field {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(field) => map
                    .next_value_seed(FieldSeed {
                        field,
                        element: false,
                        out: self.out,
                    })
                    .map_err(|error| within(format_args!(".{}", field.name), &error))?,
            }
            self.out.check()?;
        }
        Ok(())
    }
}

/// Looks up a member by its name.
struct NameSeed(&'static Message);

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.iter().find(|field| field.name == name))
    }
}

/// Reads a member's value, or one element of a list, and appends it with its key.
struct FieldSeed<'a, 'r> {
    field: &'static Field,
    element: bool,
    out: &'a mut Output<'r>,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = if self.field.repeated && !self.element {
            "a list of "
        } else {
            ""
        };
        write!(f, "{list}{}", self.field.kind.description())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        match (self.element, self.field.kind) {
            (false, _) => Ok(()),
            (true, Kind::Message(_)) => {
                put_bytes(&mut self.out.bytes, self.field.number, &[]);
                Ok(())
            }
            (true, _) => Err(wrong(format_args!(
                "null is not {}",
                self.field.kind.description()
            ))),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if self.element || !self.field.repeated {
            let kind = self.field.kind.description();
            return Err(wrong(format_args!("expected {kind}, found a list")));
        }
        for index in 0usize.. {
            let seed = FieldSeed {
                field: self.field,
                element: true,
                out: &mut *self.out,
            };
            let element = list.next_element_seed(seed);
            if element
                .map_err(|error| within(format_args!("[{index}]"), &error))?
                .is_none()
            {
                break;
            }
            self.out.check()?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(spec) = self.field.kind else {
            let kind = self.field.kind.description();
            return Err(wrong(format_args!("expected {kind}, found an object")));
        };
        self.check_element()?;
        let start = crate::proto::begin(&mut self.out.bytes, self.field.number);
        MessageSeed {
            spec,
            out: &mut *self.out,
        }
        .visit_map(map)?;
        crate::proto::end(&mut self.out.bytes, start);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.check_element()?;
        let number = self.field.number;
        let explicit = self.explicit();
        match self.field.kind {
            Kind::Text if explicit || !text.is_empty() => {
                put_bytes(&mut self.out.bytes, number, text.as_bytes());
            }
            Kind::Text => {}
            Kind::Hex => {
                let id = hex(text).ok_or_else(|| wrong(format_args!("{text:?} is not hex")))?;
                crate::proto::bytes(&mut self.out.bytes, number, &id);
            }
            Kind::Base64 => {
                let bytes =
                    base64(text).ok_or_else(|| wrong(format_args!("the text is not base64")))?;
                put_bytes(&mut self.out.bytes, number, &bytes);
            }
            Kind::Double => {
                let double =
                    double(text).ok_or_else(|| wrong(format_args!("{text:?} is not a number")))?;
                self.put_double(double);
            }
            Kind::Enum => {
                let reason = format_args!("enums are integers in OTLP JSON, found {text:?}");
                return Err(wrong(reason));
            }
            Kind::Int64
            | Kind::Sfixed64
            | Kind::Sint32
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Fixed64
            | Kind::Fixed32 => {
                let int: i128 = text
                    .parse()
                    .map_err(|_| wrong(format_args!("{text:?} is not an integer")))?;
                return self.put_integer(int);
            }
            Kind::Bool | Kind::Message(_) => {
                let kind = self.field.kind.description();
                return Err(wrong(format_args!("expected {kind}, found a string")));
            }
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        self.check_element()?;
        let Kind::Bool = self.field.kind else {
            let kind = self.field.kind.description();
            return Err(wrong(format_args!("expected {kind}, found a boolean")));
        };
        if flag || self.explicit() {
            put_key(&mut self.out.bytes, self.field.number, 0);
            self.out.bytes.push(u8::from(flag));
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, int: u64) -> Result<(), E> {
        self.number(i128::from(int))
    }

    fn visit_i64<E: Error>(self, int: i64) -> Result<(), E> {
        self.number(i128::from(int))
    }

    fn visit_f64<E: Error>(self, double: f64) -> Result<(), E> {
        self.check_element()?;
        if let Kind::Double = self.field.kind {
            self.put_double(double);
            return Ok(());
        }
        // JSON does not tell 1 from 1.0 or 1e3; only what a double holds exactly is taken.
        if double.fract() != 0.0 || double.abs() > 9_007_199_254_740_992.0 {
            return Err(wrong(format_args!("{double} is not an integer")));
        }
        #[allow(clippy::cast_possible_truncation)]
        self.number(double as i128)
    }
}

impl FieldSeed<'_, '_> {
    fn explicit(&self) -> bool {
        self.field.explicit || self.element
    }

    /// A list member must come as a list.
    fn check_element<E: Error>(&self) -> Result<(), E> {
        if self.field.repeated && !self.element {
            let kind = self.field.kind.description();
            return Err(wrong(format_args!("expected a list of {kind}")));
        }
        Ok(())
    }

    fn number<E: Error>(self, int: i128) -> Result<(), E> {
        self.check_element()?;
        match self.field.kind {
            #[allow(clippy::cast_precision_loss)]
            Kind::Double => {
                self.put_double(int as f64);
                Ok(())
            }
            _ => self.put_integer(int),
        }
    }

    fn put_double(self, double: f64) {
        if self.explicit() || double.to_bits() != 0 {
            put_double(&mut self.out.bytes, self.field.number, double);
        }
    }

    fn put_integer<E: Error>(self, int: i128) -> Result<(), E> {
        let explicit = self.explicit();
        let (number, out) = (self.field.number, &mut self.out.bytes);
        let kind = self.field.kind;
        let range = || wrong(format_args!("{int} is not {}", kind.description()));
        let unsigned = || u64::try_from(int).map_err(|_| range());
        let signed = || i64::try_from(int).map_err(|_| range());
        let unsigned32 = || u32::try_from(int).map_err(|_| range());
        let signed32 = || i32::try_from(int).map_err(|_| range());
        #[allow(clippy::cast_sign_loss)]
        let varint = match kind {
            Kind::Uint32 => u64::from(unsigned32()?),
            Kind::Uint64 => unsigned()?,
            Kind::Enum => i64::from(signed32()?) as u64,
            Kind::Int64 => signed()? as u64,
            Kind::Sint32 => zigzag(signed32()?),
            Kind::Fixed64 | Kind::Sfixed64 => {
                let bits = if kind == Kind::Fixed64 {
                    unsigned()?
                } else {
                    signed()? as u64
                };
                if explicit || bits != 0 {
                    put_fixed64(out, number, bits);
                }
                return Ok(());
            }
            Kind::Fixed32 => {
                crate::proto::fixed32(out, number, unsigned32()?);
                return Ok(());
            }
            _ => {
                let kind = kind.description();
                return Err(wrong(format_args!("expected {kind}, found a number")));
            }
        };
        if explicit || varint != 0 {
            put_key(out, number, 0);
            put_varint(out, varint);
        }
        Ok(())
    }
}

/// The bytes that a text is in hex.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let bytes = pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok());
    rest.is_empty().then(|| bytes.collect()).flatten()
}

/// Both alphabets, with or without padding, as the JSON mapping of protobuf asks.
fn base64(text: &str) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let standard = GeneralPurpose::new(&alphabet::STANDARD, config);
    let url = GeneralPurpose::new(&alphabet::URL_SAFE, config);
    standard.decode(text).or_else(|_| url.decode(text)).ok()
}

fn double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust reads spellings that JSON does not have, such as `inf` and `nan`.
        _ if text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) =>
        {
            text.parse().ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
