use env::Env;
use query::alerts::{Sink, Written};

use super::*;

fn sample(name: &str) -> Written {
    Written {
        labels: [(NAME_LABEL.to_owned(), name.to_owned())].into(),
        value: SampleValue::Float(1.0),
        unix_nano: 1_000_000_000,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_refuses_of_a_rule_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let decoder = Arc::new(collector::Decoder::default());
    let options = storage::Options::default();
    let store = Store::open(Env::real(), folder.path(), options, decoder).unwrap();
    let sink = StoreSink { store };
    assert_eq!(sink.write(vec![sample("good")]).await, Ok(()));
    let refused = sink.write(vec![sample("good"), sample("")]).await;
    assert_eq!(
        refused,
        Err("the store refused 1 samples: 1 metric without a name".to_owned())
    );
}
