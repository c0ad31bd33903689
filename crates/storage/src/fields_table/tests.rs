use std::path::Path;

use proptest::prelude::*;

use super::*;

fn open(builder: FieldsTableBuilder) -> FieldsTable {
    FieldsTable::open(builder.finish().into()).unwrap()
}

fn field<'t>(table: &'t FieldsTable, name: &str, kind: Kind) -> Option<&'t FieldInfo> {
    table.named(name).iter().find(|field| field.kind == kind)
}

fn listed(table: &FieldsTable, name: &str) -> Vec<(String, u64)> {
    let values = table.values(&table.named(name)[0]).unwrap();
    values
        .into_iter()
        .map(|value| (value.value, value.rows))
        .collect()
}

fn small() -> FieldsTableBuilder {
    let mut builder = FieldsTableBuilder::new();
    builder.add("service", Kind::Text, "checkout", 70);
    builder.add("service", Kind::Text, "cart", 20);
    builder.add("service", Kind::Text, "checkout", 5);
    builder.add("http.status_code", Kind::Int, "503", 2);
    builder.add("http.status_code", Kind::Text, "ok", 1);
    builder.add_unlisted("trace_id", Kind::Fixed16, 95, 12);
    builder
}

#[test]
fn counts_add_up() {
    let table = open(small());
    let names: Vec<(&str, Kind)> = table
        .fields()
        .iter()
        .map(|field| (&*field.name, field.kind))
        .collect();
    let expected = [
        ("http.status_code", Kind::Int),
        ("http.status_code", Kind::Text),
        ("service", Kind::Text),
        ("trace_id", Kind::Fixed16),
    ];
    assert_eq!(names, expected);
    assert_eq!(
        listed(&table, "service"),
        [("cart".to_owned(), 20), ("checkout".to_owned(), 75)]
    );
    let service = field(&table, "service", Kind::Text).unwrap();
    assert_eq!(
        (service.rows, service.distinct, service.unlisted_rows),
        (95, Distinct::Exactly(2), 0)
    );
    let trace = field(&table, "trace_id", Kind::Fixed16).unwrap();
    assert_eq!(
        (trace.rows, trace.distinct, trace.unlisted_rows),
        (95, Distinct::AtLeast(12), 95)
    );
    assert_eq!(field(&table, "service", Kind::Int), None);
    assert!(table.named("absent").is_empty());
    assert!(open(FieldsTableBuilder::new()).fields().is_empty());
}

#[test]
fn what_a_cap_cuts_is_counted() {
    let mut builder = FieldsTableBuilder::new();
    for n in 0..3000u64 {
        builder.add("user", Kind::Text, &format!("user-{n:04}"), 1 + n / 1500);
    }
    builder.add("path", Kind::Text, &"x".repeat(MAX_VALUE_BYTES + 1), 4);
    for n in 0..10_000u64 {
        builder.add("request", Kind::Text, &n.to_string(), 1);
    }
    builder.add("request", Kind::Text, "0", 5);
    let table = open(builder);
    let user = &table.named("user")[0];
    assert_eq!(
        (user.rows, user.distinct, user.listed),
        (4500, Distinct::Exactly(3000), 1000)
    );
    assert_eq!(user.unlisted_rows, 2500);
    assert_eq!(
        listed(&table, "user")[0],
        ("user-1500".to_owned(), 2),
        "the most frequent are kept"
    );
    let path = &table.named("path")[0];
    assert_eq!(
        (path.rows, path.distinct, path.unlisted_rows),
        (4, Distinct::AtLeast(1), 4)
    );
    let request = &table.named("request")[0];
    assert_eq!(
        (request.rows, request.distinct),
        (10_005, Distinct::AtLeast(4000))
    );
    assert_eq!(listed(&table, "request")[0], ("0".to_owned(), 6));
}

#[test]
fn merging_adds_counts_and_keeps_caps_visible() {
    let mut other = FieldsTableBuilder::new();
    other.add("service", Kind::Text, "cart", 1);
    other.add("service", Kind::Text, "payment", 9);
    other.add_unlisted("http.status_code", Kind::Int, 3, 2);
    let (first, second) = (open(small()), open(other));
    let merged = FieldsTable::open(merge(&[&first, &second]).unwrap().into()).unwrap();
    let expected = [
        ("cart".to_owned(), 21),
        ("checkout".to_owned(), 75),
        ("payment".to_owned(), 9),
    ];
    assert_eq!(listed(&merged, "service"), expected);
    assert_eq!(
        field(&merged, "service", Kind::Text).unwrap().distinct,
        Distinct::Exactly(3)
    );
    let status = field(&merged, "http.status_code", Kind::Int).unwrap();
    assert_eq!(
        (status.rows, status.distinct, status.unlisted_rows),
        (5, Distinct::AtLeast(2), 3)
    );
}

