use std::borrow::Cow;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

mod golden;

fn block(name: &str, values: Values<'_>) -> BlockReader {
    let mut writer = BlockWriter::new(values.len() as u32);
    writer.column(name, values);
    BlockReader::open(writer.finish().unwrap().into()).unwrap()
}

fn bytes_of(reader: &BlockReader, name: &str) -> usize {
    reader
        .named(name)
        .iter()
        .map(|column| column.bytes as usize)
        .sum()
}

fn encoding_of(reader: &BlockReader, name: &str) -> Encoding {
    reader.named(name)[0].encoding
}

fn check_ints(values: &[i64]) -> BlockReader {
    let reader = block("x", Values::Int(values.into()));
    assert_eq!(reader.ints("x").unwrap().unwrap(), values);
    let unsigned: Vec<u64> = values.iter().map(|value| *value as u64).collect();
    let other = block("x", Values::UInt((&unsigned).into()));
    assert_eq!(other.uints("x").unwrap().unwrap(), unsigned);
    reader
}

fn check_bytes(values: &[&[u8]]) -> BlockReader {
    let reader = block("x", Values::Bytes(values.to_vec()));
    let read = reader.bytes("x").unwrap().unwrap();
    assert_eq!(read.iter().collect::<Vec<_>>(), values);
    if let Some(templates) = reader.templates("x", Kind::Bytes).unwrap() {
        for template in 0..templates.templates() {
            let of_template = templates.template_of().iter().enumerate();
            let members = of_template.filter(|(_, found)| **found as usize == template);
            let expected: Vec<&[u8]> = members.map(|(code, _)| read.value(code as u32)).collect();
            assert_eq!(
                templates
                    .render(template)
                    .unwrap()
                    .iter()
                    .collect::<Vec<_>>(),
                expected
            );
        }
    }
    reader
}

fn check_text(values: &[String]) -> BlockReader {
    let slices: Vec<&str> = values.iter().map(String::as_str).collect();
    let bytes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
    check_bytes(&bytes);
    let reader = block("x", Values::Text(slices.clone()));
    let read = reader.text("x").unwrap().unwrap();
    assert_eq!(read.iter().collect::<Vec<_>>(), slices);
    reader
}

fn check_doubles(values: &[f64]) -> BlockReader {
    let reader = block("x", Values::Double(values.into()));
    let bits = |values: &[f64]| {
        values
            .iter()
            .map(|value| value.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&reader.doubles("x").unwrap().unwrap()), bits(values));
    reader
}

#[test]
fn no_rows_and_no_columns() {
    let reader = BlockReader::open(BlockWriter::new(0).finish().unwrap().into()).unwrap();
    assert_eq!((reader.rows(), reader.columns().len()), (0, 0));
    let mut writer = BlockWriter::new(0);
    writer.column("i", Values::Int(Cow::Borrowed(&[])));
    writer.column("d", Values::Double(Cow::Borrowed(&[])));
    writer.column("t", Values::Text(vec![]));
    writer.column("f", Values::Fixed16(Cow::Borrowed(&[])));
    writer.column("b", Values::Bool(Cow::Borrowed(&[])));
    let reader = BlockReader::open(writer.finish().unwrap().into()).unwrap();
    assert_eq!(reader.ints("i").unwrap(), Some(vec![]));
    assert_eq!(reader.doubles("d").unwrap(), Some(vec![]));
    assert_eq!(reader.bools("b").unwrap(), Some(vec![]));
    assert_eq!(reader.fixed16("f").unwrap(), Some(vec![]));
    assert!(reader.text("t").unwrap().unwrap().is_empty());
    assert_eq!(reader.text("i").unwrap(), None);
}

