//! Text and bytes columns: distinct values, and a code for each value.
//!
//! The payload starts with the bytes of all distinct values (varint), their number (varint) and the codes. In the
//! dictionary encoding the distinct values follow as strings. In the template encoding follow: the number of
//! templates (varint), the templates as strings in which each byte 0 stands for a variable, the template of each
//! distinct value as codes, the length of each template's section as a stream of integers, and the sections: for
//! each variable of the template, left to right, the variables of all values of the template in their order.

use super::codes::{self, Strings, decode_strings, encode_strings};
use super::distinct::{Distinct, Table};
use super::ints::{self, Depth};
use super::tokens::{self, PLACE, Splitter, Variables};
use super::wire::{Cursor, Decoded, MAX_DECODED_BYTES, Malformed, compress, put_varint};
use xxhash_rust::xxh3::xxh3_64;

/// Columns with fewer distinct values are never split into templates.
const MIN_TEMPLATED: usize = 32;

/// After this many values the number of templates tells whether they are worth the work.
const SAMPLE: usize = 96;

/// Templates that shrink the text at least this many times are taken without comparing them with compression.
const CLEAR_WIN: usize = 5;

/// What was chosen for a column: the templates, where these are used, and how many distinct values there are.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) templates: Option<Templated>,
    pub(crate) distinct: usize,
}

/// The templates of a column as they are stored, and which of them each distinct value has.
#[derive(Debug)]
pub(crate) struct Templated {
    pub(crate) texts: Strings,
    pub(crate) of: Vec<u32>,
}

/// Appends the payload of a column, whose distinct values are known; fails with the bytes of all distinct values when
/// they exceed the limit.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    values: &[&[u8]],
    found: &Distinct,
) -> Result<Chosen, usize> {
    let chosen: Vec<&[u8]> = found.first.iter().map(|at| values[*at as usize]).collect();
    let total: usize = chosen.iter().map(|value| value.len()).sum();
    if total > MAX_DECODED_BYTES {
        return Err(total);
    }
    put_varint(out, total as u64);
    put_varint(out, chosen.len() as u64);
    codes::encode(out, &found.codes, chosen.len());
    let start = out.len();
    let mut templates = None;
    if chosen.len() > MIN_TEMPLATED {
        templates = encode_templates(out, &chosen);
    }
    let templated = out.len() - start;
    if templates.is_none() {
        encode_strings(out, &chosen);
    } else if templated * CLEAR_WIN > total && may_compress_below(&chosen, total, templated) {
        let mut plain = Vec::new();
        encode_strings(&mut plain, &chosen);
        // Templates also answer searches, so they are kept when they are about as small.
        if plain.len() + plain.len() / 16 < templated {
            out.truncate(start);
            out.extend_from_slice(&plain);
            templates = None;
        }
    }
    Ok(Chosen {
        templates,
        distinct: chosen.len(),
    })
}

/// Whether compressing a few values suggests that all of them take less than about `bytes`, so that it is worth
/// compressing them all.
fn may_compress_below(values: &[&[u8]], total: usize, bytes: usize) -> bool {
    const SAMPLE_BYTES: usize = 16 << 10;
    let mut sample = Vec::with_capacity(SAMPLE_BYTES);
    for value in values {
        if sample.len() + value.len() > SAMPLE_BYTES {
            break;
        }
        sample.extend_from_slice(value);
    }
    match compress(&sample) {
        Some(compressed) if !sample.is_empty() => {
            let estimate = compressed.len() as u64 * total as u64 / sample.len() as u64;
            // More text compresses better than a sample of it, so the estimate may be a quarter too high.
            estimate * 4 < bytes as u64 * 5
        }
        _ => true,
    }
}

/// Appends values as templates and variables; None, with nothing appended, when the values share no templates.
fn encode_templates(out: &mut Vec<u8>, values: &[&[u8]]) -> Option<Templated> {
    let mut splitter = Splitter::default();
    let mut table = Table::for_entries(256);
    let mut templates = Strings::new();
    let mut template_of: Vec<u32> = Vec::with_capacity(values.len());
    let mut first_variable: Vec<u32> = Vec::with_capacity(values.len());
    for (position, value) in values.iter().enumerate() {
        first_variable.push(splitter.variables.len() as u32);
        splitter.split(value);
        let template = &splitter.template;
        let hash = xxh3_64(template);
        let (number, new) = table.number(hash, |number| templates.get(number as usize) == template);
        if new {
            templates.buffer.extend_from_slice(template);
            templates.end();
        }
        template_of.push(number);
        let too_many = |seen: usize| templates.len() * 4 > seen * 3;
        if position + 1 == SAMPLE.min(values.len()) && too_many(position + 1) {
            return None;
        }
    }
    put_varint(out, templates.len() as u64);
    let texts: Vec<&[u8]> = (0..templates.len())
        .map(|number| templates.get(number))
        .collect();
    encode_strings(out, &texts);
    codes::encode(out, &template_of, templates.len());

    let members = by_template(&template_of, templates.len());
    let mut sections = Vec::new();
    let mut lengths: Vec<u64> = Vec::with_capacity(templates.len());
    let mut place: Vec<&[u8]> = Vec::new();
    for (template, members) in texts.iter().zip(&members) {
        let start = sections.len();
        let places = count_places(template);
        for variable in 0..places {
            place.clear();
            let starts = members
                .iter()
                .map(|value| first_variable[*value as usize] as usize);
            place.extend(starts.map(|start| splitter.variables[start + variable]));
            // Different texts of a template with one variable differ in that variable.
            tokens::encode(&mut sections, &place, places == 1);
        }
        lengths.push((sections.len() - start) as u64);
    }
    ints::encode_unsigned(out, &lengths, Depth::Outer);
    out.extend_from_slice(&sections);
    Some(Templated {
        texts: templates,
        of: template_of,
    })
}