#[test]
fn attributes_share_what_a_table_lists() {
    let mut builder = FieldsTableBuilder::new();
    // A few have more values than their share, which many with few values leave to them.
    for field in 0..400 {
        let values = if field < 200 { 10 } else { 900 };
        for value in 0..values {
            let rows = 1 + u64::from(value == 7);
            builder.add(
                &format!("attr:{field:03}"),
                Kind::Text,
                &value.to_string(),
                rows,
            );
        }
    }
    for value in 0..900 {
        builder.add("service", Kind::Text, &value.to_string(), 1);
    }
    let table = open(builder);
    for (table, factor) in [
        (&table, 1),
        (
            &FieldsTable::open(merge(&[&table, &table]).unwrap().into()).unwrap(),
            2,
        ),
    ] {
        // How many values parts have in common is not looked at.
        let share = (MAX_VALUES - 200 * 10 * factor as usize) / 200;
        assert_eq!(table.named("service")[0].listed, 900);
        for field in table
            .fields()
            .iter()
            .filter(|field| field.name.starts_with("attr:"))
        {
            let few = &*field.name < "attr:200";
            let (listed, rows) = if few { (10, 11) } else { (share, 901) };
            assert_eq!(
                (field.listed, field.rows),
                (listed, rows * factor),
                "{}",
                field.name
            );
            let values = table.values(field).unwrap();
            let often = values.iter().find(|value| value.value == "7").unwrap();
            assert_eq!(often.rows, 2 * factor, "the most frequent are kept");
            let rows: u64 = values.iter().map(|value| value.rows).sum();
            assert_eq!(rows + field.unlisted_rows, field.rows);
            assert_eq!(field.distinct.known(), if few { 10 } else { 900 });
        }
    }
}

#[test]
fn too_many_fields_are_counted() {
    let mut builder = FieldsTableBuilder::new();
    for n in 0..MAX_FIELDS + 10 {
        builder.add(&format!("key-{n}"), Kind::Text, "v", 2);
    }
    builder.add(&"k".repeat(MAX_FIELD_NAME_BYTES + 1), Kind::Text, "v", 3);
    let table = open(builder);
    assert_eq!(table.fields().len(), MAX_FIELDS);
    assert_eq!(table.unlisted_field_rows(), 23);
}

#[test]
fn a_flipped_bit_is_an_error() {
    let bytes = small().finish();
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1 << (position % 8);
        if let Ok(table) = FieldsTable::open(damaged.into()) {
            let damaged = table
                .fields()
                .iter()
                .any(|field| table.values(field).is_err());
            assert!(damaged, "byte {position}");
        }
    }
    for length in 0..bytes.len() {
        assert!(FieldsTable::open(Bytes::copy_from_slice(&bytes[..length])).is_err());
    }
}

#[test]
fn the_golden_table_stays_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/fields-v1.bin");
    let written = small().finish();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let stored = std::fs::read(&path).unwrap();
    let table = FieldsTable::open(stored.clone().into()).unwrap();
    assert_eq!(
        listed(&table, "service"),
        [("cart".to_owned(), 20), ("checkout".to_owned(), 75)]
    );
    assert!(
        stored == written,
        "the writer no longer writes what version 1 wrote; decide on a new version"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_values(values in prop::collection::btree_map(".{0,20}", 1u64..1000, 0..200)) {
        let mut builder = FieldsTableBuilder::new();
        for (value, rows) in &values {
            builder.add("f", Kind::Text, value, *rows);
        }
        let table = open(builder);
        if !values.is_empty() {
            prop_assert_eq!(listed(&table, "f"), values.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_random_directory_does_no_harm(directory in prop::collection::vec(any::<u8>(), 0..120), sections in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[1, 0, 0, 0]);
        bytes.extend_from_slice(&sections);
        bytes.extend_from_slice(&directory);
        bytes.extend_from_slice(&(directory.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&directory).to_le_bytes());
        bytes.extend_from_slice(&[1, 0, 0, 0]);
        bytes.extend_from_slice(&MAGIC);
        if let Ok(table) = FieldsTable::open(bytes.into()) {
            for field in table.fields() {
                let _ = table.values(field);
            }
        }
        let _ = read_values(&sections, 7);
    }
}
