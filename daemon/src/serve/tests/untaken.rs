//! Subscribers that do not take what they are sent.

use super::*;

impl Node {
    /// A client that makes room for so many bytes of an answer until it reads.
    async fn narrow(&self, window: u32) -> AgentClient<Channel> {
        let mut stream = Some(TokioIo::new(UnixStream::connect(self.socket()).await.unwrap()));
        let connector = tower::service_fn(move |_: http::Uri| {
            let stream = stream.take();
            async { stream.ok_or_else(|| std::io::Error::other("connected once already")) }
        });
        let endpoint = Endpoint::from_static("http://localhost").initial_stream_window_size(window);
        AgentClient::new(endpoint.connect_with_connector(connector).await.unwrap())
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
        until("it is ended", || *node.seen.disconnected.lock().unwrap() == [Disconnect::Timeout]).await;
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