/// The values of each template.
fn by_template(template_of: &[u32], templates: usize) -> Vec<Vec<u32>> {
    let mut counts = vec![0usize; templates];
    for template in template_of {
        counts[*template as usize] += 1;
    }
    let mut members: Vec<Vec<u32>> = counts.into_iter().map(Vec::with_capacity).collect();
    for (value, template) in template_of.iter().enumerate() {
        members[*template as usize].push(value as u32);
    }
    members
}

fn count_places(template: &[u8]) -> usize {
    template.iter().filter(|byte| **byte == PLACE).count()
}

/// The parts of a payload that both encodings share.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) total: usize,
    pub(crate) distinct: usize,
    pub(crate) codes: Vec<u32>,
}

/// Reads what precedes the distinct values.
pub(crate) fn decode_head(from: &mut Cursor<'_>, count: usize) -> Decoded<Head> {
    let total = from.bounded(MAX_DECODED_BYTES, "its text is larger than the limit")?;
    let distinct = from.bounded(count, "there are more distinct values than values")?;
    let codes = codes::decode(from, count, distinct)?;
    Ok(Head {
        total,
        distinct,
        codes,
    })
}

/// The same with the codes of some values only, in the order asked for.
pub(crate) fn decode_head_at(
    from: &mut Cursor<'_>,
    count: usize,
    wanted: &[usize],
) -> Decoded<Head> {
    let total = from.bounded(MAX_DECODED_BYTES, "its text is larger than the limit")?;
    let distinct = from.bounded(count, "there are more distinct values than values")?;
    let codes = codes::decode_at(from, count, distinct, wanted)?;
    Ok(Head {
        total,
        distinct,
        codes,
    })
}

/// Reads the distinct values of a dictionary.
pub(crate) fn decode_dictionary(mut from: Cursor<'_>, head: &Head) -> Decoded<Strings> {
    let strings = decode_strings(&mut from, head.distinct)?;
    if strings.buffer.len() != head.total {
        return Err(Malformed("its text has not the stated length"));
    }
    from.finish()?;
    Ok(strings)
}

/// Templates whose variables have not been read.
#[derive(Debug)]
pub(crate) struct Templates {
    pub(crate) texts: Strings,
    /// The template of each distinct value.
    pub(crate) template_of: Vec<u32>,
    /// Where each template's section starts in the bytes after the head, and where the last one ends.
    starts: Vec<usize>,
    total: usize,
}

/// Reads templates and codes; the sections stay as they are.
pub(crate) fn decode_templates(bytes: &[u8], head: &Head) -> Decoded<Templates> {
    let mut from = Cursor::new(bytes);
    let count = from.bounded(head.distinct, "there are more templates than values")?;
    let texts = decode_strings(&mut from, count)?;
    let template_of = codes::decode(&mut from, head.distinct, count)?;
    let lengths = ints::decode(&mut from, count, Depth::Outer)?;
    let mut start = bytes.len() - from.remaining();
    let mut starts = vec![start];
    for length in lengths {
        start = usize::try_from(length)
            .ok()
            .and_then(|length| start.checked_add(length))
            .filter(|end| *end <= bytes.len())
            .ok_or(Malformed("template sections are longer than the column"))?;
        starts.push(start);
    }
    if start != bytes.len() {
        return Err(Malformed("bytes are left over after its content"));
    }
    Ok(Templates {
        texts,
        template_of,
        starts,
        total: head.total,
    })
}

/// How often a code comes.
fn occurrences(codes: &[u32], code: u32) -> usize {
    // In parts, so that four of the counts fit where one of 64 bits would.
    let part = |codes: &[u32]| {
        codes
            .iter()
            .map(|other| u32::from(*other == code))
            .sum::<u32>()
    };
    codes
        .chunks(1 << 16)
        .map(|codes| part(codes) as usize)
        .sum()
}

/// The decoded variables of one template.
struct Section<'a> {
    literals: Vec<&'a [u8]>,
    variables: Vec<Variables>,
    next: usize,
}

