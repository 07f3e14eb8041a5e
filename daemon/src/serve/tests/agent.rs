use prost::Message as _;
use v1::report::Outcome;

use super::*;
use crate::publication::SubscriberState;

const CURRENT: Outcome = Outcome::Stage(v1::Stage::Current as i32);
const SETTLED: Outcome = Outcome::Stage(v1::Stage::Settled as i32);

#[tokio::test]
async fn full_delivery_carries_the_key_and_digest_delivery_does_not() {
    let issued = Authority::new("Test CA").issue_dns("x.example.org");
    let node = Node::start();
    let _kept = node.keep("x", &issued.files());
    let update = node.watch("x").await.update().await;
    assert_eq!((update.epoch, update.generation), (EPOCH, 1));
    assert_eq!(update.chain[0], issued.leaf_der);
    assert_eq!(update.key, Some(v1::update::Key::Pkcs8(issued.key_der.clone().into())));

    let digest_only = v1::Open { deliver: v1::Deliver::Digest.into(), ..open("x") };
    let mut watched = Watched::open(node.agent().await, digest_only).await.unwrap();
    let without = watched.update().await;
    assert_eq!((without.key, &without.digest, &without.chain), (None, &update.digest, &update.chain));

    let shown = format!("{:?}", v1::WatchResponse { message: Some(Answer::Update(update)) });
    let some_bytes = format!("{:?}", &issued.key_der[10..14]);
    assert!(!shown.contains(some_bytes.trim_matches(['[', ']'])), "{shown}");
}

#[tokio::test]
async fn a_caller_that_holds_what_is_published_is_not_sent_it_again() {
    let node = Node::start();
    let kept = node.keep("x", &files());
    let update = node.watch("x").await.update().await;
    let held = v1::Open { held_digest: update.digest.clone(), ..open("x") };
    let mut watched = Watched::open(node.agent().await, held).await.unwrap();
    let Answer::Unchanged(unchanged) = watched.next().await else { panic!() };
    assert_eq!((unchanged.epoch, unchanged.generation), (EPOCH, 1));
    until("both are shown", || node.subscribers.of(&kept.id()).len() == 1).await;
    watched.report(EPOCH, 1, &update.digest, CURRENT).await;
    let state = || node.subscribers.of(&kept.id())[0].state;
    until("its report is seen", || state() == SubscriberState::Current).await;
}

#[tokio::test]
async fn going_back_to_an_earlier_certificate_is_a_rotation_of_its_own() {
    let authority = Authority::new("Test CA");
    let [a, b] = [(); 2].map(|()| authority.issue_dns("x.example.org").files());
    let node = Node::start();
    let mut kept = node.keep("x", &a);
    let mut watched = node.watch("x").await;
    let first = watched.update().await;
    kept.swap(&b);
    let second = watched.update().await;
    kept.swap(&a);
    let third = watched.update().await;
    assert_eq!([first.generation, second.generation, third.generation], [1, 2, 3]);
    assert_eq!(first.digest, third.digest);
    assert_ne!(first.digest, second.digest);
}

#[tokio::test]
async fn a_subscriber_of_a_bad_set_is_told_why_it_waits_and_then_gets_the_good_one() {
    let good = files();
    let node = Node::start();
    let mut kept = node.keep("x", &good.clone().with("tls.key", files().content("tls.key").unwrap()));
    let mut watched = node.watch("x").await;
    let Answer::Pending(pending) = watched.next().await else { panic!() };
    assert_eq!(pending.findings[0].check, "key-mismatch");
    assert_eq!(node.subscribers.of(&kept.id())[0].state, SubscriberState::Pending);
    kept.swap(&good);
    assert_eq!(watched.update().await.generation, 1);
}

#[tokio::test]
async fn a_bad_set_after_a_good_one_changes_the_findings_alone() {
    let good = files();
    let node = Node::start();
    let mut kept = node.keep("x", &good);
    let mut watched = node.watch("x").await;
    watched.update().await;
    kept.swap(&good.clone().with("tls.key", files().content("tls.key").unwrap()));
    let Answer::Findings(findings) = watched.next().await else { panic!() };
    assert!(findings.findings.iter().any(|finding| finding.check == "key-mismatch"), "{findings:?}");
    kept.swap(&good);
    let Answer::Findings(findings) = watched.next().await else { panic!() };
    assert!(findings.findings.iter().all(|finding| finding.check != "key-mismatch"), "{findings:?}");
}

