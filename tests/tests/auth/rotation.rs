//! Certificates, keys and policies that change while everything is called.

use std::time::Duration;

use evercert_tests::rotating;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_rotates_every_second_and_no_answer_is_wrong() {
    let outcome = rotating::run(Duration::from_secs(8), 4).await;
    assert_eq!((outcome.wrong, outcome.failed, outcome.bypasses), (0, 0, 0), "{outcome:?}");
    assert!(outcome.good > 100 && outcome.calls > outcome.good, "{outcome:?}");
    assert!(outcome.reloads.iter().all(|reloads| *reloads >= 3), "{outcome:?}");
}
