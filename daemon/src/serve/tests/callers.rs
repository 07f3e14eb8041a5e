//! Callers from elsewhere than the host, which a test cannot be.

use super::super::agent::AgentService;
use super::super::connection::Peer;
use super::super::turned_away::{Doorkeeper, SocketKind};
use super::*;
use crate::attest::Attestor;
use crate::attest::tests::caller_in;
use crate::callers::PodName;
use crate::cgroup::Origin;
use crate::policy::Policy;

const POD: &str = "11111111-2222-3333-4444-555555555555";
const OTHER: &str = "aaaaaaaa-2222-3333-4444-555555555555";

fn in_pod(uid: &str) -> Origin {
    Origin::Pod(uid.into())
}

fn from<T>(origin: Origin, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.extensions_mut().insert(Arc::new(Peer::from(caller_in(origin))));
    request
}

fn agent(node: &Node) -> AgentService {
    let attestor = Arc::new(Attestor::new(Arc::clone(&node.seen) as _));
    let doorkeeper = Doorkeeper::new(Arc::clone(&node.seen) as _, SocketKind::Workload);
    AgentService::new(node.context.clone(), attestor, doorkeeper, node.shutdown.clone())
}

/// The identities for a caller of this origin.
async fn permitted(agent: &AgentService, origin: Origin) -> Vec<IdentityId> {
    let permitted = agent.permitted(&Peer::from(caller_in(origin)), usize::MAX).await;
    permitted.iter().map(|state| state.spec.id.clone()).collect()
}

#[tokio::test]
async fn a_pod_has_what_is_mounted_in_it_and_of_the_node_what_is_for_it_by_name() {
    let node = Node::start();
    let own = node.keep_in(POD, "x", &files());
    let others = node.keep_in(OTHER, "secret", &files());
    let shadowed = node.keep("x", &files());
    let for_pod = node.keep("shared", &files());
    let _for_readers = node.keep("readable", &files());
    let rule = || Policy(["pod:shop/pay-0".parse().unwrap()].into());
    let pod = PodName { namespace: "shop".into(), name: "pay-0".into() };
    let policies = [(shadowed.id(), rule()), (for_pod.id(), rule())].into();
    let wanted = Wanted { policies, pods: [(POD.into(), pod)].into(), ..Wanted::default() };
    node.wanted.send_replace(wanted.into());

    let agent = agent(&node);
    let mut of_pod = permitted(&agent, in_pod(POD)).await;
    of_pod.sort();
    assert_eq!(of_pod, [for_pod.id(), own.id()]);
    assert_eq!(permitted(&agent, in_pod(OTHER)).await, [others.id()]);
    for origin in [Origin::Unclear, Origin::Container] {
        assert_eq!(permitted(&agent, origin).await, []);
    }
    assert_eq!(*node.seen.decided.lock(), [], "nobody asked for one of these");
}

#[tokio::test]
async fn a_name_means_the_pods_own_and_another_pods_is_not_there() {
    let node = Node::start();
    let (own, others) = (node.keep_in(POD, "x", &files()), node.keep_in(OTHER, "secret", &files()));
    let of_node = node.keep("x", &files());
    let agent = agent(&node);
    let named = |origin, name: &str| agent.named(&Peer::from(caller_in(origin)), &name.parse().unwrap());
    assert_eq!(named(in_pod(POD), "x"), own.id());
    assert_eq!(named(in_pod(OTHER), "x"), of_node.id());
    assert_eq!(named(Origin::Host { unit: None }, "x"), of_node.id());
    assert_eq!(named(in_pod(OTHER), "secret"), others.id());
    let not_there = named(in_pod(POD), "secret");
    assert_eq!(not_there, IdentityId::node("secret".parse().unwrap()));
    let error = agent.state(&Peer::from(caller_in(in_pod(POD))), &not_there).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::NotFound);
    assert_eq!(error.message(), "no identity secret; you may have: x");
    assert_eq!(*node.seen.decided.lock(), [DecisionReason::UnknownName]);
}

#[tokio::test]
async fn what_is_to_be_mounted_in_a_pod_is_meant_before_it_was_read() {
    let node = Node::start();
    let _of_node = node.keep("x", &files());
    let id = IdentityId::pod(POD, "x".parse().unwrap());
    node.wanted.send_replace(Wanted { ids: [id.clone()].into(), ..Wanted::default() }.into());
    assert_eq!(agent(&node).named(&Peer::from(caller_in(in_pod(POD))), &id.name), id);
}

#[test]
fn the_admin_socket_is_for_processes_of_the_host_alone() {
    for origin in [in_pod(POD), Origin::Container, Origin::Unclear] {
        let refused = crate::serve::operators_only(from(origin, ())).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
        assert!(refused.message().starts_with("the admin socket is for operators of the node"), "{refused}");
    }
    assert!(crate::serve::operators_only(from(Origin::Host { unit: None }, ())).is_ok());
    assert!(crate::serve::operators_only(tonic::Request::new(())).is_err());
}
