use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::*;

fn random_pairs(seed: u64, count: usize, blocks: u32) -> Vec<(u64, u32)> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count)
        .map(|_| (random.u64(..), random.u32(..blocks)))
        .collect()
}

fn table(pairs: &[(u64, u32)]) -> IdTable {
    IdTable::open(build(&mut pairs.to_vec()).into()).unwrap()
}

/// What the table should answer.
fn expected(pairs: &[(u64, u32)]) -> BTreeMap<u64, Vec<u32>> {
    let mut expected: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for (hash, ordinal) in pairs {
        expected
            .entry(hash >> DROPPED_BITS)
            .or_default()
            .push(*ordinal);
    }
    for ordinals in expected.values_mut() {
        ordinals.sort_unstable();
        ordinals.dedup();
    }
    expected
}

fn check(table: &IdTable, pairs: &[(u64, u32)]) {
    let expected = expected(pairs);
    for (hash, ordinals) in &expected {
        assert_eq!(&table.lookup(hash << DROPPED_BITS).unwrap(), ordinals);
        let neighbour = hash ^ 1;
        let of_neighbour = expected.get(&neighbour).cloned().unwrap_or_default();
        assert_eq!(
            table.lookup(neighbour << DROPPED_BITS).unwrap(),
            of_neighbour
        );
    }
    let all: Vec<(u64, u32)> = table.pairs().map(Result::unwrap).collect();
    let flat = expected
        .iter()
        .flat_map(|(hash, ordinals)| ordinals.iter().map(|ordinal| (*hash, *ordinal)));
    assert_eq!(all, flat.collect::<Vec<_>>());
    assert_eq!(table.len(), all.len());
}

#[test]
fn an_empty_table_knows_nothing() {
    let empty = table(&[]);
    assert!(empty.is_empty());
    assert_eq!(empty.lookup(0).unwrap(), Vec::<u32>::new());
    assert_eq!(empty.pairs().count(), 0);
}

#[test]
fn values_are_found_in_all_their_blocks() {
    let mut pairs = random_pairs(1, 5000, 25);
    // One value in so many blocks that it fills more than a group, and one at each end of the range.
    pairs.extend((0..400).map(|block| (0x1234_5678_9abc_def0, block)));
    pairs.extend([(0, 3), (u64::MAX, 4), (u64::MAX, 4)]);
    check(&table(&pairs), &pairs);
}

#[test]
fn a_pair_takes_less_than_five_bytes() {
    let pairs = random_pairs(2, 100_000, 25);
    let table = table(&pairs);
    assert!(
        table.size_bytes() < 100_000 * 9 / 2,
        "{}",
        table.size_bytes()
    );
}

#[test]
fn merged_tables_answer_as_one() {
    let parts: Vec<Vec<(u64, u32)>> = (0..5)
        .map(|seed| random_pairs(seed, 700 * seed as usize, 30))
        .collect();
    let tables: Vec<IdTable> = parts.iter().map(|part| table(part)).collect();
    // Every seventh block is gone.
    let mut next = 0;
    let places: Vec<Vec<u32>> = (0..5)
        .map(|_| {
            let place = |old: u32| {
                if old % 7 == 3 {
                    return GONE;
                }
                next += 1;
                next - 1
            };
            (0..30).map(place).collect()
        })
        .collect();
    let sources: Vec<(&IdTable, &[u32])> = tables
        .iter()
        .zip(&places)
        .map(|(table, places)| (table, places.as_slice()))
        .collect();
    let merged = merge(&sources).unwrap();
    let moved: Vec<(u64, u32)> = parts
        .iter()
        .zip(&places)
        .flat_map(|(part, places)| {
            part.iter()
                .map(|(hash, ordinal)| (*hash, places[*ordinal as usize]))
        })
        .filter(|(_, place)| *place != GONE)
        .collect();
    assert_eq!(merged, build(&mut moved.clone()));
    check(&IdTable::open(merged.into()).unwrap(), &moved);
}

#[test]
fn blocks_that_a_file_does_not_have_are_refused() {
    let one = table(&[(1, 2)]);
    assert_eq!(
        merge(&[(&one, &[0, 1])]),
        Err(IdTableError::Ordinal { ordinal: 2 })
    );
}

#[test]
fn a_flipped_bit_is_an_error() {
    let bytes = build(&mut random_pairs(3, 300, 9));
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 1 << (position % 8);
        if let Ok(table) = IdTable::open(damaged.into()) {
            assert!(table.pairs().any(|pair| pair.is_err()), "byte {position}");
        }
    }
    for length in 0..bytes.len() {
        assert!(IdTable::open(Bytes::copy_from_slice(&bytes[..length])).is_err());
    }
}

#[test]
fn the_golden_table_stays_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/idtable-v1.bin");
    let pairs = random_pairs(42, 300, 9);
    let written = build(&mut pairs.clone());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let stored = std::fs::read(&path).unwrap();
    check(&IdTable::open(stored.clone().into()).unwrap(), &pairs);
    assert!(
        stored == written,
        "the writer no longer writes what version 1 wrote; decide on a new version"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_pairs(
        pairs in prop::collection::vec((any::<u64>(), any::<u32>()), 0..500),
        shift in 0u32..64,
    ) {
        let pairs: Vec<(u64, u32)> = pairs.into_iter().map(|(hash, ordinal)| (hash >> shift, ordinal)).collect();
        check(&table(&pairs), &pairs);
    }

    #[test]
    fn random_bytes_do_no_harm(groups in prop::collection::vec(any::<u8>(), 0..200), entries in prop::collection::vec(any::<u8>(), 20..21)) {
        // A valid trailer over random groups and directory entries.
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[1, 0, 0, 0]);
        bytes.extend_from_slice(&groups);
        let end = (bytes.len() as u64).to_le_bytes();
        let mut directory = entries;
        directory[15..20].copy_from_slice(&end[..5]);
        directory.extend_from_slice(&200u64.to_le_bytes());
        bytes.extend_from_slice(&directory);
        bytes.extend_from_slice(&crc32c::crc32c(&directory).to_le_bytes());
        bytes.extend_from_slice(&MAGIC);
        let table = IdTable::open(bytes.into()).unwrap();
        let _ = table.lookup(1 << 40);
        let _ = table.pairs().count();
        let mut group = Group::new();
        let _ = group.read(&groups, 72, u64::MAX >> 2);
    }
}
