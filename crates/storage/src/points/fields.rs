//! The table of field values of a file of points, counted by series.

use model::{KeyValue, Value};

use super::SeriesEntry;
use crate::block::Kind;
use crate::fields_table::FieldsTableBuilder;
use crate::filter::Level;
use crate::table::visible;
use crate::terms::table_name;

/// Counts the fields of a series of so many points.
pub(super) fn count(fields: &mut FieldsTableBuilder, entry: &SeriesEntry, rows: u64) {
    let resource = &entry.resource.value;
    let intrinsics = [
        ("service", resource.service()),
        ("name", entry.metric.value.name.as_str()),
    ];
    for (name, text) in intrinsics {
        fields.add(name, Kind::Text, text, rows);
    }
    attributes(fields, Level::Resource, &resource.attributes, rows);
    attributes(fields, Level::Scope, &entry.scope.value.attributes, rows);
    attributes(fields, Level::Row, &entry.attributes(), rows);
}

fn attributes(fields: &mut FieldsTableBuilder, level: Level, list: &[KeyValue], rows: u64) {
    for attribute in visible(list) {
        let name = table_name(level, &attribute.key);
        match &attribute.value {
            Value::Str(text) => fields.add(&name, Kind::Text, text, rows),
            Value::Bool(flag) => {
                let text = if *flag { "true" } else { "false" };
                fields.add(&name, Kind::Bool, text, rows);
            }
            Value::Int(int) => fields.add(&name, Kind::Int, &int.to_string(), rows),
            Value::Double(_) => fields.add_unlisted(&name, Kind::Double, rows, 1),
            _ => fields.add_unlisted(&name, Kind::Bytes, rows, 1),
        }
    }
}
