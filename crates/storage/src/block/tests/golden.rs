//! Files written by version 1 must stay readable, and the writer must keep writing the same bytes until the version
//! changes. `UPDATE_GOLDEN=1 cargo test -p storage` writes the files anew.

use std::borrow::Cow;
use std::path::Path;

use super::super::*;

/// A block with a column of every kind and encoding.
pub(super) fn small_block() -> Vec<u8> {
    let rows = 300u64;
    let mut random = fastrand::Rng::with_seed(42);
    let times: Vec<u64> = (0..rows)
        .map(|row| 1_700_000_000_000_000_000 + row * 1_000_003 + row % 7)
        .collect();
    let sizes: Vec<i64> = (0..rows).map(|_| random.i64(-500..500)).collect();
    let status: Vec<i64> = (0..rows)
        .map(|row| [200, 200, 404, 500][(row % 4) as usize])
        .collect();
    let cents: Vec<f64> = (0..rows)
        .map(|row| (row * 7919 % 100_000) as f64 / 100.0)
        .collect();
    let noise: Vec<f64> = (0..30).map(|_| f64::from_bits(random.u64(..))).collect();
    let flags: Vec<bool> = (0..rows).map(|row| row % 5 == 0).collect();
    let lines: Vec<String> = (0..rows)
        .map(|row| match row % 2 {
            0 => format!(
                "paid order {} of {}.{:02} EUR",
                row * 31,
                random.u32(..90),
                random.u32(..100)
            ),
            _ => format!(
                "retry {} of host{} id {:032x}",
                random.i32(-9..9),
                row % 9,
                random.u128(..)
            ),
        })
        .collect();
    let services: Vec<&str> = (0..rows)
        .map(|row| ["cart", "checkout", "zahlung-ö"][(row / 40 % 3) as usize])
        .collect();
    let blobs: Vec<Vec<u8>> = (0..20).map(|n| vec![n as u8; n]).collect();
    let traces: Vec<[u8; 16]> = (0..30).map(|_| random.u128(..).to_le_bytes()).collect();
    let traces: Vec<[u8; 16]> = (0..rows as usize).map(|row| traces[row / 10]).collect();
    let spans: Vec<[u8; 8]> = (0..40).map(|_| random.u64(..).to_le_bytes()).collect();
    let mut writer = BlockWriter::new(rows as u32);
    writer
        .column("time", Values::UInt((&times).into()))
        .column("size", Values::Int((&sizes).into()))
        .column("status", Values::Int((&status).into()))
        .column("version", Values::Int(Cow::Owned(vec![-3; rows as usize])))
        .column("cents", Values::Double((&cents).into()))
        .column("noise", Values::Double((&noise).into()))
        .column("flag", Values::Bool((&flags).into()))
        .column(
            "body",
            Values::Text(lines.iter().map(String::as_str).collect()),
        )
        .column("service", Values::Text(services))
        .column("region", Values::Text(vec!["eu-west-1"; rows as usize]))
        .column(
            "blob",
            Values::Bytes(blobs.iter().map(Vec::as_slice).collect()),
        )
        .column("trace_id", Values::Fixed16((&traces).into()))
        .column("span_id", Values::Fixed8((&spans).into()))
        .column("link.trace_id", Values::Fixed16(Cow::Borrowed(&[])));
    writer.finish().unwrap()
}

#[test]
fn the_small_block_stays_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/block-v1.bin");
    let written = small_block();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let stored = std::fs::read(&path).unwrap();
    let reader = BlockReader::open(stored.clone().into()).unwrap();
    assert_eq!(reader.rows(), 300);
    let encodings: Vec<String> = reader
        .columns()
        .map(|column| format!("{} {:?}", column.id.name, column.encoding))
        .collect();
    let expected = [
        "blob Dictionary",
        "body Templates",
        "cents Decimal",
        "flag Dictionary",
        "link.trace_id Empty",
        "noise Planes",
        "region Constant",
        "service Dictionary",
        "size Packed",
        "span_id Raw",
        "status Dictionary",
        "time Delta",
        "trace_id Dictionary",
        "version Constant",
    ];
    assert_eq!(encodings, expected);
    assert_eq!(
        reader.uints("time").unwrap().unwrap()[2],
        1_700_000_000_002_000_008
    );
    assert_eq!(reader.ints("status").unwrap().unwrap()[2], 404);
    assert_eq!(reader.ints("version").unwrap().unwrap(), vec![-3; 300]);
    assert_eq!(reader.doubles("cents").unwrap().unwrap()[1], 79.19);
    assert!(
        reader
            .text("body")
            .unwrap()
            .unwrap()
            .get(4)
            .starts_with("paid order 124 of ")
    );
    assert_eq!(
        reader.text("service").unwrap().unwrap().get(299),
        "checkout"
    );
    assert_eq!(reader.bytes("blob").unwrap().unwrap().get(3), [3, 3, 3]);
    assert!(
        stored == written,
        "the writer no longer writes what version 1 wrote; decide on a new version"
    );
}
