//! The decisions whether a subscriber may have something, and what is done before them: seen without a transport, which asks
//! for answers when it likes.

use evercert_api::v1::agent_server::AgentServer;
use v1::report::Outcome;

use super::super::agent::AgentService;
use super::super::connection::Peer;
use super::super::streams::Counted;
use super::super::turned_away::{Doorkeeper, SocketKind};
use super::*;
use crate::attest::Attestor;
use crate::callers::{Caller, Quota};

/// The agent of a node, and a process of another user than the files' owner that asks it.
struct Desk {
    agent: Arc<AgentService>,
    peer: Arc<Peer>,
    door: Arc<dyn DoorObserver>,
    _process: Other,
    _streams: (UnixStream, std::os::unix::net::UnixStream),
}

impl Desk {
    async fn of(node: &Node) -> Self {
        let socket = node.home.path().join("desk.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        set_mode(&socket, 0o666);
        let (process, far) = Other::connect(&socket, Some(1000));
        let (near, _) = listener.accept().await.unwrap();
        let caller = Caller::of(&near, &node.context.processes).unwrap();
        let attestor = Arc::new(Attestor::new(Arc::clone(&node.seen) as _));
        let (peer, door) = (Arc::new(Peer::from(caller)), Arc::clone(&node.context.door));
        let doorkeeper = Doorkeeper::new(Arc::clone(&door), SocketKind::Workload);
        let agent = AgentService::new(node.context.clone(), attestor, doorkeeper, node.shutdown.clone());
        let agent = Arc::new(agent);
        Self { agent, peer, door, _process: process, _streams: (near, far) }
    }

    async fn watch(&self, open: v1::Open) -> Watched {
        let quota = Quota::new(Cap { in_all: 1, per_caller: 1 });
        let service = AgentServer::from_arc(Arc::clone(&self.agent));
        let doorkeeper = Doorkeeper::new(Arc::clone(&self.door), SocketKind::Workload);
        let mut service = Counted::new(service, quota, doorkeeper, |_| Status::resource_exhausted("one too many"));
        let peer = Arc::clone(&self.peer);
        let service = tower::service_fn(move |mut request: http::Request<Body>| {
            request.extensions_mut().insert(Arc::clone(&peer));
            tower::Service::call(&mut service, request)
        });
        Watched::open(AgentClient::new(service), open).await.unwrap()
    }
}

impl Kept<'_> {
    /// Publishes another generation whose key is not the subscriber's to read by the time that it is decided about it.
    fn swap_and_then(&mut self, change: impl FnOnce(&Path)) {
        self.volume.swap(&files());
        let spec = Arc::clone(&self.lifecycle.state().spec);
        let material = Material::parse(&spec, mount::read(&spec.files));
        change(&self.key());
        let now = Now { wall: SystemTime::now(), monotonic: Instant::now() };
        assert!(self.lifecycle.handle(Event::Read { material, final_try: true }, now).changed);
        self.node.store.state(&spec.id, Arc::clone(self.lifecycle.state()));
    }
}

#[tokio::test]
#[ignore = "needs root, to be other users"]
async fn nothing_is_encoded_for_a_subscriber_that_may_not_have_it() {
    let node = Node::start();
    let mut kept = node.keep("x", &files());
    let desk = Desk::of(&node).await;
    let mut watched = desk.watch(open("x")).await;
    watched.update().await;
    assert_eq!(desk.agent.encoded(), 1);
    kept.swap_and_then(|key| set_mode(key, 0));
    assert_eq!(watched.error().await.code(), tonic::Code::PermissionDenied);
    assert_eq!(desk.agent.encoded(), 1);
}

#[tokio::test]
#[ignore = "needs root, to be other users"]
async fn a_subscriber_that_holds_what_is_published_is_told_so_only_if_it_may_have_it_still() {
    let node = Node::start();
    let kept = node.keep("x", &files());
    let digest = kept.lifecycle.state().snapshot.as_ref().unwrap().digest();
    let desk = Desk::of(&node).await;
    let held = v1::Open { held_digest: digest.as_bytes().to_vec(), ..open("x") };
    let mut watched = desk.watch(held.clone()).await;
    assert!(matches!(watched.next().await, Answer::Unchanged(_)));
    // Its answers are asked for only when they are waited for.
    let mut watched = desk.watch(held).await;
    set_mode(kept.key(), 0);
    assert_eq!(watched.error().await.code(), tonic::Code::PermissionDenied);
}

#[tokio::test]
#[ignore = "needs root, to be other users"]
async fn a_subscriber_that_reports_often_does_not_put_off_the_next_look_at_what_it_may_have() {
    let node = Node::start();
    let mut kept = node.keep("x", &files());
    let desk = Desk::of(&node).await;
    let mut watched = desk.watch(open("x")).await;
    let first = watched.update().await;
    let aside = node.home.path().join("aside");
    kept.swap_and_then(|key| std::fs::rename(key, &aside).unwrap());
    let undecided = || node.seen.decided.lock().last() == Some(&DecisionReason::Missing);
    let started = tokio::time::Instant::now();
    let second = loop {
        tokio::select! {
            biased;
            update = watched.update() => break update,
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                if undecided() && aside.exists() {
                    std::fs::rename(&aside, kept.key()).unwrap();
                }
                watched.report(EPOCH, 1, &first.digest, Outcome::Stage(v1::Stage::Current.into())).await;
            }
        }
        assert!(started.elapsed() < DEADLINE, "waited in vain for another look");
    };
    assert_eq!(second.generation, 2);
}
