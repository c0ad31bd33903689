//! Merges tables, field by field.
//!
//! The values of one field are in memory at a time, however many fields there are.

use super::{
    Distinct, FieldInfo, FieldsTable, FieldsTableError, FieldsTableWriter, Listed, Rest, share,
};

/// Merges tables into one.
pub fn merge(tables: &[&FieldsTable]) -> Result<Vec<u8>, FieldsTableError> {
    let mut all: Vec<(&FieldsTable, &FieldInfo)> = Vec::new();
    for table in tables {
        all.extend(table.fields.iter().map(|field| (*table, field)));
    }
    // Each table is in order already.
    all.sort_by(|(_, a), (_, b)| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
    let same = |a: &(&FieldsTable, &FieldInfo), b: &(&FieldsTable, &FieldInfo)| {
        (&a.1.name, a.1.kind) == (&b.1.name, b.1.kind)
    };
    let listed = all.chunk_by(same).map(|parts| {
        let count = parts.iter().map(|(_, field)| field.listed).sum();
        (&*parts[0].1.name, count)
    });
    let mut writer = FieldsTableWriter::new(share(listed));
    for table in tables {
        writer.unlisted_fields(table.unlisted_field_rows);
    }
    for parts in all.chunk_by(same) {
        let listed = parts.iter().map(|(table, field)| table.listed(field));
        let listed: Vec<Listed> = listed.collect::<Result<_, _>>()?;
        let mut values: Vec<(&str, u64)> = listed.iter().flat_map(Listed::iter).collect();
        values.sort_by(|a, b| a.0.cmp(b.0));
        values.dedup_by(|again, first| {
            let same = again.0 == first.0;
            if same {
                first.1 = first.1.saturating_add(again.1);
            }
            same
        });
        let field = parts[0].1;
        writer.write(&field.name, field.kind, values, rest(parts));
    }
    Ok(writer.finish())
}

/// What the parts of a field do not list.
fn rest(parts: &[(&FieldsTable, &FieldInfo)]) -> Rest {
    let mut rest = Rest::default();
    for (_, field) in parts {
        let all = field.distinct == Distinct::Exactly(field.listed as u64);
        if field.unlisted_rows > 0 || !all {
            rest.rows = rest.rows.saturating_add(field.unlisted_rows);
            rest.at_least = rest.at_least.max(field.distinct.known());
            rest.bounded = true;
        }
    }
    rest
}