#[test]
fn columns_are_found_by_name_and_kind() {
    let mut writer = BlockWriter::new(3);
    writer.column("span.attr:size", Values::Int(Cow::Borrowed(&[1, -5])));
    writer.column("span.attr:size", Values::Text(vec!["large"]));
    writer.column("time", Values::UInt(Cow::Borrowed(&[7, 8, 9])));
    writer.column(
        "span.attr:größe",
        Values::Double(Cow::Borrowed(&[1.5, f64::NAN, -2.0])),
    );
    let reader = BlockReader::open(writer.finish().unwrap().into()).unwrap();
    let names: Vec<String> = reader
        .columns()
        .map(|column| column.id.to_string())
        .collect();
    let expected = [
        "\"span.attr:größe\" (Double)",
        "\"span.attr:size\" (Int)",
        "\"span.attr:size\" (Text)",
        "\"time\" (UInt)",
    ];
    assert_eq!(names, expected);
    assert_eq!(reader.named("span.attr:size").len(), 2);
    assert_eq!(reader.column("time", Kind::Int), None);
    let range = |name, kind| reader.column(name, kind).unwrap().range;
    assert_eq!(
        range("span.attr:size", Kind::Int),
        Some(Range::Int { min: -5, max: 1 })
    );
    assert_eq!(
        range("time", Kind::UInt),
        Some(Range::UInt { min: 7, max: 9 })
    );
    assert_eq!(
        range("span.attr:größe", Kind::Double),
        Some(Range::Double {
            min: -2.0,
            max: 1.5
        })
    );
}

#[test]
fn a_column_written_twice_is_refused() {
    let mut writer = BlockWriter::new(1);
    writer
        .column("a", Values::Text(vec!["x"]))
        .column("a", Values::Text(vec!["y"]));
    assert!(
        matches!(writer.finish(), Err(BlockError::Duplicate { column }) if &*column.name == "a")
    );
}

#[test]
fn integers_take_the_bits_that_they_need() {
    assert_eq!(bytes_of(&check_ints(&[-7; 4000]), "x"), 2);
    check_ints(&[i64::MIN, i64::MAX, 0, -1, 1]);
    let mut random = fastrand::Rng::with_seed(4);
    let small: Vec<i64> = (0..4096).map(|_| 1_000_000 + random.i64(0..1000)).collect();
    let reader = check_ints(&small);
    assert_eq!(encoding_of(&reader, "x"), Encoding::Packed);
    assert!(bytes_of(&reader, "x") <= 4096 * 10 / 8 + 32 * 5 + 8);
    let times: Vec<i64> = (0..4096)
        .map(|row| 1_700_000_000_000_000_000 + row * 1_000_000 + row * 37 % 1000)
        .collect();
    let reader = check_ints(&times);
    assert_eq!(encoding_of(&reader, "x"), Encoding::Delta);
    assert!(bytes_of(&reader, "x") <= 4096 * 11 / 8 + 32 * 7 + 32);
    // A clock of milliseconds costs the same as if the unit were milliseconds.
    let millis: Vec<i64> = (0..4096)
        .map(|row| (1_700_000_000_000 + row * row % 777) * 1_000_000)
        .collect();
    assert!(bytes_of(&check_ints(&millis), "x") <= 4096 * 10 / 8 + 32 * 5 + 32);
    let status: Vec<i64> = (0..4096)
        .map(|row| [200, 404, 503][row * row % 3])
        .collect();
    assert_eq!(encoding_of(&check_ints(&status), "x"), Encoding::Dictionary);
}

#[test]
fn one_outlier_does_not_widen_its_frame() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut values: Vec<i64> = (0..128).map(|_| random.i64(0..16)).collect();
    values.extend((0..128).map(|_| random.i64(0..1000)));
    let plain = bytes_of(&check_ints(&values), "x");
    values[60] = i64::MAX;
    assert!(bytes_of(&check_ints(&values), "x") < plain + 16);
}

