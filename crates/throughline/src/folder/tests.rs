use std::net::SocketAddr;

use serde_json::json;

use super::*;

fn address(port: u16) -> Option<SocketAddr> {
    Some(([127, 0, 0, 1], port).into())
}

fn of_collector(port: u16) -> Endpoints {
    Endpoints {
        otlp_grpc: address(port),
        otlp_http: address(port + 1),
        internal: address(port + 2),
        query: None,
    }
}

fn of_query(port: u16) -> Endpoints {
    Endpoints {
        query: address(port),
        ..Endpoints::default()
    }
}

fn endpoints(dir: &Path) -> Value {
    Value::Object(read(dir).unwrap())
}

#[test]
fn a_second_owner_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real();
    let lock = claim(&env, dir.path(), Part::Data).unwrap();
    publish(dir.path(), &of_collector(10)).unwrap();
    let before = endpoints(dir.path());
    let refused = claim(&env, dir.path(), Part::Data).unwrap_err();
    assert!(
        format!("{refused:#}").contains("in use by another"),
        "{refused:#}"
    );
    assert_eq!(endpoints(dir.path()), before);
    drop(lock);
    let _lock = claim(&env, dir.path(), Part::Data).unwrap();
    assert!(!dir.path().join(ENDPOINTS).exists());
}

#[test]
fn a_collector_and_a_query_service_share_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real();
    let data = claim(&env, dir.path(), Part::Data).unwrap();
    publish(dir.path(), &of_collector(10)).unwrap();
    let query = claim(&env, dir.path(), Part::Query).unwrap();
    publish(dir.path(), &of_query(20)).unwrap();
    let both = json!({
        "otlp_grpc": "127.0.0.1:10", "otlp_http": "127.0.0.1:11", "internal": "127.0.0.1:12",
        "query": "127.0.0.1:20",
    });
    assert_eq!(endpoints(dir.path()), both);
    assert_eq!(query.dir(), dir.path().join("query"));

    // Each starts again beside the other.
    drop(data);
    let _data = claim(&env, dir.path(), Part::Data).unwrap();
    assert_eq!(endpoints(dir.path()), json!({"query": "127.0.0.1:20"}));
    publish(dir.path(), &of_collector(30)).unwrap();
    drop(query);
    let _query = claim(&env, dir.path(), Part::Query).unwrap();
    assert_eq!(endpoints(dir.path())["otlp_grpc"], "127.0.0.1:30");
    assert_eq!(endpoints(dir.path())["query"], Value::Null);
}

#[test]
fn what_an_owner_said_that_is_gone_is_removed_with_ones_own() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real();
    let locks = [Part::Data, Part::Query].map(|part| claim(&env, dir.path(), part).unwrap());
    publish(dir.path(), &of_collector(10)).unwrap();
    publish(dir.path(), &of_query(20)).unwrap();
    drop(locks);
    let _query = claim(&env, dir.path(), Part::Query).unwrap();
    assert!(!dir.path().join(ENDPOINTS).exists());
}
