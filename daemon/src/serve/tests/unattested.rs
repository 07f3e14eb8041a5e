//! Callers whose processes an observer cannot see, which a test has to be in another PID namespace to be.

use super::super::agent::{AgentService, PodClaim};
use super::super::connection::Peer;
use super::super::turned_away::{Doorkeeper, SocketKind};
use super::*;
use crate::attest::Attestor;
use crate::callers::Caller;
use crate::serve::CANDIDATES;

const POD: &str = "11111111-2222-3333-4444-555555555555";
const OTHER: &str = "aaaaaaaa-2222-3333-4444-555555555555";

fn agent(node: &Node) -> AgentService {
    let attestor = Arc::new(Attestor::new(Arc::clone(&node.seen) as _));
    let doorkeeper = Doorkeeper::new(Arc::clone(&node.seen) as _, SocketKind::Workload);
    AgentService::new(node.context.clone(), attestor, doorkeeper, node.shutdown.clone())
}

fn digest(kept: &Kept<'_>) -> Vec<u8> {
    kept.node.store.publication(&kept.id()).unwrap().digest.as_bytes().to_vec()
}

/// What a process that cannot be seen is told of the identities.
async fn listed(agent: &AgentService, pod: &str, held: &[u8], name: &str) -> Result<Vec<v1::IdentitySummary>, Status> {
    let asked = v1::ListRequest { held_digest: held.to_vec(), pod_uid: pod.to_owned(), name: name.to_owned() };
    let mut request = tonic::Request::new(asked);
    request.extensions_mut().insert(Arc::new(Peer::from(Caller::hidden(1000))));
    let answer = v1::agent_server::Agent::list(agent, request).await?;
    Ok(answer.into_inner().identities)
}

#[tokio::test]
async fn whoever_cannot_be_seen_hears_of_what_it_holds_and_of_its_pods_volume_by_name_and_of_nothing_else() {
    let node = Node::start_as(Mode::Observer, generous());
    let shared = files();
    let (own, others) = (node.keep_in(POD, "tls", &shared), node.keep_in(OTHER, "tls", &shared));
    let _secret = node.keep_in(POD, "secret", &files());
    let of_node = node.keep("node", &files());
    let agent = agent(&node);
    let names = |listed: Vec<v1::IdentitySummary>| -> Vec<_> {
        listed.into_iter().map(|one| (one.identity, one.digest, one.leaf, one.findings, one.generation)).collect()
    };
    let bare = |name: &str, digest: Vec<u8>| (name.to_owned(), digest, None, Vec::new(), 0);

    let held = digest(&own);
    assert_eq!(held, digest(&others));
    let by_both = names(listed(&agent, POD, &held, "").await.unwrap());
    assert_eq!(by_both, [bare("tls", held.clone())], "not of the other pod with the same content");
    let by_name = names(listed(&agent, POD, &[7; 32], "tls").await.unwrap());
    assert_eq!(by_name, [bare("tls", Vec::new())], "not even the digest of what it does not hold");
    let by_content = names(listed(&agent, "", &digest(&of_node), "tls").await.unwrap());
    assert_eq!(by_content, [bare("node", digest(&of_node))]);
    for (pod, held, name) in [("", &[][..], "tls"), ("", &[7; 32], "node"), (OTHER, &[7; 32], "secret")] {
        assert_eq!(listed(&agent, pod, held, name).await.unwrap(), [], "{pod} {name}");
    }
    for (pod, held) in [("../..", &[7; 32][..]), (POD, &[7; 31])] {
        assert_eq!(listed(&agent, pod, held, "tls").await.unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}

#[tokio::test]
async fn whoever_may_mean_very_many_identities_is_told_of_the_first_and_the_limit_is_told() {
    let node = Node::start_as(Mode::Observer, generous());
    let shared = files();
    let pod = |number: usize| format!("{number:032x}");
    let kept: Vec<_> = (0..CANDIDATES).map(|number| node.keep_in(&pod(number), "tls", &shared)).collect();
    let held = digest(&kept[0]);
    let agent = agent(&node);
    assert_eq!(listed(&agent, "", &held, "").await.unwrap().len(), CANDIDATES);
    assert_eq!(*node.seen.limits_reached.lock(), []);
    let _one_more = node.keep_in(&pod(CANDIDATES), "tls", &shared);
    assert_eq!(listed(&agent, "", &held, "").await.unwrap().len(), CANDIDATES);
    assert_eq!(*node.seen.limits_reached.lock(), [ServingLimit::Candidates]);
}

#[tokio::test]
async fn a_publisher_takes_nobody_at_its_word() {
    let node = Node::start();
    let own = node.keep_in(POD, "tls", &files());
    let refused = listed(&agent(&node), POD, &digest(&own), "tls").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    assert!(refused.message().contains("hostPID: true"), "{refused}");
}

#[tokio::test]
async fn whoever_does_not_say_in_which_pod_it_is_speaks_of_what_it_holds_only_where_one_identity_has_that() {
    let node = Node::start_as(Mode::Observer, generous());
    let shared = files();
    let first = node.keep_in(POD, "tls", &shared);
    let name = "tls".parse().unwrap();
    let held = node.store.publication(&first.id()).map(|publication| publication.digest);
    let meant = |pod: &str| PodClaim::of(pod, held).unwrap().identity(&node.store, &Wanted::default(), &name);
    assert_eq!(meant(""), Some(first.id()));
    let second = node.keep_in(OTHER, "tls", &shared);
    assert_eq!([meant(""), meant(POD), meant(OTHER)], [None, Some(first.id()), Some(second.id())]);
}
