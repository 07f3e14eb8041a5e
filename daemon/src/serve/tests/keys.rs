//! A key is handed out once it is in memory, which it is while somebody is to be given it.

use tokio::time::timeout;
use tonic::Code;

use super::*;

fn digest(identity: &str) -> v1::Open {
    v1::Open { deliver: v1::Deliver::Digest.into(), ..open(identity) }
}

fn has_key(update: &v1::Update) -> bool {
    update.key.is_some()
}

impl Node {
    /// The calls about keys: wanted, or no longer.
    fn keys_wanted(&self) -> Vec<bool> {
        self.seen.keys_wanted.lock().clone()
    }
}

#[tokio::test]
async fn a_subscriber_waits_for_the_key_and_one_that_takes_none_does_not() {
    let node = Node::start();
    let mut kept = node.keep("x", &files());
    kept.want_key(false);
    let mut observer = Watched::open(node.agent().await, digest("x")).await.unwrap();
    assert!(!has_key(&observer.update().await));
    assert!(node.keys_wanted().is_empty(), "a digest needs no key");
    let mut subscriber = node.watch("x").await;
    until("the key is wanted", || node.keys_wanted() == [true]).await;
    assert!(
        timeout(Duration::from_millis(100), subscriber.answers.message()).await.is_err(),
        "an answer without the key"
    );
    kept.want_key(true);
    let update = subscriber.update().await;
    assert!(has_key(&update));
    assert_eq!(update.generation, 1);
    drop(subscriber);
    until("the key is wanted no longer", || node.keys_wanted() == [true, false]).await;
}

#[tokio::test]
async fn a_key_that_does_not_come_is_told_before_the_sdk_gives_up() {
    let node = Node::start();
    let mut kept = node.keep("x", &files());
    kept.want_key(false);
    let mut subscriber = node.watch("x").await;
    let asked = Instant::now();
    let answer = subscriber.next().await;
    assert!(matches!(answer, Answer::Pending(_)), "{answer:?}");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    kept.want_key(true);
    assert!(has_key(&subscriber.update().await));
}

#[tokio::test]
async fn whoever_holds_what_is_published_is_told_so_without_the_key() {
    let node = Node::start();
    let mut kept = node.keep("x", &files());
    kept.want_key(false);
    let held = kept.lifecycle.state().snapshot.as_ref().unwrap().digest();
    let open = v1::Open { held_digest: held.as_bytes().to_vec(), ..open("x") };
    let mut subscriber = Watched::open(node.agent().await, open).await.unwrap();
    let answer = subscriber.next().await;
    assert!(matches!(answer, Answer::Unchanged(_)), "{answer:?}");
}

#[tokio::test]
async fn a_key_is_wanted_until_the_last_of_its_subscribers_has_gone() {
    let node = Node::start();
    let _kept = node.keep("x", &files());
    let (mut first, mut second) = (node.watch("x").await, node.watch("x").await);
    assert!(has_key(&first.update().await) && has_key(&second.update().await));
    let gone = || node.seen.disconnected.lock().len();
    drop(first);
    until("the first has gone", || gone() == 1).await;
    assert_eq!(node.keys_wanted(), [true, true]);
    drop(second);
    until("the key is wanted no longer", || node.keys_wanted() == [true, true, false]).await;
}

#[tokio::test]
async fn an_observer_hands_out_no_key_and_says_so() {
    let node = Node::start_as(Mode::Observer, generous());
    let mut kept = node.keep("x", &files());
    kept.want_key(false);
    let refused = Watched::open(node.agent().await, open("x")).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("mode = \"observer\"") && refused.message().contains("EVERCERT_DIR"),
        "{refused}"
    );
    let mut observer = Watched::open(node.agent().await, digest("x")).await.unwrap();
    assert!(!has_key(&observer.update().await));
    assert!(node.keys_wanted().is_empty());
}