#[test]
fn doubles_come_back_bit_for_bit() {
    let odd = [
        0.0,
        -0.0,
        f64::NAN,
        f64::from_bits(0x7ff0_dead_beef_0001),
        f64::INFINITY,
        f64::MIN_POSITIVE,
        5e-324,
    ];
    check_doubles(&odd);
    check_doubles(&odd.repeat(100));
    let decimals: Vec<f64> = (0..4000)
        .map(|row| f64::from(row * 7919 % 10_000) / 100.0)
        .collect();
    let reader = check_doubles(&decimals);
    assert_eq!(encoding_of(&reader, "x"), Encoding::Decimal);
    assert!(bytes_of(&reader, "x") < 4000 * 15 / 8 + 300);
    let mut with_nan = decimals;
    with_nan[17] = f64::NAN;
    with_nan[18] = -0.0;
    assert_eq!(
        encoding_of(&check_doubles(&with_nan), "x"),
        Encoding::Decimal
    );
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<f64> = (0..4000).map(|_| random.f64()).collect();
    assert!(bytes_of(&check_doubles(&noise), "x") <= 4000 * 8 + 16);
    check_doubles(&[1.5; 1000]);
}

#[test]
fn ids_cost_no_more_than_their_bytes() {
    let mut random = fastrand::Rng::with_seed(2);
    let unique: Vec<[u8; 8]> = (0..4000).map(|_| random.u64(..).to_le_bytes()).collect();
    let reader = block("x", Values::Fixed8((&unique).into()));
    assert_eq!(bytes_of(&reader, "x"), 4000 * 8);
    assert_eq!(reader.fixed8("x").unwrap().unwrap(), unique);
    let column = reader.fixed8_column("x").unwrap().unwrap();
    assert_eq!(column.at(77), &unique[77]);

    let traces: Vec<[u8; 16]> = (0..400).map(|_| random.u128(..).to_le_bytes()).collect();
    let rows: Vec<[u8; 16]> = (0..4000).map(|row| traces[row / 10]).collect();
    let reader = block("x", Values::Fixed16((&rows).into()));
    assert!(
        bytes_of(&reader, "x") <= 400 * 16 + 16,
        "rows of one trace cost nothing"
    );
    let column = reader.fixed16_column("x").unwrap().unwrap();
    assert!((30..40).all(|row| *column.at(row) == traces[3]));
    assert_eq!(column.into_vec(), rows);

    let texts: Vec<String> = (0..4000).map(|_| uuid(&mut random)).collect();
    assert!(
        bytes_of(&check_text(&texts), "x") <= 4000 * 16 + 64,
        "a UUID costs 16 bytes"
    );
}

