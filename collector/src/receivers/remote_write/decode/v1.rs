//! `prometheus.WriteRequest`, version 1.0: 1 series {1 label {1 name, 2 value}, 2 sample,
//! 3 exemplar {1 label, ...}, 4 histogram}, 3 metadata {1 type, 2 family, 4 help, 5 unit}.

use model::row::{RowSink, Undecoded};
use model::wire::{EMPTY, Field, Reader};

use super::labels::Labels;
use super::{ExemplarLabels, Fields, MetricInfo, Request, push};

const FIELDS: Fields = Fields {
    samples: 2,
    histograms: 4,
    exemplars: 3,
};

pub(super) fn decode(message: &[u8], sink: &mut dyn RowSink) -> Result<(), Undecoded> {
    let root = Reader::new(message);
    let mut request = Request::default();
    let mut reader = root.clone();
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => {
                let message = field.bytes(&reader)?;
                let mut labels = Labels::new(message, &mut request.labels);
                let mut inner = reader.nested(message);
                while let Some((number, field)) = inner.next()? {
                    if number == 1 {
                        let (name, value) = label(&inner, field)?;
                        labels.push(name, value, sink)?;
                    }
                }
                let series = labels.finish();
                push(&mut request.series, series, sink)?;
            }
            3 => {
                let family = family(&reader, field)?;
                if !family.name.is_empty() {
                    push(&mut request.families, family, sink)?;
                }
            }
            _ => {}
        }
    }
    request.emit(&root, FIELDS, &InFull, sink)
}

#[inline]
fn label<'a>(
    parent: &Reader<'a>,
    field: Field<'a>,
) -> Result<(&'a str, &'a str), model::row::DecodeError> {
    let (mut name, mut value) = (EMPTY, EMPTY);
    let mut reader = parent.nested(field.bytes(parent)?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => name = field.text(&reader)?,
            2 => value = field.text(&reader)?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn family<'a>(
    parent: &Reader<'a>,
    field: Field<'a>,
) -> Result<MetricInfo<'a>, model::row::DecodeError> {
    let mut info = MetricInfo {
        kind: super::kind_name(0),
        ..MetricInfo::default()
    };
    let mut reader = parent.nested(field.bytes(parent)?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => info.kind = super::kind_name(field.varint(&reader)?),
            2 => info.name = field.text(&reader)?,
            4 => info.help = field.text(&reader)?,
            5 => info.unit = field.text(&reader)?,
            _ => {}
        }
    }
    Ok(info)
}

/// Labels of exemplars as pairs.
struct InFull;

impl<'a> ExemplarLabels<'a> for InFull {
    fn field(
        &self,
        reader: &Reader<'a>,
        field: Field<'a>,
        list: &mut Vec<(&'a str, &'a str)>,
    ) -> Result<(), Undecoded> {
        list.push(label(reader, field)?);
        Ok(())
    }
}
