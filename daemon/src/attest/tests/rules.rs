use evercert_core::mount::Access;

use super::*;
use crate::callers::{NamespaceKind, PodName};

const POD: &str = "11111111-2222-3333-4444-555555555555";
const OTHER: &str = "aaaaaaaa-2222-3333-4444-555555555555";

fn host(uid: u32, unit: Option<&str>) -> Caller {
    caller(uid, &[uid, STAFF]).of_origin(Origin::Host { unit: unit.map(Into::into) })
}

fn in_pod(pod: &str, uid: u32) -> Caller {
    caller(uid, &[uid, STAFF]).of_origin(Origin::Pod(pod.into()))
}

fn in_container(uid: u32) -> Caller {
    caller(uid, &[uid, STAFF]).of_origin(Origin::Container)
}

/// In a container whose users are others than those of the same number here.
fn in_container_with_users(uid: u32) -> Caller {
    in_container(uid).of_namespaces(Namespaces::Other(NamespaceKind::User))
}

/// An identity that is read by root alone, and these rules for it.
fn allowing(rules: &[&str]) -> (IdentityState, Wanted) {
    let state = state(Path::new("/nonexistent"));
    let policy = Policy(rules.iter().map(|rule| rule.parse().unwrap()).collect());
    let pod = PodName { namespace: "shop".into(), name: "pay-0".into() };
    let policies = [(state.spec.id.clone(), policy)].into();
    let wanted = Wanted { policies, pods: [(POD.into(), pod)].into(), ..Wanted::default() };
    (state, wanted)
}

async fn decided(caller: &Caller, rules: &[&str]) -> Result<Grant, Denial> {
    let (state, wanted) = allowing(rules);
    Attestor::new(Arc::new(())).decide(caller, &state, &wanted).await
}

#[tokio::test]
async fn a_rule_lets_in_whom_it_names_and_nobody_else() {
    let pay = Some("pay.service");
    for (rule, lets_in, keeps_out) in [
        (
            "uid:1000",
            vec![host(1000, None), host(1000, pay), in_container_with_users(1000)],
            vec![host(1001, None), in_container(0), in_container(1000), in_pod(POD, 1000)],
        ),
        (
            "gid:50",
            vec![host(7, None), in_container_with_users(7)],
            vec![caller(50, &[7]), in_container(7), in_pod(POD, 7), in_pod(POD, 0)],
        ),
        (
            "unit:pay.service",
            vec![host(7, pay)],
            vec![host(7, None), host(7, Some("pay2.service")), in_container(7), in_pod(POD, 7)],
        ),
        (
            "pod:shop/pay-0",
            vec![in_pod(POD, 0), in_pod(POD, 1000)],
            vec![in_pod(OTHER, 0), host(1000, pay), in_container(0)],
        ),
        ("user:nobody-here", vec![], vec![host(1000, None), in_pod(POD, 1000)]),
    ] {
        for caller in lets_in {
            let granted = decided(&caller, &["uid:4", rule]).await.unwrap();
            assert_eq!(granted, Grant::Rule(rule.parse().unwrap()), "{rule} {caller:?}");
        }
        for caller in keeps_out {
            let denied = decided(&caller, &["uid:4", rule]).await.unwrap_err();
            assert_eq!(denied.reason(), DecisionReason::NotNamed, "{rule} {caller:?}: {denied}");
        }
    }
}

#[tokio::test]
async fn what_is_mounted_in_a_pod_is_for_that_pod_alone() {
    let (mut state, wanted) = allowing(&["uid:1000"]);
    Arc::make_mut(&mut state.spec).id = IdentityId::pod(POD, "x".parse().unwrap());
    let attestor = Attestor::new(Arc::new(()));
    assert_eq!(attestor.decide(&in_pod(POD, 1000), &state, &wanted).await.unwrap(), Grant::OwnPod);
    for other in [in_pod(OTHER, 0), host(0, None), host(1000, None), in_container(0)] {
        let denied = attestor.decide(&other, &state, &wanted).await.unwrap_err();
        assert_eq!(denied.reason(), DecisionReason::OtherPod, "{other:?}: {denied}");
    }
}

#[tokio::test]
async fn root_of_a_pod_or_container_is_not_root_of_the_node() {
    assert_eq!(decided(&host(0, None), &["uid:5"]).await.unwrap(), Grant::Root);
    for root in [in_pod(POD, 0), in_container(0)] {
        let denied = decided(&root, &["readers"]).await.unwrap_err();
        assert_eq!(denied.reason(), DecisionReason::OtherView, "{root:?}: {denied}");
    }
}

#[tokio::test]
async fn whose_place_cannot_be_told_has_nothing_whatever_its_user() {
    for uid in [0, 1000] {
        let unclear = caller(uid, &[]).of_origin(Origin::Unclear);
        let denied = decided(&unclear, &["readers", "uid:1000", "uid:0"]).await.unwrap_err();
        assert!(denied.to_string().contains("(process 1) do not tell which pod"), "{denied}");
        let unseen = decided(&Caller::new(0, uid, vec![]), &["readers", "uid:1000", "uid:0"]).await.unwrap_err();
        assert!(unseen.to_string().contains("needs hostPID: true"), "{unseen}");
    }
}