fn uuid(random: &mut fastrand::Rng) -> String {
    let hex = format!("{:032x}", random.u128(..));
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

#[test]
fn only_distinct_text_counts_towards_the_limit() {
    let long = "x".repeat(1 << 20);
    let reader = block("x", Values::Text(vec![&long; 300]));
    assert!(bytes_of(&reader, "x") < 200);
    assert_eq!(reader.text("x").unwrap().unwrap().get(299), long);
    let large = vec![b'y'; MAX_TEXT_BYTES + 1];
    let mut writer = BlockWriter::new(1);
    writer.column("body", Values::Bytes(vec![&large]));
    assert!(matches!(writer.finish(), Err(BlockError::TooLarge { .. })));
}

#[test]
fn bools() {
    for values in [
        vec![true; 300],
        vec![false; 300],
        (0..300).map(|row| row % 7 == 0).collect(),
    ] {
        let reader = block("x", Values::Bool((&values).into()));
        assert_eq!(reader.bools("x").unwrap().unwrap(), values);
        assert!(bytes_of(&reader, "x") < 50);
    }
}

#[test]
fn log_lines_become_templates() {
    let lines: Vec<String> = (0..4000u64)
        .map(|row| match row % 3 {
            0 => format!(
                "order {} confirmed for user-{} in {}ms",
                100_000 + row,
                row * 7 % 500,
                row * 13 % 900
            ),
            1 => format!(
                "GET /api/items/{} -> {} ({:.2} s)",
                row * 31 % 9000,
                200 + row % 2,
                row as f64 / 77.0
            ),
            _ => format!(
                "balance {} at 2026-11-20T10:{:02}:{:02}.{:03}Z",
                50 - (row % 100) as i64,
                row % 60,
                row % 60,
                row % 1000
            ),
        })
        .collect();
    let reader = check_text(&lines);
    assert_eq!(encoding_of(&reader, "x"), Encoding::Templates);
    let raw: usize = lines.iter().map(String::len).sum();
    assert!(
        bytes_of(&reader, "x") * 8 < raw,
        "{} of {raw}",
        bytes_of(&reader, "x")
    );
    let templates = reader.templates("x", Kind::Text).unwrap().unwrap();
    assert_eq!(templates.templates(), 3);
    let literals: Vec<&[u8]> = templates.literals(0).collect();
    let expected: [&[u8]; 4] = [b"order ", b" confirmed for user-", b" in ", b"ms"];
    assert_eq!(literals, expected);
}

#[test]
fn awkward_text_comes_back_byte_for_byte() {
    let mut values: Vec<Vec<u8>> = [
        "",
        "0",
        "-0",
        "00",
        "007",
        "-",
        "--5",
        "a-5",
        "x=-5",
        "-5",
        "1-2",
        "-9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999",
        "1.5",
        "1.50",
        "-1.5e-07",
        "0x1F",
        "deadBEEF99",
        "DEADBEEF99",
        "ünï 5 cödé",
        "日本語12",
        "\u{0}",
        "a\u{0}5\u{0}",
        "123e4567-e89b-12d3-a456-426614174000",
        "123E4567-E89B-12D3-A456-426614174000",
        "123E4567-e89b-12D3-A456-426614174000",
        "12345678-1234-1234-1234-123456789012",
        "123e4567-e89b-12d3-a456-426614174000x",
        "x123e4567-e89b-12d3-a456-426614174000",
        "123e4567-e89b-12d3-a456-42661417400",
        "1h30m",
        "2026-11-20T10:00:00.000Z",
        "abc123def456",
        "a1b2c3d4e5f6g7",
        "v2",
        "12ms",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    values.push(vec![0xff, 0xfe, b'5', 0, 0x80]);
    values.push(b"7 ".repeat(500));
    values.push("é1".repeat(300).into_bytes());
    values.push(vec![b'z'; 2 << 20]);
    let one_each: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    check_bytes(&one_each);
    // Forced into templates by many neighbours of one shape.
    let neighbours: Vec<String> = (0..3000)
        .map(|row| format!("request {row} took {} ms", row * 17 % 1000))
        .collect();
    let mut mixed: Vec<&[u8]> = neighbours.iter().map(|line| line.as_bytes()).collect();
    mixed.extend(&one_each);
    check_bytes(&mixed);
    // Each of them at the same place of one template.
    let framed: Vec<Vec<u8>> = values[..values.len() - 1]
        .iter()
        .flat_map(|value| {
            (0..4).map(move |n| [b"id " as &[u8], value, format!(" end {n}").as_bytes()].concat())
        })
        .collect();
    check_bytes(&framed.iter().map(Vec::as_slice).collect::<Vec<_>>());
}

#[test]
fn damaged_columns_are_named() {
    let mut writer = BlockWriter::new(100);
    let values: Vec<i64> = (0..100).collect();
    writer
        .column("first", Values::Int((&values).into()))
        .column("second", Values::Int((&values).into()));
    let mut bytes = writer.finish().unwrap();
    bytes[HEADER_BYTES] ^= 1;
    let reader = BlockReader::open(bytes.into()).unwrap();
    let damaged = reader.ints("first").unwrap_err();
    assert!(matches!(&damaged, BlockError::ColumnChecksum { column } if &*column.name == "first"));
    assert_eq!(reader.ints("second").unwrap().unwrap(), values);
}

/// Reads a column and everything that it can be read as.
fn read(reader: &BlockReader, column: &ColumnInfo) -> Result<String, BlockError> {
    let name = &*column.id.name;
    if let Some(templates) = reader.templates(name, column.id.kind)? {
        for template in 0..templates.templates() {
            templates.render(template)?;
        }
    }
    Ok(match column.id.kind {
        Kind::Int => format!("{:?}", reader.ints(name)?),
        Kind::UInt => format!("{:?}", reader.uints(name)?),
        Kind::Double => format!("{:?}", reader.doubles(name)?),
        Kind::Bool => format!("{:?}", reader.bools(name)?),
        Kind::Text => format!("{:?}", reader.text(name)?),
        Kind::Bytes => format!("{:?}", reader.bytes(name)?),
        Kind::Fixed8 => format!("{:?}", reader.fixed8(name)?),
        Kind::Fixed16 => format!("{:?}", reader.fixed16(name)?),
    })
}

/// Where each column lies in the block.
fn extents(reader: &BlockReader) -> Vec<(std::ops::Range<usize>, ColumnInfo)> {
    let mut start = HEADER_BYTES;
    let mut extents = Vec::new();
    for column in reader.columns() {
        let end = start + column.bytes as usize;
        extents.push((start..end, column));
        start = end;
    }
    extents
}

#[test]
fn a_flipped_bit_is_an_error_that_names_the_column() {
    let bytes = golden::small_block();
    let columns = extents(&BlockReader::open(bytes.clone().into()).unwrap());
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1 << (position % 8);
        let opened = BlockReader::open(damaged.into());
        match columns
            .iter()
            .find(|(extent, _)| extent.contains(&position))
        {
            None => assert!(opened.is_err(), "byte {position}"),
            Some((_, column)) => {
                let error = read(&opened.unwrap(), column).unwrap_err();
                assert_eq!(
                    error,
                    BlockError::ColumnChecksum {
                        column: column.id.clone()
                    }
                );
            }
        }
    }
}

#[test]
fn decoders_survive_damage_that_checksums_do_not_show() {
    let bytes = golden::small_block();
    let intact = BlockReader::open(bytes.clone().into()).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    for (extent, column) in extents(&intact) {
        for position in extent.clone() {
            let mut damaged = bytes.clone();
            damaged[position] = random.u8(..);
            let checksum = crc32c::crc32c(&damaged[extent.clone()]);
            let reader = intact.with_damage(&column.id, damaged.into(), checksum);
            assert!(!matches!(
                read(&reader, &column),
                Err(BlockError::ColumnChecksum { .. })
            ));
        }
    }
}

#[test]
fn a_damaged_directory_does_no_harm_even_with_a_valid_checksum() {
    let bytes = golden::small_block();
    let end = bytes.len() - TRAILER_BYTES;
    let length = u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap()) as usize;
    let mut random = fastrand::Rng::with_seed(6);
    for position in end - length..end {
        for _ in 0..4 {
            let mut damaged = bytes.clone();
            damaged[position] = random.u8(..);
            let checksum = crc32c::crc32c(&damaged[end - length..end]);
            damaged[end + 4..end + 8].copy_from_slice(&checksum.to_le_bytes());
            if let Ok(reader) = BlockReader::open(damaged.into()) {
                for column in reader.columns() {
                    let _ = read(&reader, &column);
                }
            }
        }
    }
}