impl Section<'_> {
    /// Appends the next value of the template.
    fn write(&mut self, out: &mut Vec<u8>) {
        self.write_at(self.next, out);
        self.next += 1;
    }

    /// Appends the value that comes at this place among those of the template.
    fn write_at(&self, rank: usize, out: &mut Vec<u8>) {
        for (position, literal) in self.literals.iter().enumerate() {
            out.extend_from_slice(literal);
            if let Some(variables) = self.variables.get(position) {
                variables.write(rank, out);
            }
        }
    }
}

impl Templates {
    /// Reads the variables of `members` values of one template.
    fn section(&self, bytes: &[u8], template: usize, members: usize) -> Decoded<Section<'_>> {
        let mut from = Cursor::new(&bytes[self.starts[template]..self.starts[template + 1]]);
        let literals: Vec<&[u8]> = self
            .texts
            .get(template)
            .split(|byte| *byte == PLACE)
            .collect();
        let places = literals.len() - 1;
        // Every variable is at least one byte of text, so this bounds what the streams may decode to.
        if places.saturating_mul(members) > self.total {
            return Err(Malformed("there are more variables than text"));
        }
        let mut variables = Vec::new();
        for _ in 0..places {
            variables.push(tokens::decode(&mut from, members)?);
        }
        from.finish()?;
        Ok(Section {
            literals,
            variables,
            next: 0,
        })
    }

    /// Builds all distinct values. `bytes` are those that the templates were read from.
    pub(crate) fn render(&self, bytes: &[u8]) -> Decoded<Strings> {
        let mut counts = vec![0usize; self.texts.len()];
        for template in &self.template_of {
            counts[*template as usize] += 1;
        }
        let places: usize = (0..counts.len())
            .map(|template| counts[template].saturating_mul(count_places(self.texts.get(template))))
            .fold(0, usize::saturating_add);
        if places > self.total {
            return Err(Malformed("there are more variables than text"));
        }
        let mut sections = Vec::with_capacity(counts.len());
        for (template, members) in counts.iter().enumerate() {
            sections.push(self.section(bytes, template, *members)?);
        }
        let mut strings = Strings::new();
        strings.buffer.reserve(self.total);
        strings.offsets.reserve(self.template_of.len());
        for template in &self.template_of {
            sections[*template as usize].write(&mut strings.buffer);
            if strings.buffer.len() > self.total {
                return Err(Malformed("its text is longer than stated"));
            }
            strings.end();
        }
        if strings.buffer.len() != self.total {
            return Err(Malformed("its text has not the stated length"));
        }
        Ok(strings)
    }

    /// Builds some of the distinct values, in the order asked for; the others cost next to nothing.
    pub(crate) fn render_some(&self, bytes: &[u8], wanted: &[u32]) -> Decoded<Strings> {
        let ranks = self.ranks(wanted);
        let mut sections: Vec<Option<Section<'_>>> = std::iter::repeat_with(|| None)
            .take(self.texts.len())
            .collect();
        let mut strings = Strings::new();
        for (value, rank) in wanted.iter().zip(ranks) {
            let template = self.template_of[*value as usize];
            let section = match &mut sections[template as usize] {
                Some(section) => section,
                none => {
                    let members = occurrences(&self.template_of, template);
                    none.insert(self.section(bytes, template as usize, members)?)
                }
            };
            let start = strings.buffer.len();
            section.write_at(rank, &mut strings.buffer);
            if strings.buffer.len() - start > self.total {
                return Err(Malformed("its text is longer than stated"));
            }
            strings.end();
        }
        Ok(strings)
    }

    /// How many values of the same template come before each of these.
    fn ranks(&self, values: &[u32]) -> Vec<usize> {
        const FEW: usize = 32;
        if values.len() <= FEW {
            let before = |value: &u32| {
                let (before, from) = self.template_of.split_at(*value as usize);
                occurrences(before, from[0])
            };
            return values.iter().map(before).collect();
        }
        let mut counts = vec![0; self.texts.len()];
        let rank = |template: &u32| {
            let count: &mut usize = &mut counts[*template as usize];
            *count += 1;
            *count - 1
        };
        let ranks: Vec<usize> = self.template_of.iter().map(rank).collect();
        values.iter().map(|value| ranks[*value as usize]).collect()
    }

    /// Builds the distinct values of one template, in the order in which they come in the column.
    pub(crate) fn render_one(&self, bytes: &[u8], template: usize) -> Decoded<Strings> {
        let same = |code: &&u32| **code as usize == template;
        let members = self.template_of.iter().filter(same).count();
        let mut section = self.section(bytes, template, members)?;
        let mut strings = Strings::new();
        for _ in 0..members {
            section.write(&mut strings.buffer);
            if strings.buffer.len() > self.total {
                return Err(Malformed("its text is longer than stated"));
            }
            strings.end();
        }
        Ok(strings)
    }
}
