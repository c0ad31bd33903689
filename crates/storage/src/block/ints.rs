//! Streams of integers, the layer below integer columns, text lengths and template variables.
//!
//! A stream starts with its encoding and, as a zigzag varint, a base, which is its smallest value:
//! - constant (0): nothing more, all values are the base;
//! - packed (1): a varint scale, then frames of residuals, where value = base + residual * scale;
//! - delta (2): a varint scale, then frames of differences between neighbouring residuals, the first against 0;
//! - dictionary (3): a varint count, the distinct residuals as a packed or delta stream, and one code per value.
//!
//! The base is removed and the scale (the greatest common divisor, because many clocks tick in micro- or
//! milliseconds) divided out first; arithmetic wraps at 64 bits, so one code path serves signed and unsigned.
//! A frame holds 128 values, the last one fewer: a byte of width in the low seven bits (the top bit, in delta
//! streams, says that differences are zigzag coded), a byte that counts exceptions, a varint base (zigzag in delta
//! frames without the top bit), the packed low bits, then a byte of position for each exception and a varint of
//! the bits above the width for each. Exceptions keep one outlier from widening a whole frame.

use super::codes;
use super::distinct::distinct_u64;
use super::pack::{FRAME, frame_len, pack_frame, unpack_frame, width_of};
use super::wire::{Cursor, Decoded, Malformed, put_varint, unzigzag, varint_len, zigzag};

const CONSTANT: u8 = 0;
const PACKED: u8 = 1;
const DELTA: u8 = 2;
const DICTIONARY: u8 = 3;

const ZIGZAG: u8 = 0x80;

/// More distinct values than this are not kept as a dictionary.
const MAX_DICTIONARY: usize = 256;

/// What a frame's packed numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Residuals less the smallest of the frame.
    Offset,
    /// Differences less the smallest of the frame.
    Difference,
    /// Zigzag coded differences, for frames with outliers on both sides.
    Zigzag,
}

/// How a frame will be written.
#[derive(Debug, Clone, Copy)]
struct Plan {
    form: Form,
    width: u8,
    exceptions: u8,
    base: u64,
    bytes: usize,
}

impl Plan {
    /// The plan for `values`, which are already in `form` with `base` removed.
    fn new(form: Form, values: &[u64], base: u64) -> Self {
        let (width, exceptions, bytes) = cheapest_width(values);
        let mut plan = Plan {
            form,
            width,
            exceptions,
            base,
            bytes,
        };
        plan.bytes += 2 + varint_len(plan.stored_base());
        plan
    }

    fn stored_base(&self) -> u64 {
        match self.form {
            Form::Offset | Form::Zigzag => self.base,
            Form::Difference => zigzag(self.base as i64),
        }
    }
}

/// Whether a stream may be a dictionary. The streams inside dictionaries may not, which bounds the nesting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    Outer,
    Inner,
}

/// What was chosen for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chosen {
    Constant,
    Packed,
    Delta,
    Dictionary { distinct: u32 },
}

/// Appends unsigned values; the reader must know how many there are.
pub(crate) fn encode_unsigned(out: &mut Vec<u8>, values: &[u64], depth: Depth) -> Chosen {
    let base = values.iter().copied().min().unwrap_or(0);
    encode(out, values, base, depth)
}

