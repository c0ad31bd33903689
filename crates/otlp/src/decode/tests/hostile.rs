//! Requests that no encoder writes: every field of every message in any order and number, on the
//! wire in every legal form and in some that are not.

use std::collections::BTreeSet;

use model::wire::put_varint;

use super::*;
use crate::json::schema::{self, Field, Kind, Message};

/// Makes requests from a seed.
pub(super) struct Hostile {
    random: fastrand::Rng,
    /// In a thousand fields, how many no decoder takes.
    wrong: u32,
    /// Messages that may still be made for this request.
    budget: usize,
    /// Fields of the present request: message and number.
    pub fields: BTreeSet<(&'static str, u32)>,
}

impl Hostile {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            wrong: 0,
            budget: 0,
            fields: BTreeSet::new(),
        }
    }

    /// How many fields all messages of the signal have together.
    pub(super) fn fields_of(signal: Signal) -> usize {
        let mut messages: Vec<&Message> = vec![spec(signal)];
        let mut at = 0;
        while let Some(message) = messages.get(at) {
            for field in message.fields {
                if let Kind::Message(inner) = field.kind
                    && messages.iter().all(|known| known.name != inner.name)
                {
                    messages.push(inner);
                }
            }
            at += 1;
        }
        messages.iter().map(|message| message.fields.len()).sum()
    }

    pub(super) fn request(&mut self, signal: Signal) -> Vec<u8> {
        self.fields.clear();
        self.budget = self.random.usize(3..60);
        self.wrong = *self.random.choice([0, 0, 0, 2, 30].iter()).unwrap();
        let mut request = self.message(spec(signal), 0);
        if self.one_in(3) {
            self.damage(&mut request);
        }
        request
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.u32(..n) == 0
    }

    fn is_wrong(&mut self) -> bool {
        self.random.u32(..1_000) < self.wrong
    }

    /// A varint, now and then longer than it has to be.
    fn varint(&mut self, out: &mut Vec<u8>, value: u64) {
        let start = out.len();
        put_varint(out, value);
        if self.is_wrong() {
            // More than 64 bits.
            out.truncate(start);
            out.extend([0xff; 9]);
            out.push(self.random.u8(2..));
        } else if self.one_in(20) {
            let length = self.random.usize(out.len() - start..=10);
            let last = out.len() - 1;
            out[last] |= 0x80;
            out.resize(start + length, 0x80);
            *out.last_mut().unwrap() &= 0x7f;
            if length == last + 1 - start {
                out.truncate(start);
                put_varint(out, value);
            }
        }
    }

    fn key(&mut self, out: &mut Vec<u8>, number: u32, wire_type: u32) {
        let number = if self.is_wrong() { 0 } else { number };
        let wire_type = if self.is_wrong() {
            self.random.u32(..8)
        } else {
            wire_type
        };
        self.varint(out, u64::from(number) << 3 | u64::from(wire_type));
    }

    fn delimited(&mut self, out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
        self.key(out, number, 2);
        let length = bytes.len() as u64;
        let length = match self.is_wrong() {
            true => *self
                .random
                .choice(
                    [
                        length + 1,
                        length * 2,
                        1 << 31,
                        1 << 32,
                        u64::MAX,
                        length / 2,
                    ]
                    .iter(),
                )
                .unwrap(),
            false => length,
        };
        self.varint(out, length);
        out.extend_from_slice(bytes);
    }

    fn message(&mut self, spec: &'static Message, depth: usize) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        if spec.name == "HistogramDataPoint" && !self.one_in(4) {
            self.buckets(&mut parts);
        }
        for field in spec.fields {
            // What a row cannot do without, what holds rows, and a part of the others.
            let needed =
                matches!(
                    field.name,
                    "traceId" | "spanId" | "timeUnixNano" | "name" | "aggregationTemporality"
                ) || (depth < 4 && field.repeated && matches!(field.kind, Kind::Message(_)));
            if !(needed && !self.one_in(12) || self.one_in(3)) {
                continue;
            }
            let times = match (field.repeated, self.random.u32(..10)) {
                (true, _) => self.random.usize(1..4),
                (false, 0) => 2,
                (false, 1) => 3,
                (false, _) => 1,
            };
            for _ in 0..times {
                let mut part = Vec::new();
                self.field(&mut part, spec, field, depth);
                parts.push(part);
            }
        }
        while self.one_in(5) {
            let mut part = Vec::new();
            self.unknown(&mut part, 0);
            parts.push(part);
        }
        if self.one_in(2) {
            self.random.shuffle(&mut parts);
        }
        parts.concat()
    }

    /// Counts and bounds that fit each other.
    fn buckets(&mut self, parts: &mut Vec<Vec<u8>>) {
        let bounds = self.random.usize(..4);
        for (number, count) in [(6, bounds + 1), (7, bounds)] {
            self.fields.insert(("HistogramDataPoint", number));
            let values: Vec<u64> = (0..count).map(|_| self.random.u64(..)).collect();
            let mut part = Vec::new();
            self.fixed_list(&mut part, number, &values);
            parts.push(part);
        }
    }

    fn field(&mut self, out: &mut Vec<u8>, spec: &'static Message, field: &Field, depth: usize) {
        self.fields.insert((spec.name, field.number));
        let number = field.number;
        if self.is_wrong() {
            return self.group(out, number, 0);
        }
        match field.kind {
            Kind::Message(inner) => {
                if self.budget == 0 {
                    return self.delimited(out, number, &[]);
                }
                self.budget -= 1;
                let message = match inner.name {
                    "AnyValue" if self.one_in(150) => self.deep(),
                    _ => self.message(inner, depth + 1),
                };
                self.delimited(out, number, &message);
            }
            Kind::Text => {
                let text = self.text();
                self.delimited(out, number, &text);
            }
            Kind::Hex => {
                let length = match field.name {
                    _ if self.one_in(15) => self.random.usize(..20),
                    "traceId" => 16,
                    _ => 8,
                };
                let least = u8::from(!self.one_in(15));
                let id: Vec<u8> = (0..length).map(|_| self.random.u8(least..=2)).collect();
                self.delimited(out, number, &id);
            }
            Kind::Base64 => {
                let bytes: Vec<u8> = (0..self.random.usize(..5))
                    .map(|_| self.random.u8(..))
                    .collect();
                self.delimited(out, number, &bytes);
            }
            Kind::Fixed32 => {
                self.key(out, number, 5);
                out.extend(self.random.u32(..).to_le_bytes());
            }
            Kind::Fixed64 | Kind::Sfixed64 | Kind::Double => {
                let count = if field.repeated {
                    self.random.usize(..4)
                } else {
                    1
                };
                let values: Vec<u64> = (0..count).map(|_| self.word()).collect();
                if field.repeated {
                    return self.fixed_list(out, number, &values);
                }
                self.key(out, number, 1);
                out.extend(values[0].to_le_bytes());
            }
            _ => self.varints(out, field),
        }
    }

    fn varints(&mut self, out: &mut Vec<u8>, field: &Field) {
        let value = match field.name {
            "aggregationTemporality" if !self.one_in(10) => self.random.u64(1..3),
            _ => self.word(),
        };
        if field.repeated && self.one_in(2) {
            let mut packed = Vec::new();
            for _ in 0..self.random.usize(..4) {
                let value = self.word();
                self.varint(&mut packed, value);
            }
            return self.delimited(out, field.number, &packed);
        }
        self.key(out, field.number, 0);
        self.varint(out, value);
    }

    /// A list of 64-bit values, some of them packed.
    fn fixed_list(&mut self, out: &mut Vec<u8>, number: u32, values: &[u64]) {
        let (packed, alone) = values.split_at(self.random.usize(..=values.len()));
        let mut bytes: Vec<u8> = packed
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        if self.is_wrong() {
            bytes.pop();
        }
        if !bytes.is_empty() || self.one_in(3) {
            self.delimited(out, number, &bytes);
        }
        for value in alone {
            self.key(out, number, 1);
            out.extend(value.to_le_bytes());
        }
    }

    fn word(&mut self) -> u64 {
        match self.random.u32(..8) {
            0 => 0,
            1 => u64::MAX,
            2 => f64::NAN.to_bits() | self.random.u64(..9),
            3 => (-0.0f64).to_bits(),
            4 => 1 << 32,
            5 => self.random.u64(..200),
            _ => self.random.u64(..),
        }
    }

    fn text(&mut self) -> Vec<u8> {
        if self.is_wrong() {
            return vec![b'a', 0xff];
        }
        let words = ["", "a", "b", "service.name", "\u{e9}\u{1f980}", "\0"];
        self.random
            .choice(words.iter())
            .unwrap()
            .as_bytes()
            .to_vec()
    }

    /// A field that is in no message, or in some message not there.
    fn unknown(&mut self, out: &mut Vec<u8>, depth: u32) {
        let number = match self.random.u32(..12) {
            0 => self.random.u32(1..20),
            1 => (1 << 29) - 1,
            _ => self.random.u32(20..3_000),
        };
        match self.random.u32(..6) {
            0 | 1 => {
                self.key(out, number, 0);
                let value = self.word();
                self.varint(out, value);
            }
            2 => {
                self.key(out, number, 1);
                out.extend(self.word().to_le_bytes());
            }
            3 => {
                self.key(out, number, 5);
                out.extend(self.random.u32(..).to_le_bytes());
            }
            4 => self.delimited(out, number, b"\xff\xfe"),
            _ => self.group(out, number, depth),
        }
    }

    fn group(&mut self, out: &mut Vec<u8>, number: u32, depth: u32) {
        self.key(out, number, 3);
        if self.one_in(60) {
            // Around the depth at which decoders give up.
            let more = self.random.u32(85..105);
            (0..more).for_each(|_| out.push(11));
            (0..more).for_each(|_| out.push(12));
        }
        while depth < 3 && self.one_in(2) {
            self.unknown(out, depth + 1);
        }
        let end = if self.is_wrong() { number + 1 } else { number };
        if !self.is_wrong() {
            self.key(out, end, 4);
        }
    }

    /// Lists in lists, around the depth at which decoders give up.
    fn deep(&mut self) -> Vec<u8> {
        let mut value = b"\x0a\x01x".to_vec();
        if self.one_in(2) {
            self.unknown(&mut value, 0);
        }
        for _ in 0..self.random.u32(20..52) {
            let mut item = Vec::new();
            if self.one_in(3) {
                self.delimited(&mut item, 2, &value);
                value = std::mem::take(&mut item);
                self.delimited(&mut item, 1, &value);
                value = std::mem::take(&mut item);
                self.delimited(&mut item, 6, &value);
            } else {
                self.delimited(&mut item, 1, &value);
                value = std::mem::take(&mut item);
                self.delimited(&mut item, 5, &value);
            }
            value = item;
        }
        value
    }

    /// Bytes changed, cut off, put in, left out and repeated.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.random.usize(1..4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.random.usize(..bytes.len());
            let end = (at + self.random.usize(1..12)).min(bytes.len());
            match self.random.u32(..7) {
                0 => bytes[at] ^= 1 << self.random.u32(..8),
                1 => bytes[at] = self.random.u8(..),
                2 => bytes.truncate(at),
                3 => bytes.insert(at, self.random.u8(..)),
                4 => drop(bytes.drain(at..end)),
                5 => {
                    let again = bytes[at..end].to_vec();
                    let to = self.random.usize(..=bytes.len());
                    bytes.splice(to..to, again);
                }
                _ => bytes.rotate_left(at.min(3)),
            }
        }
    }
}

fn spec(signal: Signal) -> &'static Message {
    match signal {
        Signal::Traces => &schema::TRACES,
        Signal::Logs => &schema::LOGS,
        Signal::Metrics => &schema::METRICS,
    }
}
