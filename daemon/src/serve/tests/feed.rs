//! A service that asks for two identities at once over one feed, and makes its messages of names and numbers.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_stream::wrappers::UnboundedReceiverStream;

use super::super::connection::Peer;
use super::super::feed::{Asked, Asker, Feed, News, Said, Standing, What};
use super::*;
use crate::attest::Attestor;
use crate::callers::Caller;
use crate::policy::Policy;
use crate::publication::{Delivery, Outcome, Report, SubscriberState};

/// A rule that names no user.
const NOBODY: &str = "uid:4294967294";

/// The service, with one stream of one caller.
struct Two {
    feed: Feed<UnboundedReceiverStream<Said>>,
    says: mpsc::UnboundedSender<Said>,
    /// The number of messages made of a generation, and with that of its key.
    made: Arc<AtomicUsize>,
}

impl Two {
    /// Asks for these as another process of another user than root.
    async fn open(node: &Node, ids: [IdentityId; 2]) -> Result<Self, Status> {
        let socket = node.home.path().join(format!("two-{}.sock", node.others.lock().len()));
        let listener = UnixListener::bind(&socket).unwrap();
        set_mode(&socket, 0o666);
        let (process, _connected) = Other::connect(&socket, (own() == 0).then_some(uid()));
        node.others.lock().push(process);
        let (stream, _) = soon("a connection", listener.accept()).await.unwrap();
        let caller = Caller::of(&stream, &node.context.processes).unwrap();
        let (says, said) = mpsc::unbounded_channel();
        let peer = Arc::new(Peer::from(caller));
        let asker = Asker {
            _accepted: peer.accepted.another(),
            attestor: Arc::new(Attestor::new(Arc::clone(&node.seen) as _)),
            wanted: node.context.wanted.clone(),
            peer,
            displaced: Default::default(),
            deliver: Delivery::Full,
            standing: Standing::Attested,
            sdk_version: String::new(),
            shutdown: node.shutdown.clone(),
        };
        let asked = ids.map(|id| Asked { state: node.store.follow(&id).unwrap(), id, held: None });
        let said = UnboundedReceiverStream::new(said);
        let feed = Feed::open(asker, asked.into(), said, &node.subscribers).await?;
        Ok(Self { feed, says, made: Arc::default() })
    }

    /// The next message; nothing once the stream has ended.
    async fn next(&mut self) -> Option<Result<String, Status>> {
        let made = &self.made;
        let mut make = |News { state, what }: News<'_>| {
            let name = &state.spec.id.name;
            Ok(match what {
                What::Generation(snapshot) => {
                    made.fetch_add(1, Ordering::Relaxed);
                    let has_key = snapshot.credential().is_some_and(|credential| credential.key().is_some());
                    format!("{name} {} {}", snapshot.generation(), if has_key { "with its key" } else { "without" })
                }
                What::Pending => format!("{name} pending"),
                What::Findings => format!("{name} findings"),
                What::Unchanged(_) => format!("{name} unchanged"),
                What::Removed => format!("{name} removed"),
            })
        };
        soon("a message", self.feed.next(&mut make)).await
    }

    async fn said(&mut self) -> String {
        self.next().await.unwrap().unwrap()
    }
}

fn own() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The user of the process that asks.
fn uid() -> u32 {
    if own() == 0 { 1000 } else { own() }
}

/// Lets callers have these identities by these rules.
fn allow(node: &Node, rules: [(&IdentityId, &str); 2]) {
    let policies = rules.map(|(id, rule)| (id.clone(), Policy([rule.parse().unwrap()].into()))).into();
    let ids = rules.map(|(id, _)| id.clone()).into();
    node.wanted.send_replace(Wanted { ids, policies, ..Wanted::default() }.into());
}

/// Lets the caller have both.
fn allow_both(node: &Node, [a, b]: [&IdentityId; 2]) {
    let rule = format!("uid:{}", uid());
    allow(node, [(a, &rule), (b, &rule)]);
}

