//! Random operations against a list of records.

use proptest::prelude::*;
use testkit::Loss;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    Append(usize),
    Sync,
    SyncAhead,
    /// Roll back this many of the unsynced records.
    Rollback(usize),
    /// Free what lies before one of the records.
    Truncate(usize),
    Reopen,
    Crash(Loss),
    /// Read from one of the records on.
    Read(usize),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (0usize..700).prop_map(Action::Append),
        4 => Just(Action::Sync),
        2 => Just(Action::SyncAhead),
        2 => (0usize..6).prop_map(Action::Rollback),
        1 => any::<usize>().prop_map(Action::Truncate),
        1 => Just(Action::Reopen),
        1 => any::<u64>().prop_map(|seed| Action::Crash(Loss::Random(seed))),
        1 => Just(Action::Crash(Loss::All)),
        2 => any::<usize>().prop_map(Action::Read),
    ]
}

struct Model {
    files: MemoryFiles,
    journal: Option<Journal>,
    /// Everything appended and neither rolled back, lost nor known to be freed.
    records: Vec<(Position, Vec<u8>)>,
    synced: usize,
    /// How many of the records a crash leaves, read or not.
    durable: usize,
    next: u64,
    /// A power cut kept a later part of what was unsynced and lost an earlier one.
    holes: bool,
}

impl Model {
    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().unwrap()
    }

    fn run(&mut self, action: Action) {
        match action {
            Action::Append(length) => {
                self.next += 1;
                let mut bytes = self.next.to_le_bytes().to_vec();
                bytes.resize(length.max(8), self.next as u8);
                let position = self.journal().append(&bytes).unwrap();
                self.records.push((position, bytes));
            }
            Action::Sync => {
                self.journal().sync().unwrap();
                self.synced = self.records.len();
                self.durable = self.synced;
            }
            Action::SyncAhead => {
                self.journal().sync_ahead().unwrap();
                self.durable = self.records.len();
            }
            Action::Rollback(count) => {
                let keep = self.records.len().saturating_sub(count).max(self.synced);
                if let Some((position, _)) = self.records.get(keep) {
                    let position = *position;
                    self.journal().rollback_to(position).unwrap();
                    self.records.truncate(keep);
                    self.durable = self.durable.min(keep);
                }
            }
            Action::Truncate(index) => {
                if self.synced > 0 {
                    let position = self.records[index % self.synced].0;
                    self.journal().truncate_before(position).unwrap();
                    let before = self.records.len();
                    self.records
                        .retain(|record| record.0.segment >= position.segment);
                    self.durable -= before - self.records.len();
                    self.synced = self.synced.min(self.records.len());
                    self.resync_count();
                }
            }
            Action::Reopen => {
                self.journal.take().unwrap().close().unwrap();
                let (journal, recovery) = open(&self.files);
                assert_eq!(recovery.records as usize, self.records.len());
                assert_eq!(recovery.torn_bytes, 0);
                assert!(!recovery.is_damaged() || self.holes);
                self.journal = Some(journal);
                self.synced = self.records.len();
                self.durable = self.synced;
            }
            Action::Crash(loss) => self.crash(loss),
            Action::Read(index) => self.read(index),
        }
    }

    /// After truncation the synced records are those before the synced end.
    fn resync_count(&mut self) {
        let end = self.journal().synced_end();
        self.synced = self.records.iter().filter(|record| record.0 < end).count();
    }

    fn crash(&mut self, loss: Loss) {
        self.files.power_cut(loss);
        self.journal = None;
        let (journal, recovery) = open(&self.files);
        self.holes |= matches!(loss, Loss::Random(_)) && recovery.corrupt_regions > 0;
        assert!(!recovery.is_damaged() || self.holes);
        assert_eq!(recovery.quarantined_segments, 0);
        let read: Vec<(Position, Vec<u8>)> = journal
            .read_from(Position::START)
            .map(|record| record.unwrap())
            .map(|record| (record.position, record.payload.to_vec()))
            .collect();
        assert!(
            read.starts_with(&self.records[..self.durable]),
            "synced records are all there"
        );
        for (_, payload) in &read[self.durable..] {
            let number = u64::from_le_bytes(payload[..8].try_into().unwrap());
            assert!(number <= self.next && payload[8..].iter().all(|b| *b == number as u8));
        }
        self.synced = read.len();
        self.durable = self.synced;
        self.records = read;
        self.journal = Some(journal);
    }

    fn read(&mut self, index: usize) {
        let synced = self.synced;
        if synced == 0 {
            return;
        }
        let from = index % synced;
        let expected: Vec<Vec<u8>> = self.records[from..synced]
            .iter()
            .map(|record| record.1.clone())
            .collect();
        let start = self.records[from].0;
        assert_eq!(payloads(self.journal(), start), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn behaves_like_a_list_of_records(actions in prop::collection::vec(action(), 1..80)) {
        let files = MemoryFiles::new();
        let journal = Some(open(&files).0);
        let mut model = Model { files, journal, records: Vec::new(), synced: 0, durable: 0, next: 0, holes: false };
        for action in actions {
            model.run(action);
        }
        model.run(Action::Sync);
        model.run(Action::Read(0));
        model.run(Action::Reopen);
    }
}