#[tokio::test]
async fn an_unknown_name_is_answered_with_the_names_the_caller_may_have() {
    let node = Node::start();
    let (_a, b) = (node.keep("a", &files()), node.keep("b", &files()));
    set_mode(b.key(), 0);
    let (agent, _) = node.agent_of_another().await;
    let error = Watched::open(agent.clone(), open("c")).await.err().unwrap();
    assert_eq!(error.code(), tonic::Code::NotFound);
    assert_eq!(error.message(), "no identity c; you may have: a");
    let listed = agent.clone().list(v1::ListRequest::default()).await.unwrap().into_inner().identities;
    assert_eq!(listed.iter().map(|summary| &*summary.identity).collect::<Vec<_>>(), ["a"]);
    assert_eq!(listed[0].leaf.as_ref().unwrap().dns_names, ["x.example.org"]);
    let error = Watched::open(agent, open("../etc")).await.err().unwrap();
    assert_eq!(error.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_caller_that_comes_before_the_files_were_read_waits_for_them() {
    let node = Node::start();
    let ids = [IdentityId::node("x".parse().unwrap())].into();
    node.wanted.send_replace(Wanted { ids, ..Wanted::default() }.into());
    let agent = node.agent().await;
    let watched = tokio::spawn(Watched::open(agent, open("x")));
    let other = Watched::open(node.agent().await, open("y")).await.err().unwrap();
    assert_eq!(other.code(), tonic::Code::NotFound);
    assert!(!watched.is_finished());
    let _kept = node.keep("x", &files());
    assert_eq!(watched.await.unwrap().unwrap().update().await.generation, 1);
}

#[tokio::test]
async fn health_says_that_the_agent_serves() {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let node = Node::start();
    let mut health = HealthClient::new(channel(UnixStream::connect(node.socket()).await.unwrap()).await);
    for service in ["", "evercert.v1.Agent"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status(), ServingStatus::Serving);
    }
}

#[tokio::test]
async fn a_caller_that_may_not_read_the_key_is_told_the_rule() {
    let node = Node::start();
    let kept = node.keep("x", &files());
    set_mode(kept.key(), 0);
    let (agent, uid) = node.agent_of_another().await;
    let error = Watched::open(agent, open("x")).await.err().unwrap();
    assert_eq!(error.code(), tonic::Code::PermissionDenied);
    let start = format!("identity x: readers: uid {uid} (gids ");
    let end = format!("mode 0000); to allow it: allow = [\"readers\", \"uid:{uid}\"] in its [[identity]]");
    assert!(error.message().starts_with(&start) && error.message().ends_with(&end), "{}", error.message());
    assert_eq!(*node.seen.decided.lock(), [DecisionReason::NotAReader]);
}

#[tokio::test]
async fn a_new_generation_goes_only_to_who_may_read_it_now() {
    let node = Node::start();
    let mut kept = node.keep("x", &files());
    let (agent, _) = node.agent_of_another().await;
    let mut watched = Watched::open(agent, open("x")).await.unwrap();
    watched.update().await;
    kept.volume.swap(&files());
    let material = {
        let spec = &kept.lifecycle.state().spec;
        Material::parse(spec, mount::read(&spec.files))
    };
    set_mode(kept.key(), 0);
    let now = Now { wall: SystemTime::now(), monotonic: Instant::now() };
    assert!(kept.lifecycle.handle(Event::Read { material, final_try: true }, now).changed);
    node.store.state(&kept.id(), Arc::clone(kept.lifecycle.state()));
    assert_eq!(watched.error().await.code(), tonic::Code::PermissionDenied);
    until("it is gone", || *node.seen.disconnected.lock() == [Disconnect::Denied]).await;
}

#[tokio::test]
async fn a_key_that_is_not_there_makes_the_caller_wait() {
    let node = Node::start();
    let good = files();
    let mut kept = node.keep("x", &good.clone().without("tls.key"));
    let (agent, _) = node.agent_of_another().await;
    let mut watched = Watched::open(agent, open("x")).await.unwrap();
    let Answer::Pending(pending) = watched.next().await else { panic!() };
    assert!(pending.findings.iter().any(|finding| finding.check == "file-missing"), "{pending:?}");
    kept.swap(&good);
    assert_eq!(watched.update().await.generation, 1);
}

#[tokio::test]
async fn the_first_request_is_open_and_the_others_are_reports() {
    let node = Node::start();
    let _kept = node.keep("x", &files());
    let mut agent = node.agent().await;
    let report = request(Ask::Report(v1::Report::default()));
    let error = agent.watch(tokio_stream::iter([report])).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::InvalidArgument);
    let mut watched = node.watch("x").await;
    watched.update().await;
    watched.requests.send(request(Ask::Open(open("x")))).await.unwrap();
    assert_eq!(watched.error().await.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn a_report_counts_only_for_the_publication_it_names() {
    let node = Node::start();
    let mut kept = node.keep("x", &files());
    let mut watched = node.watch("x").await;
    let first = watched.update().await;
    kept.swap(&files());
    let second = watched.update().await;
    let id = kept.id();
    let status = || node.subscribers.of(&id).remove(0);
    assert_eq!(status().state, SubscriberState::Behind);
    let mut reported = 0;
    for (epoch, generation, digest, outcome, state) in [
        (EPOCH, 1, &first.digest, SETTLED, SubscriberState::Behind),
        (EPOCH + 1, 2, &second.digest, SETTLED, SubscriberState::Behind),
        (EPOCH, 2, &first.digest, SETTLED, SubscriberState::Behind),
        (EPOCH, 3, &second.digest, SETTLED, SubscriberState::Behind),
        (EPOCH, 2, &second.digest, Outcome::Stage(0), SubscriberState::Behind),
        (EPOCH, 2, &second.digest, Outcome::Refused(v1::Refused::default()), SubscriberState::Refused),
        (EPOCH, 2, &second.digest, CURRENT, SubscriberState::Current),
        (EPOCH, 2, &second.digest, SETTLED, SubscriberState::Settled),
    ] {
        let changes = *node.subscribers.changes().borrow();
        watched.report(epoch, generation, digest, outcome).await;
        until("the report is in", || *node.subscribers.changes().borrow() > changes).await;
        assert_eq!(status().state, state);
        assert_eq!(status().behind_since.is_some(), state.is_behind());
        reported += 1;
        let acknowledged = node.seen.acknowledged.lock().len();
        assert_eq!(acknowledged, usize::from(reported > 6), "acknowledged once, by the first that says so");
    }
    drop(watched);
    until("it is gone", || node.subscribers.of(&id).is_empty()).await;
    assert_eq!(*node.seen.disconnected.lock(), [Disconnect::ClientClosed]);
}

#[tokio::test]
async fn a_stuck_subscriber_skips_generations_and_delays_nobody() {
    const ROTATIONS: u64 = 1000;
    let node = Node::start();
    let (a, b) = (files(), files());
    let mut kept = node.keep("x", &a);
    let mut stuck = node.watch("x").await;
    let mut other = node.watch("x").await;
    let last = ROTATIONS + 1;
    let other = tokio::spawn(async move {
        loop {
            let update = other.update().await;
            other.report(EPOCH, update.generation, &update.digest, CURRENT).await;
            if update.generation == last {
                break;
            }
        }
    });
    for rotation in 0..ROTATIONS {
        kept.swap(if rotation % 2 == 0 { &b } else { &a });
        // Gives the transport its turns, so that it can fill whatever would hold what nobody reads.
        tokio::task::yield_now().await;
    }
    soon("the last generation", other).await.unwrap();
    let (mut waited, mut longest) = (0, 0);
    loop {
        let update = stuck.update().await;
        if update.generation == last {
            break;
        }
        waited += update.encoded_len();
        longest = longest.max(update.encoded_len());
    }
    // The client's window (RFC 9113 §6.9.2) fills, and one message each waits in the transport and in the queue of the stream.
    assert!(waited <= 65_535 + 2 * longest, "{waited} bytes waited for a subscriber that did not read");
}

#[tokio::test]
async fn a_removed_identity_is_withdrawn() {
    let node = Node::start();
    let kept = node.keep("x", &files());
    let mut watched = node.watch("x").await;
    watched.update().await;
    node.store.removed(&kept.id());
    let Answer::Withdrawn(_) = watched.next().await else { panic!() };
    assert!(soon("the end", watched.answers.message()).await.unwrap().is_none());
    assert_eq!(*node.seen.disconnected.lock(), [Disconnect::Removed]);
    let error = Watched::open(node.agent().await, open("x")).await.err().unwrap();
    assert_eq!(error.message(), "no identity x; there is none that you may have");
}

#[tokio::test]
async fn streams_end_with_unavailable_when_the_daemon_stops() {
    let mut node = Node::start();
    let seen = {
        let node = &node;
        let _kept = node.keep("x", &files());
        let mut watched = node.watch("x").await;
        watched.update().await;
        let mut pending = node.watch("x").await;
        pending.update().await;
        node.shutdown.cancel();
        for watched in [&mut watched, &mut pending] {
            let error = watched.error().await;
            assert_eq!((error.code(), error.message()), (tonic::Code::Unavailable, "evercertd is stopping"));
        }
        Arc::clone(&node.seen)
    };
    soon("both servers", async { while node.servers.join_next().await.is_some() {} }).await;
    assert_eq!(*seen.disconnected.lock(), [Disconnect::Shutdown; 2]);
}

#[tokio::test]
async fn a_stream_ends_with_the_process_that_opened_its_connection_whoever_holds_it_then() {
    let node = Node::start();
    let _kept = node.keep("x", &files());
    let (agent, _) = node.agent_of_another().await;
    let mut watched = Watched::open(agent.clone(), open("x")).await.unwrap();
    watched.update().await;
    // This process has the connection still.
    node.others.lock().clear();
    watched.error().await;
    assert!(soon("an answer", agent.clone().list(v1::ListRequest::default())).await.is_err());
    until("it is gone", || *node.seen.disconnected.lock() == [Disconnect::ProcessEnded]).await;
}
