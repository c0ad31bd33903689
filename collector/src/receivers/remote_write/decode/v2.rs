//! `io.prometheus.write.v2.Request`, version 2.0: 4 symbol, 5 series {1 references to the symbols
//! of names and values in turn, 2 sample, 3 histogram, 4 exemplar {1 references, ...}, 5 metadata
//! {1 type, 3 help, 4 unit}, 6 start of its counter, as drafts had it}.

use model::row::{Reject, RowSink, Undecoded};
use model::wire::{Field, Reader};

use super::labels::Labels;
use super::{ExemplarLabels, Fields, Request, push};

const FIELDS: Fields = Fields {
    samples: 2,
    histograms: 3,
    exemplars: 4,
};

pub(super) fn decode(message: &[u8], sink: &mut dyn RowSink) -> Result<(), Undecoded> {
    let root = Reader::new(message);
    let mut symbols = Symbols::default();
    let mut reader = root.clone();
    while let Some((number, field)) = reader.next()? {
        if number == 4 {
            push(&mut symbols.list, field.text(&reader)?, sink)?;
        }
    }
    let mut request = Request::default();
    let mut reader = root.clone();
    while let Some((number, field)) = reader.next()? {
        if number == 5 {
            let message = field.bytes(&reader)?;
            let labels = Labels::new(message, &mut request.labels);
            let series = symbols.series(&reader, message, labels, sink)?;
            push(&mut request.series, series, sink)?;
        }
    }
    request.emit(&root, FIELDS, &symbols, sink)
}

#[derive(Debug, Default)]
struct Symbols<'a> {
    list: Vec<&'a str>,
}

impl<'a> Symbols<'a> {
    #[inline]
    fn get(&self, reference: u64) -> Option<&'a str> {
        self.list.get(usize::try_from(reference).ok()?).copied()
    }

    fn series(
        &self,
        parent: &Reader<'a>,
        message: &'a [u8],
        mut labels: Labels<'_, 'a>,
        sink: &mut dyn RowSink,
    ) -> Result<super::Series<'a>, Undecoded> {
        let mut name = None;
        let mut reader = parent.nested(message);
        while let Some((number, field)) = reader.next()? {
            match number {
                1 => each_reference(&reader, field, &mut |reference| {
                    let Some(symbol) = self.get(reference) else {
                        labels.refuse(Reject::UnknownSymbol);
                        return Ok(());
                    };
                    match name.take() {
                        None => name = Some(symbol),
                        Some(name) => labels.push(name, symbol, sink)?,
                    }
                    Ok(())
                })?,
                5 => self.metadata(&reader, field, &mut labels)?,
                #[allow(clippy::cast_possible_wrap)]
                6 => labels.series().start_ms = field.varint(&reader)? as i64,
                _ => {}
            }
        }
        if name.is_some() {
            // A name without a value.
            labels.refuse(Reject::EmptyLabel);
        }
        Ok(labels.finish())
    }

    fn metadata(
        &self,
        parent: &Reader<'a>,
        field: Field<'a>,
        labels: &mut Labels<'_, 'a>,
    ) -> Result<(), Undecoded> {
        let mut reader = parent.nested(field.bytes(parent)?);
        while let Some((number, field)) = reader.next()? {
            if !matches!(number, 1 | 3 | 4) {
                continue;
            }
            let value = field.varint(&reader)?;
            let text = self.get(value);
            let info = &mut labels.series().metric;
            match (number, text) {
                (1, _) => info.kind = super::kind_name(value),
                (3, Some(text)) => info.help = text,
                (4, Some(text)) => info.unit = text,
                _ => labels.refuse(Reject::UnknownSymbol),
            }
        }
        Ok(())
    }
}

/// Calls `take` for each reference of a repeated field, packed or not.
fn each_reference(
    reader: &Reader<'_>,
    field: Field<'_>,
    take: &mut dyn FnMut(u64) -> Result<(), Undecoded>,
) -> Result<(), Undecoded> {
    let Field::Bytes(packed) = field else {
        return take(field.varint(reader)?);
    };
    let mut inner = Reader::new(packed);
    while !inner.is_empty() {
        take(inner.varint()?)?;
    }
    Ok(())
}

impl<'a> ExemplarLabels<'a> for Symbols<'a> {
    /// A reference to nothing is left out with its pair.
    fn field(
        &self,
        reader: &Reader<'a>,
        field: Field<'a>,
        list: &mut Vec<(&'a str, &'a str)>,
    ) -> Result<(), Undecoded> {
        let mut name = None;
        each_reference(reader, field, &mut |reference| {
            let symbol = self.get(reference).unwrap_or_default();
            match name.take() {
                None => name = Some(symbol),
                Some(name) => list.push((name, symbol)),
            }
            Ok(())
        })
    }
}
