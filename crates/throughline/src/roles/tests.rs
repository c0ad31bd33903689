use ::env::Failures;

use super::*;

#[tokio::test]
async fn the_first_part_that_fails_ends_the_process() {
    let (healthy, broken) = (Failures::default(), Failures::default());
    let parts = || vec![healthy.listen(), broken.listen()];
    assert!(ended(std::future::ready(()), parts()).await.is_ok());
    broken.report("the disk is gone");
    let failed = ended(pending(), parts()).await.unwrap_err();
    assert!(failed.to_string().contains("the disk is gone"), "{failed}");
}

#[test]
fn a_listener_on_every_interface_is_reached_by_the_name_of_its_host() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    assert_eq!(reached_at(address("127.0.0.1:44")), "127.0.0.1:44");
    let everywhere = reached_at(address("0.0.0.0:44"));
    let host = everywhere.strip_suffix(":44").unwrap();
    assert!(!host.is_empty() && host != "0.0.0.0", "{everywhere}");
    assert_eq!(reached_at(address("[::]:44")), everywhere);
}
