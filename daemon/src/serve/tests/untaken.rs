//! Subscribers that do not take what they are sent.

use super::*;

impl Node {
    /// A client that makes room for so many bytes of an answer until it reads.
    async fn narrow(&self, window: u32) -> AgentClient<Channel> {
        narrow(UnixStream::connect(self.socket()).await.unwrap(), window).await
    }
}

pub(super) async fn narrow(stream: UnixStream, window: u32) -> AgentClient<Channel> {
    let endpoint = Endpoint::from_static("http://localhost").initial_stream_window_size(window);
    AgentClient::new(connect(endpoint, stream).await.unwrap())
}

/// Asks so often for a list that nobody reads; the answers come where they are refusals.
fn ask_in_vain(agent: &AgentClient<Channel>, times: usize, asked: &mut JoinSet<Status>) {
    for _ in 0..times {
        let mut agent = agent.clone();
        asked.spawn(async move { agent.list(v1::ListRequest::default()).await.unwrap_err() });
    }
}

#[tokio::test]
async fn whoever_takes_nothing_for_too_long_loses_its_connection_and_others_stay() {
    // With no window at all the transport keeps the message and asks nobody for more.
    for window in [0, 1] {
        let mut limits = generous();
        limits.patience.taking = Duration::from_millis(200);
        let node = Node::start_with(limits);
        let mut kept = node.keep("x", &files());
        let mut other = node.watch("x").await;
        other.update().await;
        let narrow = node.narrow(window).await;
        let _unread = tokio::spawn(async move { Watched::open(narrow, open("x")).await });
        until("it is ended", || *node.seen.disconnected.lock() == [Disconnect::Timeout]).await;
        kept.swap(&files());
        assert_eq!(other.update().await.generation, 2);
    }
}

#[tokio::test]
async fn whoever_reads_late_gets_the_one_that_was_on_its_way_and_then_the_latest() {
    let node = Node::start();
    let mut kept = node.keep("x", &files());
    let mut late = Watched::open(node.narrow(1).await, open("x")).await.unwrap();
    let mut other = node.watch("x").await;
    other.update().await;
    for generation in 2..=4 {
        kept.swap(&files());
        assert_eq!(other.update().await.generation, generation);
    }
    assert_eq!(late.update().await.generation, 1);
    assert_eq!(late.update().await.generation, 4);
}

#[tokio::test]
async fn whoever_reads_no_list_holds_two_of_them_however_often_it_asks_and_others_are_answered() {
    const ASKED: usize = 1024;
    let (cap, rate) = (Cap { in_all: 10_000, per_caller: 10_000 }, generous().requests);
    let node = Node::start_with(Limits::new(cap, cap, rate));
    let _kept = node.keep("x", &files());
    let mut asked = JoinSet::new();
    for _ in 0..ASKED / 128 {
        ask_in_vain(&node.narrow(0).await, 128, &mut asked);
    }
    for _ in 0..ASKED - 2 {
        let refused = soon("a refusal", asked.join_next()).await.unwrap().unwrap();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().starts_with("too many listings at once"), "{}", refused.message());
    }
    assert_eq!(asked.len(), 2);
    assert_eq!(*node.seen.turned_away.lock(), [TurnedAway::TooManyListings; ASKED - 2]);
    let (mut other, uid) = node.agent_of_another().await;
    if uid != rustix::process::getuid().as_raw() {
        assert_eq!(other.list(v1::ListRequest::default()).await.unwrap().into_inner().identities.len(), 1);
    }
}

#[tokio::test]
#[ignore = "needs root, to be other users"]
async fn lists_that_many_callers_do_not_read_give_way_to_whoever_has_none() {
    // Nobody's connection ends for another reason, however long the callers take to start.
    let mut limits = generous();
    limits.patience.taking = Duration::from_secs(3600);
    let node = Node::start_with(limits);
    let _kept = node.keep("x", &files());
    let mut asked = JoinSet::new();
    for uid in 2000..2016 {
        let agent = narrow(node.stream_of(Some(uid)), 0).await;
        // One of them is refused, when the others are there.
        ask_in_vain(&agent, 3, &mut asked);
        let refused = soon("a refusal", asked.join_next()).await.unwrap().unwrap();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    }
    let (mut other, _) = node.agent_of_another().await;
    assert_eq!(other.list(v1::ListRequest::default()).await.unwrap().into_inner().identities.len(), 1);
    // An answer on its way cannot be called back but with its connection.
    for _ in 0..2 {
        soon("the end of a connection", asked.join_next()).await.unwrap().unwrap();
    }
    assert_eq!(asked.len(), 30);
    let told = |reason| node.seen.turned_away.lock().iter().filter(|told| **told == reason).count();
    assert_eq!((told(TurnedAway::TooManyListings), told(TurnedAway::TooManyListingsInAll)), (16, 1));
}