/// Appends values of which `base` is the smallest, in whichever order (signed or unsigned) the caller means.
pub(crate) fn encode(out: &mut Vec<u8>, values: &[u64], base: u64, depth: Depth) -> Chosen {
    let start = out.len();
    out.push(CONSTANT);
    put_varint(out, zigzag(base as i64));
    if values.iter().all(|value| *value == base) {
        return Chosen::Constant;
    }
    let mut residuals: Vec<u64> = values
        .iter()
        .map(|value| value.wrapping_sub(base))
        .collect();
    let scale = common_divisor(&residuals);
    if scale > 1 {
        for residual in &mut residuals {
            *residual /= scale;
        }
    }
    put_varint(out, scale);
    let header = out.len();
    let packed = plan_packed(&residuals);
    let delta = plan_delta(&residuals);
    let size = |plans: &[Plan]| plans.iter().map(|plan| plan.bytes).sum::<usize>();
    let (packed_size, delta_size) = (size(&packed), size(&delta));
    let smallest = packed_size.min(delta_size);
    if depth == Depth::Outer
        && values.len() > 8
        && let Some((distinct, codes)) = distinct_u64(&residuals, MAX_DICTIONARY)
        && distinct.len() * 2 < values.len()
    {
        encode_unsigned_dictionary(out, &distinct, &codes);
        if out.len() - header < smallest {
            out[start] = DICTIONARY;
            return Chosen::Dictionary {
                distinct: distinct.len() as u32,
            };
        }
        out.truncate(header);
    }
    if packed_size <= delta_size {
        out[start] = PACKED;
        for (frame, plan) in residuals.chunks(FRAME).zip(&packed) {
            write_frame(out, frame, plan);
        }
        Chosen::Packed
    } else {
        out[start] = DELTA;
        into_differences(&mut residuals);
        for (frame, plan) in residuals.chunks(FRAME).zip(&delta) {
            write_frame(out, frame, plan);
        }
        Chosen::Delta
    }
}

fn encode_unsigned_dictionary(out: &mut Vec<u8>, distinct: &[u64], codes: &[u32]) {
    put_varint(out, distinct.len() as u64);
    encode_unsigned(out, distinct, Depth::Inner);
    codes::encode(out, codes, distinct.len());
}

/// The greatest number that divides all residuals; it stops looking as soon as that is one.
fn common_divisor(residuals: &[u64]) -> u64 {
    let mut divisor = 0u64;
    for residual in residuals {
        let (mut a, mut b) = (divisor, *residual);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        divisor = a;
        if divisor == 1 {
            break;
        }
    }
    divisor.max(1)
}

/// Replaces each value by its wrapping difference to the one before.
fn into_differences(values: &mut [u64]) {
    let mut previous = 0u64;
    for value in values {
        let current = *value;
        *value = current.wrapping_sub(previous);
        previous = current;
    }
}

fn plan_packed(residuals: &[u64]) -> Vec<Plan> {
    let mut scratch = [0u64; FRAME];
    residuals
        .chunks(FRAME)
        .map(|frame| {
            let base = frame.iter().copied().min().unwrap_or(0);
            let scratch = &mut scratch[..frame.len()];
            for (slot, value) in scratch.iter_mut().zip(frame) {
                *slot = value - base;
            }
            Plan::new(Form::Offset, scratch, base)
        })
        .collect()
}

fn plan_delta(residuals: &[u64]) -> Vec<Plan> {
    let mut previous = 0u64;
    let mut frames = [[0u64; FRAME]; 2];
    residuals
        .chunks(FRAME)
        .map(|frame| {
            let [by_base, by_zigzag] = &mut frames;
            let (by_base, by_zigzag) = (&mut by_base[..frame.len()], &mut by_zigzag[..frame.len()]);
            let mut smallest = i64::MAX;
            for ((value, difference), zigzagged) in frame
                .iter()
                .zip(by_base.iter_mut())
                .zip(by_zigzag.iter_mut())
            {
                *difference = value.wrapping_sub(previous);
                previous = *value;
                smallest = smallest.min(*difference as i64);
                *zigzagged = zigzag(*difference as i64);
            }
            let base = smallest as u64;
            for difference in by_base.iter_mut() {
                *difference = difference.wrapping_sub(base);
            }
            let straight = Plan::new(Form::Difference, by_base, base);
            let zigzagged = Plan::new(Form::Zigzag, by_zigzag, 0);
            if straight.bytes <= zigzagged.bytes {
                straight
            } else {
                zigzagged
            }
        })
        .collect()
}

