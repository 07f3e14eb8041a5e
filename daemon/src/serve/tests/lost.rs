//! Subscribers that stand still, over sockets that nobody reads for a while.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll};

use tokio::io::ReadBuf;

use super::limits::impatient;
use super::*;
use crate::publication::{SubscriberState, SubscriberStatus};

/// A connection whose process is stopped as soon as it says so: it is open, and nobody reads or writes.
struct Stoppable {
    stream: UnixStream,
    stopped: Arc<AtomicBool>,
}

impl AsyncRead for Stoppable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.stopped.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stoppable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.stopped.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A subscriber that has put generation 1 to use, and what stops it.
struct Stopping {
    watched: Watched,
    stopped: Arc<AtomicBool>,
}

impl Stopping {
    async fn watch(node: &Node, stream: UnixStream, deliver: v1::Deliver) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let stream = Stoppable { stream, stopped: Arc::clone(&stopped) };
        let agent = AgentClient::new(channel(stream).await);
        let open = v1::Open { deliver: deliver.into(), ..open("x") };
        let mut watched = Watched::open(agent, open).await.unwrap();
        let update = watched.update().await;
        let stage = v1::report::Outcome::Stage(v1::Stage::Settled.into());
        watched.report(update.epoch, update.generation, &update.digest, stage).await;
        until("it has reported", || subscribers(node).iter().any(|one| one.state == SubscriberState::Settled)).await;
        Self { watched, stopped }
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}

fn subscribers(node: &Node) -> Vec<SubscriberStatus> {
    node.subscribers.of(&IdentityId::node("x".parse().unwrap()))
}

fn are_lost(node: &Node) -> Vec<bool> {
    subscribers(node).iter().map(|one| one.lost_since.is_some()).collect()
}

/// Another process of this user, and its connection.
fn another(node: &Node) -> (Other, UnixStream) {
    let (process, stream) = Other::connect(&node.socket(), None);
    stream.set_nonblocking(true).unwrap();
    (process, UnixStream::from_std(stream).unwrap())
}

#[tokio::test]
async fn a_subscriber_that_stands_still_is_lost_while_its_process_lives_and_behind_of_what_is_published_since() {
    for deliver in [v1::Deliver::Full, v1::Deliver::Digest] {
        let node = Node::start_with(impatient());
        let mut kept = node.keep("x", &files());
        let (mut process, stream) = another(&node);
        let pid = process.pid();
        let subscriber = Stopping::watch(&node, stream, deliver).await;
        subscriber.stop();
        until("it is lost", || are_lost(&node) == [true]).await;
        let [lost] = &subscribers(&node)[..] else { panic!("not one") };
        assert_eq!((lost.subscriber.pid, lost.state, lost.behind_since), (pid, SubscriberState::Settled, None));
        assert_eq!(*node.seen.disconnected.lock(), [Disconnect::Timeout]);
        kept.swap(&files());
        let [lost] = &subscribers(&node)[..] else { panic!("not one") };
        assert_eq!(lost.state, SubscriberState::Behind);
        assert!(lost.behind_since.is_some() && lost.report.as_ref().is_some_and(|report| report.generation == 1));
        if deliver == v1::Deliver::Full {
            assert_eq!(*node.seen.keys_wanted.lock(), [true, false], "its key is wanted no longer");
        }
        process.end();
        until("it is gone", || subscribers(&node).is_empty()).await;
    }
}

#[tokio::test]
async fn a_lost_subscriber_that_connects_again_is_found_and_one_of_another_process_is_not() {
    let node = Node::start_with(impatient());
    let _kept = node.keep("x", &files());
    let (_process, stream) = another(&node);
    let other = Stopping::watch(&node, stream, v1::Deliver::Full).await;
    other.stop();
    until("it is lost", || are_lost(&node) == [true]).await;
    let own = Stopping::watch(&node, UnixStream::connect(node.socket()).await.unwrap(), v1::Deliver::Full).await;
    assert_eq!(are_lost(&node), [true, false]);
    own.stop();
    until("both are lost", || are_lost(&node) == [true, true]).await;
    let mut again = node.watch("x").await;
    again.update().await;
    assert_eq!(are_lost(&node), [true, false]);
}

#[tokio::test]
async fn a_process_with_another_connection_for_the_identity_is_not_lost() {
    let node = Node::start_with(impatient());
    let _kept = node.keep("x", &files());
    let mut lives = node.watch("x").await;
    lives.update().await;
    let stopped = Stopping::watch(&node, UnixStream::connect(node.socket()).await.unwrap(), v1::Deliver::Full).await;
    stopped.stop();
    until("it is given up", || !node.seen.disconnected.lock().is_empty()).await;
    assert_eq!(are_lost(&node), [false]);
}

#[tokio::test]
async fn a_subscriber_that_closes_its_stream_or_its_connection_or_is_sent_away_is_not_lost() {
    let mut node = Node::start_with(impatient());
    let kept = node.keep("x", &files());
    let (id, stream) = (kept.id(), UnixStream::connect(node.socket()).await.unwrap());
    drop(kept);
    let closes = Stopping::watch(&node, stream, v1::Deliver::Full).await;
    drop(closes.watched);
    until("it is gone", || subscribers(&node).is_empty()).await;
    let mut watched = node.watch("x").await;
    watched.update().await;
    node.store.removed(&id);
    until("it is gone", || subscribers(&node).is_empty()).await;
    let _kept = node.keep("x", &files());
    let mut watched = node.watch("x").await;
    watched.update().await;
    node.shutdown.cancel();
    until("it is gone", || subscribers(&node).is_empty()).await;
    assert!(!node.seen.disconnected.lock().contains(&Disconnect::Timeout));
    while node.servers.join_next().await.is_some() {}
}
