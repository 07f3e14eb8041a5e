//! Opening an identity: waiting for the first generation, not waiting, and what the errors say.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::os::unix::net::UnixListener;
use std::time::Duration;

use evercert::Identity;
use evercert::source::AgentSettings;

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn waiting_for_the_first_generation_ends_with_socket_identity_and_reason() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("agent.sock");
    let settings = AgentSettings::new("grpc-server").socket(&socket);
    let error = Identity::from_agent(settings.clone()).timeout(SHORT).await.unwrap_err().to_string();
    assert!(error.contains("grpc-server"), "{error}");
    assert!(error.contains(&format!("there is no socket at {}", socket.display())), "{error}");
    assert!(error.contains("0.2 s"), "{error}");

    // Somebody listens and never says a word.
    let _mute = UnixListener::bind(&socket).unwrap();
    let error = Identity::from_agent(settings).timeout(SHORT).await.unwrap_err().to_string();
    assert!(error.contains("grpc-server") && error.contains("has not answered yet"), "{error}");
    assert!(error.contains(&*socket.to_string_lossy()), "{error}");
}

#[tokio::test]
async fn an_identity_that_is_not_waited_for_starts_without_a_daemon() {
    let place = tempfile::tempdir().unwrap();
    let settings = AgentSettings::new("grpc-server").socket(place.path().join("agent.sock"));
    let identity = Identity::from_agent(settings).start_pending().unwrap();
    assert!(identity.current().is_none());
    assert!(!identity.status().source_connected);
}

#[tokio::test]
async fn a_name_that_no_daemon_can_publish_is_refused_without_waiting() {
    let error = Identity::from_agent("no name").await.unwrap_err().to_string();
    assert!(error.contains("\"no name\" is not an identity name"), "{error}");
    assert!(Identity::from_agent("no name").start_pending().is_err());
}