/// The width at which packed values plus exceptions take the fewest bytes: (width, exceptions, bytes).
fn cheapest_width(values: &[u64]) -> (u8, u8, usize) {
    let mut with_width = [0u16; 65];
    for value in values {
        with_width[usize::from(width_of(*value))] += 1;
    }
    let widest = (0..=64u8)
        .rev()
        .find(|width| with_width[usize::from(*width)] > 0)
        .unwrap_or(0);
    let mut best = (widest, 0, frame_len(values.len(), widest));
    let mut exceptions = 0usize;
    let mut exception_bits = 0usize;
    for width in (0..widest).rev() {
        let wider = usize::from(with_width[usize::from(width) + 1]);
        exceptions += wider;
        // Every exception gains one bit each time that the width falls by one; a varint keeps seven of them a byte.
        exception_bits += exceptions;
        let bytes = frame_len(values.len(), width)
            + exceptions
            + exception_bits.div_ceil(7).max(exceptions);
        if bytes + exceptions / 2 < best.2 {
            best = (width, exceptions as u8, bytes);
        }
        if exceptions > FRAME / 4 {
            break;
        }
    }
    best
}

/// Appends a frame of residuals or, for the delta forms, of differences.
fn write_frame(out: &mut Vec<u8>, values: &[u64], plan: &Plan) {
    let mut shifted = [0u64; FRAME];
    let shifted = &mut shifted[..values.len()];
    for (slot, value) in shifted.iter_mut().zip(values) {
        *slot = match plan.form {
            Form::Offset | Form::Difference => value.wrapping_sub(plan.base),
            Form::Zigzag => zigzag(*value as i64),
        };
    }
    let flag = if plan.form == Form::Zigzag { ZIGZAG } else { 0 };
    out.push(plan.width | flag);
    out.push(plan.exceptions);
    put_varint(out, plan.stored_base());
    pack_frame(out, shifted, plan.width);
    if plan.exceptions > 0 {
        let wide = |value: &u64| value >> plan.width != 0;
        let positions = shifted.iter().enumerate().filter(|(_, value)| wide(value));
        out.extend(positions.map(|(position, _)| position as u8));
        for value in shifted.iter().filter(|value| wide(value)) {
            put_varint(out, value >> plan.width);
        }
    }
}

/// Reads `count` values, which the caller has compared with its limit.
pub(crate) fn decode(from: &mut Cursor<'_>, count: usize, depth: Depth) -> Decoded<Vec<u64>> {
    let encoding = from.u8()?;
    let base = from.zigzag()? as u64;
    if encoding == CONSTANT {
        return Ok(vec![base; count]);
    }
    let scale = from.varint()?;
    let mut values = match encoding {
        PACKED | DELTA => {
            // Every frame takes at least three bytes, so this refuses counts that the bytes cannot hold.
            if from.remaining() / 3 < count.div_ceil(FRAME) {
                return Err(Malformed("it ends before its content does"));
            }
            let mut values = vec![0u64; count];
            read_frames(from, &mut values, encoding == DELTA)?;
            values
        }
        DICTIONARY if depth == Depth::Outer => {
            let limit = MAX_DICTIONARY.min(count);
            let distinct = from.bounded(limit, "an integer dictionary is larger than its limit")?;
            let values = decode(from, distinct, Depth::Inner)?;
            let codes = codes::decode(from, count, distinct)?;
            codes.iter().map(|code| values[*code as usize]).collect()
        }
        _ => return Err(Malformed("an integer encoding is not known")),
    };
    if scale == 1 {
        for value in &mut values {
            *value = value.wrapping_add(base);
        }
    } else {
        for value in &mut values {
            *value = value.wrapping_mul(scale).wrapping_add(base);
        }
    }
    Ok(values)
}