#[test]
fn truncated_blocks_are_refused() {
    let bytes = golden::small_block();
    for length in 0..bytes.len() {
        assert!(BlockReader::open(Bytes::copy_from_slice(&bytes[..length])).is_err());
    }
}

fn any_text() -> impl Strategy<Value = Vec<String>> {
    let number = any::<i64>().prop_map(|n| n.to_string());
    let fixed = (0u32..100_000).prop_map(|n| format!("{n:08}"));
    let hex = any::<u64>().prop_map(|n| format!("{n:x}"));
    let upper = any::<u32>().prop_map(|n| format!("{n:08X}"));
    let id = any::<u64>().prop_map(|seed| uuid(&mut fastrand::Rng::with_seed(seed)));
    let word = "[ a-zA-Z0-9=.:-]{0,12}";
    let wild = ".{0,12}";
    let part = prop_oneof![
        number,
        fixed,
        hex,
        upper,
        id,
        word,
        wild,
        Just("-".to_owned()),
        Just("\0".to_owned())
    ];
    let line = prop::collection::vec(part, 0..6).prop_map(|parts| parts.join(" "));
    prop::collection::vec(line, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_integers(
        mask in (0u32..64).prop_map(|bits| u64::MAX >> bits),
        values in prop::collection::vec(any::<i64>(), 0..700),
        scale in prop_oneof![Just(1i64), Just(1000), Just(1_000_000)],
        sorted in any::<bool>(),
    ) {
        let mut values: Vec<i64> = values.iter().map(|value| (value & mask as i64).wrapping_mul(scale)).collect();
        if sorted {
            values.sort_unstable();
        }
        check_ints(&values);
    }

    #[test]
    fn any_doubles(bits in prop::collection::vec(any::<u64>(), 0..300), cents in prop::collection::vec(any::<i32>(), 0..300)) {
        let mut values: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
        check_doubles(&values);
        values.truncate(20);
        values.extend(cents.into_iter().map(|cents| f64::from(cents) / 100.0));
        check_doubles(&values);
    }

    #[test]
    fn any_lines(values in any_text()) {
        check_text(&values);
    }

    #[test]
    fn any_bytes(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..200)) {
        check_bytes(&values.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }

    #[test]
    fn any_bools(values in prop::collection::vec(any::<bool>(), 0..600)) {
        let reader = block("x", Values::Bool((&values).into()));
        prop_assert_eq!(reader.bools("x").unwrap().unwrap(), values);
    }

    #[test]
    fn random_bytes_are_no_block(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(BlockReader::open(Bytes::from(bytes.clone())).is_err());
        // The same with a plausible frame, so that the footer is read.
        let mut framed = MAGIC.to_vec();
        framed.extend_from_slice(&[1, 0, 0, 0]);
        let length = bytes.len() as u32;
        framed.append(&mut bytes);
        let checksum = crc32c::crc32c(&framed[8..]);
        framed.extend_from_slice(&length.to_le_bytes());
        framed.extend_from_slice(&checksum.to_le_bytes());
        framed.extend_from_slice(&[1, 0, 0, 0]);
        framed.extend_from_slice(&MAGIC);
        if let Ok(reader) = BlockReader::open(framed.into()) {
            for column in reader.columns() {
                let _ = read(&reader, &column);
            }
        }
    }

    #[test]
    fn random_payloads_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), small in any::<bool>(), count in 1usize..5000) {
        let bytes: Vec<u8> = if small { bytes.iter().map(|byte| byte % 9).collect() } else { bytes };
        let mut cursor = wire::Cursor::new(&bytes);
        let _ = ints::decode(&mut cursor, count, ints::Depth::Outer);
        let mut cursor = wire::Cursor::new(&bytes);
        let _ = codes::decode(&mut cursor, count, 300);
        let mut cursor = wire::Cursor::new(&bytes);
        let _ = tokens::decode(&mut cursor, count);
        for encoding in [Encoding::Dictionary, Encoding::Decimal, Encoding::Planes] {
            let _ = doubles::decode(&mut wire::Cursor::new(&bytes), encoding, count);
        }
        let head = text::Head { total: 10_000, distinct: count, codes: Vec::new() };
        if let Ok(templates) = text::decode_templates(&bytes, &head) {
            let _ = templates.render(&bytes);
        }
    }
}

#[test]
fn frames_are_laid_out_in_four_lanes() {
    let values: Vec<u64> = (0..128u64)
        .map(|value| value * value * 977 % (1 << 13))
        .collect();
    let mut packed = Vec::new();
    pack::pack_frame(&mut packed, &values, 13);
    assert_eq!(packed.len(), 128 * 13 / 8);
    for (index, value) in values.iter().enumerate() {
        let (lane, place) = (index % 4, index / 4);
        let bit = |bit: usize| {
            let at = place * 13 + bit;
            let word = (at / 32 * 4 + lane) * 4;
            let word = u32::from_le_bytes(packed[word..word + 4].try_into().unwrap());
            u64::from(word >> (at % 32) & 1)
        };
        let read = (0..13).map(|at| bit(at) << at).sum::<u64>();
        assert_eq!(read, *value);
    }
}