#[tokio::test]
async fn two_identities_are_followed_at_once_and_each_is_told_and_reported_and_goes_by_itself() {
    let node = Node::start();
    let (mut a, b) = (node.keep("a", &files()), node.keep("b", &files()));
    allow_both(&node, [&a.id(), &b.id()]);
    let mut two = Two::open(&node, [a.id(), b.id()]).await.unwrap();
    assert_eq!([two.said().await, two.said().await], ["a 1 with its key", "b 1 with its key"]);

    a.swap(&files());
    assert_eq!(two.said().await, "a 2 with its key", "and nothing of b, which has not changed");

    let publication = node.store.publication(&b.id()).unwrap();
    let report = Report {
        epoch: EPOCH,
        generation: 1,
        digest: Some(publication.digest),
        outcome: Some(Outcome::Settled),
        ..Report::default()
    };
    two.says.send(Said::Report(1, report)).unwrap();
    node.store.removed(&a.id());
    assert_eq!(two.said().await, "a removed");
    assert_eq!(node.subscribers.of(&a.id()).len(), 0);
    let waits = tokio::time::timeout(Duration::from_millis(50), two.feed.next(&mut |_| Ok::<(), Status>(()))).await;
    assert!(waits.is_err(), "b goes on");
    assert_eq!(node.subscribers.of(&b.id())[0].state, SubscriberState::Settled);

    node.store.removed(&b.id());
    assert_eq!(two.said().await, "b removed");
    assert!(two.next().await.is_none());
    assert_eq!(*node.seen.disconnected.lock(), [Disconnect::Removed; 2]);
}

#[tokio::test]
async fn one_that_is_not_for_the_caller_is_refused_with_the_other_and_nothing_is_made_of_it() {
    let node = Node::start();
    let (a, mut b) = (node.keep("a", &files()), node.keep("b", &files()));
    let its_own = format!("uid:{}", uid());
    allow(&node, [(&a.id(), &its_own), (&b.id(), NOBODY)]);
    let refused = Two::open(&node, [a.id(), b.id()]).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert!(refused.message().starts_with(&format!("identity b: {NOBODY}: the caller is")), "{refused}");
    assert_eq!(node.subscribers.of(&a.id()).len(), 0);

    allow_both(&node, [&a.id(), &b.id()]);
    let mut two = Two::open(&node, [a.id(), b.id()]).await.unwrap();
    assert_eq!([two.said().await, two.said().await], ["a 1 with its key", "b 1 with its key"]);
    allow(&node, [(&a.id(), &its_own), (&b.id(), NOBODY)]);
    b.swap(&files());
    assert_eq!(two.next().await.unwrap().unwrap_err().code(), tonic::Code::PermissionDenied);
    assert_eq!(
        two.made.load(Ordering::Relaxed),
        2,
        "a message was made of a key before it was decided who may have it"
    );
    assert!(two.next().await.is_none());
    assert_eq!(*node.seen.disconnected.lock(), [Disconnect::Denied; 2]);
}

#[tokio::test]
async fn an_identity_that_changes_all_the_time_keeps_no_other_from_being_told() {
    let node = Node::start();
    let (mut a, mut b) = (node.keep("a", &files()), node.keep("b", &files()));
    allow_both(&node, [&a.id(), &b.id()]);
    let mut two = Two::open(&node, [a.id(), b.id()]).await.unwrap();
    assert_eq!([two.said().await, two.said().await], ["a 1 with its key", "b 1 with its key"]);
    b.swap(&files());
    a.swap(&files());
    assert_eq!(two.said().await, "a 2 with its key");
    a.swap(&files());
    assert_eq!(two.said().await, "b 2 with its key", "it is b's turn");
    a.swap(&files());
    assert_eq!(two.said().await, "a 4 with its key", "of several the latest is told");
}
