use std::collections::BTreeMap;
use std::sync::Arc;

use model::room::Budget;

use super::*;

/// Counts by group and bucket without a bound.
#[derive(Default)]
struct Model {
    groups: BTreeMap<Vec<String>, BTreeMap<u64, u64>>,
    rows: u64,
}

impl Model {
    fn add(&mut self, tally: &mut Tally, key: &[String], bucket: u64, rows: u64) {
        let place = tally.place(key);
        tally.add(place, bucket, rows);
        let group = self.groups.entry(key.to_vec()).or_default();
        *group.entry(bucket).or_default() += rows;
        self.rows += rows;
    }

    /// Every group is exact, and no row is missing.
    fn check(&self, largest: &Largest) {
        let mut seen = largest.rest;
        for group in &largest.groups {
            let expected = &self.groups[&group.key];
            let buckets: BTreeMap<u64, u64> = group.buckets.iter().copied().collect();
            assert_eq!(buckets, *expected, "{:?}", group.key);
            assert_eq!(group.rows, expected.values().sum::<u64>());
            seen += group.rows;
        }
        assert_eq!(seen, self.rows);
    }
}

fn key(number: u64) -> Vec<String> {
    vec![format!("a group of number {number}"), "x".to_owned()]
}

#[test]
fn within_the_bound_all_groups_are_there_and_the_largest_are_chosen() {
    let budget = Arc::new(Budget::new(0));
    let mut random = fastrand::Rng::with_seed(1);
    let fill = |random: &mut fastrand::Rng| {
        let (mut model, mut tally) = (Model::default(), Tally::within(budget.room(0)));
        for _ in 0..2_000 {
            model.add(&mut tally, &key(random.u64(..300)), random.u64(..3), 1);
        }
        (model, tally)
    };
    let (model, tally) = fill(&mut random);
    let all = tally.largest(usize::MAX);
    model.check(&all);
    assert_eq!((all.groups.len(), all.rest), (model.groups.len(), 0));
    assert!(all.full.is_none() && all.groups.is_sorted_by_key(|group| group.key.clone()));

    let (model, tally) = fill(&mut random);
    let some = tally.largest(7);
    model.check(&some);
    let mut sizes: Vec<u64> = model.groups.values().map(|b| b.values().sum()).collect();
    sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
    let mut chosen: Vec<u64> = some.groups.iter().map(|group| group.rows).collect();
    chosen.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
    assert_eq!(chosen, sizes[..7]);
    assert_eq!(some.left_out, (sizes.len() - 7, sizes[7]));
}

/// Groups without end, of which a few have many rows: the memory is bounded, what is held is exact,
/// and the few are held.
#[test]
fn beyond_the_bound_held_groups_are_exact_and_the_rest_has_all_other_rows() {
    let most = 1 << 20;
    let budget = Arc::new(Budget::new(4 * most));
    let mut tally = Tally::within(budget.room(most));
    let mut model = Model::default();
    let mut random = fastrand::Rng::with_seed(2);
    for number in 0..60_000 {
        // Some come again, also long after they were let go.
        let number = if number % 3 == 0 {
            random.u64(..=number)
        } else {
            number
        };
        model.add(&mut tally, &key(number), random.u64(..2), 1);
        if number % 10 == 0 {
            model.add(
                &mut tally,
                &key(1_000_000 + number % 40),
                random.u64(..90),
                2,
            );
        }
        assert!(budget.used() <= most);
        assert!(tally.used <= most + OWN_BYTES);
    }
    // What is counted as used is that of what is there.
    let held = tally.groups.iter().filter(|group| !group.key.is_empty());
    let held: usize = held.map(|group| group_bytes(&group.key)).sum();
    let entries = (tally.places.len() + tally.cells.len()) * ENTRY_BYTES;
    assert_eq!(tally.used, held + entries);
    let largest = tally.largest(usize::MAX);
    model.check(&largest);
    assert!(largest.let_go > 1_000 && largest.rest > 10_000);
    assert!(matches!(largest.full, Some(NoRoom::Never(_))));
    let is_frequent = |group: &&Summed| group.rows > 1_000;
    assert_eq!(largest.groups.iter().filter(is_frequent).count(), 4);
    drop(largest);
    assert_eq!(budget.used(), 0);
}

#[test]
fn buckets_without_end_let_their_group_go() {
    let budget = Arc::new(Budget::new(1 << 20));
    let mut tally = Tally::within(budget.room(1 << 20));
    let mut model = Model::default();
    for bucket in 0..50_000 {
        model.add(&mut tally, &key(0), bucket, 1);
        if bucket % 100 == 0 {
            model.add(&mut tally, &key(1), bucket / 10_000, 900);
        }
    }
    let largest = tally.largest(10);
    model.check(&largest);
    assert_eq!((largest.groups.len(), largest.rest), (1, 50_000));
    assert_eq!(largest.groups[0].rows, 450_000);
}

#[test]
fn memory_that_others_hold_is_not_there() {
    let budget = Arc::new(Budget::new(1 << 20));
    let mut others = budget.room(1 << 20);
    others.take(1 << 20).unwrap();
    let mut tally = Tally::within(budget.room(1 << 20));
    let mut model = Model::default();
    for number in 0..20_000 {
        model.add(&mut tally, &key(number), 0, 1);
        assert!(tally.used <= OWN_BYTES);
    }
    let largest = tally.largest(usize::MAX);
    model.check(&largest);
    // A few hundred need nothing of what all share.
    assert!(largest.groups.len() > 200, "{}", largest.groups.len());
    assert!(matches!(largest.full, Some(NoRoom::Now(_))));
}

#[test]
fn a_place_is_none_once_its_group_was_let_go() {
    let budget = Arc::new(Budget::new(0));
    let mut tally = Tally::within(budget.room(0));
    let first = tally.place(&key(0));
    tally.add(first, 0, 1);
    let slot = tally.held(first).unwrap();
    tally.let_go(slot);
    tally.drop_cells();
    let second = tally.place(&key(1));
    assert_eq!(second.slot, first.slot);
    tally.add(first, 0, 10);
    tally.add(second, 0, 100);
    // It is not taken in again either.
    let again = tally.place(&key(0));
    tally.add(again, 0, 1_000);
    let largest = tally.largest(10);
    assert_eq!((largest.groups.len(), largest.rest), (1, 1_011));
    assert_eq!(largest.groups[0].rows, 100);
}

#[test]
fn a_key_larger_than_all_memory_is_in_the_rest() {
    let budget = Arc::new(Budget::new(1 << 20));
    let mut tally = Tally::within(budget.room(1 << 20));
    let huge = vec!["x".repeat(4 << 20)];
    for key in [&key(0), &huge, &key(1), &key(0)] {
        let place = tally.place(key);
        tally.add(place, 0, 1);
    }
    let largest = tally.largest(10);
    let rows: u64 = largest.groups.iter().map(|group| group.rows).sum();
    assert_eq!(rows + largest.rest, 4);
    assert!(largest.rest >= 1 && largest.groups.iter().all(|group| group.key != huge));
}