/// Reads the values at some positions below `count`, in the order asked for. Skips what it can of the others.
pub(crate) fn decode_at(
    from: &mut Cursor<'_>,
    count: usize,
    depth: Depth,
    wanted: &[usize],
) -> Decoded<Vec<u64>> {
    let mut ahead = *from;
    let encoding = ahead.u8()?;
    let base = ahead.zigzag()? as u64;
    let few = wanted.len() * 8 < count;
    let values = match encoding {
        CONSTANT => {
            *from = ahead;
            return Ok(vec![base; wanted.len()]);
        }
        PACKED if few => {
            let scale = ahead.varint()?;
            let residuals = frames_at(&mut ahead, count, wanted)?;
            let value = |residual: u64| residual.wrapping_mul(scale).wrapping_add(base);
            residuals.into_iter().map(value).collect()
        }
        DICTIONARY if few && depth == Depth::Outer => {
            let scale = ahead.varint()?;
            let limit = MAX_DICTIONARY.min(count);
            let distinct =
                ahead.bounded(limit, "an integer dictionary is larger than its limit")?;
            let values = decode(&mut ahead, distinct, Depth::Inner)?;
            let codes = codes::decode_at(&mut ahead, count, distinct, wanted)?;
            let value = |code: u32| values[code as usize].wrapping_mul(scale).wrapping_add(base);
            codes.into_iter().map(value).collect()
        }
        _ => {
            let values = decode(from, count, depth)?;
            return Ok(wanted.iter().map(|at| values[*at]).collect());
        }
    };
    *from = ahead;
    Ok(values)
}

/// The residuals at some positions of a packed stream.
fn frames_at(from: &mut Cursor<'_>, count: usize, wanted: &[usize]) -> Decoded<Vec<u64>> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_unstable_by_key(|at| wanted[*at]);
    let mut order = order.into_iter().peekable();
    let mut out = vec![0; wanted.len()];
    let mut frame = [0u64; FRAME];
    for start in (0..count).step_by(FRAME) {
        let frame = &mut frame[..FRAME.min(count - start)];
        let inside = |at: &usize| wanted[*at] < start + FRAME;
        if order.peek().is_some_and(inside) {
            read_frames(from, frame, false)?;
            while let Some(at) = order.next_if(inside) {
                out[at] = frame[wanted[at] - start];
            }
        } else {
            skip_frame(from, frame.len())?;
        }
    }
    Ok(out)
}

/// Passes over a frame of a packed stream.
fn skip_frame(from: &mut Cursor<'_>, count: usize) -> Decoded<()> {
    let width = from.u8()?;
    if width > 64 {
        return Err(Malformed("a packed integer is wider than 64 bits"));
    }
    let exceptions = usize::from(from.u8()?);
    from.varint()?;
    from.take(frame_len(count, width))?;
    from.take(exceptions)?;
    for _ in 0..exceptions {
        from.varint()?;
    }
    Ok(())
}

fn read_frames(from: &mut Cursor<'_>, values: &mut [u64], delta: bool) -> Decoded<()> {
    let mut previous = 0u64;
    for frame in values.chunks_mut(FRAME) {
        let head = from.u8()?;
        let exceptions = usize::from(from.u8()?);
        let stored_base = from.varint()?;
        let width = head & !ZIGZAG;
        let zigzagged = head & ZIGZAG != 0;
        if zigzagged && !delta {
            return Err(Malformed(
                "a frame of plain integers is marked as differences",
            ));
        }
        unpack_frame(from, frame, width)?;
        if exceptions > 0 {
            patch(from, frame, exceptions, width)?;
        }
        match (delta, zigzagged) {
            (false, _) => {
                for value in frame {
                    *value = value.wrapping_add(stored_base);
                }
            }
            (true, false) => {
                let base = unzigzag(stored_base) as u64;
                for value in frame {
                    previous = previous.wrapping_add(value.wrapping_add(base));
                    *value = previous;
                }
            }
            (true, true) => {
                for value in frame {
                    previous = previous.wrapping_add(unzigzag(*value) as u64);
                    *value = previous;
                }
            }
        }
    }
    Ok(())
}

/// Adds the high bits of the values that did not fit the width of their frame.
fn patch(from: &mut Cursor<'_>, frame: &mut [u64], exceptions: usize, width: u8) -> Decoded<()> {
    if exceptions > frame.len() || width >= 64 {
        return Err(Malformed("a frame has more exceptions than values"));
    }
    for position in from.take(exceptions)? {
        let high = from.varint()?;
        let value = frame
            .get_mut(usize::from(*position))
            .ok_or(Malformed("an exception lies outside its frame"))?;
        *value |= high << width;
    }
    Ok(())
}