#[test]
fn nobody_uses_up_what_is_for_a_user_of_the_node_but_that_user() {
    let own = host(1000, None).party();
    for other in [in_pod(POD, 1000), in_container(1000), caller(1000, &[]).of_origin(Origin::Unclear), host(7, None)] {
        assert_ne!(other.party(), own, "{other:?}");
    }
}

#[tokio::test]
async fn a_number_that_stands_for_every_user_of_another_namespace_is_nobodys() {
    let denied = decided(&host(65_534, None), &["uid:65534", "gid:65534"]).await.unwrap_err();
    assert_eq!(denied.reason(), DecisionReason::UnknownUser, "{denied}");
    let overflow = caller(1, &[65_534]);
    assert_eq!(decided(&overflow, &["gid:65534"]).await.unwrap_err().reason(), DecisionReason::NotNamed);
}

#[tokio::test]
async fn a_denial_says_what_would_allow_it() {
    for (caller, rules, sentence) in [
        (
            host(1001, None),
            &["uid:4"][..],
            "uid:4: the caller is uid 1001 (gids 50, 1001); to allow it: allow = [\"uid:4\", \"uid:1001\"] in its [[identity]]",
        ),
        (
            host(1001, Some("pay.service")),
            &["unit:a.service"],
            "unit:a.service: the caller is in the unit pay.service; to allow it: allow = [\"unit:a.service\", \
             \"unit:pay.service\"] in its [[identity]]",
        ),
        (
            in_pod(POD, 0),
            &["readers"],
            "readers: the caller is in pod shop/pay-0, so what the node's files allow says nothing of it; to allow it: \
             allow = [\"readers\", \"pod:shop/pay-0\"] in its [[identity]]",
        ),
        (
            in_pod(OTHER, 0),
            &["pod:shop/pay-0"],
            "pod:shop/pay-0: the caller is in the pod with UID aaaaaaaa-2222-3333-4444-555555555555, whose name is not known here",
        ),
        (in_container(7), &["uid:4"], "uid:4: the caller is in a container that is of no pod"),
        (in_container_with_users(0), &["uid:4"], "uid:4: the caller is uid 0 (gids 0, 50)"),
        (
            in_container_with_users(7),
            &["unit:a.service", "uid:1", "uid:2", "uid:3", "user:jane"],
            "unit:a.service: the caller is in a container that is of no pod; uid:1: the caller is uid 7 (gids 7, 50); uid:2: the \
             caller is uid 7 (gids 7, 50); nor do 2 more rules fit; to allow it: add \"uid:7\" to `allow` of its [[identity]]",
        ),
    ] {
        assert_eq!(decided(&caller, rules).await.unwrap_err().to_string(), sentence);
    }
}

#[test]
fn readers_of_a_file_system_where_another_decides_are_not_let_in() {
    const NFS: u32 = 0x6969;
    let (_home, mut state) = home(0o444);
    let mut now = sight(&state);
    now.access.as_mut().unwrap().filesystem = NFS;
    let refused = route::decide(&stranger(), &now, &state).unwrap_err().to_string();
    assert!(refused.contains("tls.key is on the file system nfs, of which"), "{refused}");
    let record = state.key_access.as_mut().map(Arc::make_mut).unwrap();
    record.filesystem = NFS;
    let refused = route::decide(&stranger(), &sight(&state), &state).unwrap_err();
    assert_eq!(refused.reason(), DecisionReason::FileSystem, "it was there when it was read: {refused}");
    // One who may not read the directory does not learn of it.
    state.spec = super::state(Path::new("/sys/kernel")).spec;
    let refused = route::decide(&stranger(), &sight(&state), &state).unwrap_err().to_string();
    assert!(refused.starts_with("readers: /sys is on the file system 0x62656572, of which"), "{refused}");
}

#[test]
fn a_caller_has_to_be_a_reader_of_the_file_that_was_read_and_of_the_one_that_is_there_now() {
    let (home, mut state) = home(0o444);
    let access = |mode, acl: Option<&[u8]>| Access { owner: 1, group: 1, mode, acl: acl.map(Into::into) };
    for (access, lets_in) in
        [(access(0o400, None), false), (access(0o404, None), true), (access(0o444, Some(&[])), false)]
    {
        state.key_access.as_mut().map(Arc::make_mut).unwrap().access = access;
        let decision = route::decide(&stranger(), &sight(&state), &state);
        assert_eq!(decision.is_ok(), lets_in, "{:?}: {decision:?}", state.key_access);
    }
    // The other way round: who could read it then has to be able to now.
    set_mode(home.path().join("tls.key"), 0o400);
    state.key_access.as_mut().map(Arc::make_mut).unwrap().access = access(0o444, None);
    assert!(route::decide(&stranger(), &sight(&state), &state).is_err());
}
