//! Callers that ask for what is another's, and processes that pass for a pod's.

use evercert_fixtures::wait::{DEADLINE, until_within};
use evercert_fixtures::{Authority, Files, KubeletVolume, Leaf};
use evercert_tests::daemon::{Home, identity};

use crate::actor::Actor;
use crate::caller::{ask, ask_one, key, list};
use crate::cgroup::{CONTAINER, Cgroup};
use crate::daemon::{self, LIMITS, counted};
use crate::kubelet::{Kind, Kubelet};
use crate::room::Room;

/// How many ways there are to ask for what is another's.
const VARIATIONS: usize = 10_000;

const A: u32 = 70_001;
const B: u32 = 70_002;

fn files(name: &str) -> Files {
    Authority::new("root.example.org").issue(Leaf::for_dns(name)).files()
}

/// A volume of the node whose key its owner alone may read.
fn of(room: &Room, owner: u32, name: &str) -> KubeletVolume {
    let path = room.directory(&format!("etc/tls/{name}"));
    let volume = KubeletVolume::at(&path, &files(name)).with_mode(0o600);
    volume.swap(&files(name));
    let key = path.join("..data/tls.key");
    std::os::unix::fs::chown(key.canonicalize().unwrap(), Some(owner), Some(owner)).unwrap();
    volume
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_user_and_a_pod_get_their_own_and_nothing_by_ten_thousand_names_of_the_others() {
    let room = Room::enter();
    let kubelet = Kubelet::new(&room);
    let (p, q) = (kubelet.pod("p-0"), kubelet.pod("q-0"));
    let volumes = [(&p, "p-tls"), (&q, "q-tls")].map(|(pod, name)| pod.mount(Kind::Secret, name, &files(name)));
    let nodes = [of(&room, A, "a"), of(&room, B, "b")];
    let home = daemon::home(&room);
    let names = ["a", "b"].iter().zip(&nodes).map(|(name, volume)| identity(name, volume.path())).collect::<String>();
    home.configure(&(LIMITS.to_owned() + &daemon::pods(&kubelet) + &names));
    let running = home.start().await;
    for name in ["a", "b", "p-tls", "q-tls"] {
        running.until("it is published", name, |status| status.generation == 1).await;
    }
    let socket = home.agent_socket();
    let (a, groups) = (Actor::user(A), [Cgroup::of_pod(p.uid()), Cgroup::of_pod(q.uid())]);
    let in_p = Actor::user(B).within(&groups[0]);
    assert_eq!(list(&room, &a, &socket).await, ["a"]);
    assert_eq!(list(&room, &in_p, &socket).await, ["p-tls"]);
    assert!(key(&ask_one(&room, &a, &socket, "a").await) > 0, "its own");
    assert!(key(&ask_one(&room, &in_p, &socket, "p-tls").await) > 0, "its own");
    let denied = || counted(home.http().unwrap(), "evercert_attestations_total", &[r#"result="denied""#]);

    for (actor, own) in [(&a, "a"), (&in_p, "p-tls")] {
        let foreign = ["b", "q-tls", if own == "a" { "p-tls" } else { "a" }];
        let mut names = Vec::new();
        for name in foreign {
            let paths = nodes.iter().chain(&volumes).map(KubeletVolume::path).filter(|path| path.ends_with(name));
            names.extend(variations(name, p.uid(), q.uid(), paths.last().unwrap().to_str().unwrap()));
        }
        let step = names.len() / (VARIATIONS / 2);
        let names: Vec<_> = names.into_iter().step_by(step).take(VARIATIONS / 2).collect();
        assert_eq!(names.len(), VARIATIONS / 2);
        let (before, logged) = (denied(), home.log().len());
        let answers = ask(&room, actor, &socket, &names).await;
        assert_eq!(answers.iter().map(key).sum::<u64>(), 0, "bytes of key");
        for answer in &answers {
            let code = answer["code"].as_str().unwrap();
            assert!(matches!(code, "NotFound" | "PermissionDenied" | "InvalidArgument"), "{answer}");
        }
        let counted = answers.iter().filter(|answer| answer["code"] != "InvalidArgument").count();
        assert!(counted > 0);
        assert!(denied() - before >= counted as f64, "{} of {counted} denials are counted", denied() - before);
        let audited = home.log()[logged..].to_owned();
        assert!(
            audited.contains("denied") && audited.lines().count() < names.len() / 10,
            "{} lines",
            audited.lines().count()
        );
    }
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn whoever_makes_groups_that_look_like_a_pods_is_given_nothing_of_the_pods() {
    let room = Room::enter();
    let kubelet = Kubelet::new(&room);
    let (victim, own) = (kubelet.pod("victim-0"), kubelet.pod("own-0"));
    let _volume = victim.mount(Kind::Secret, "victim-tls", &files("victim"));
    let home = daemon::home(&room);
    home.configure(&(LIMITS.to_owned() + &daemon::pods(&kubelet)));
    let running = home.start().await;
    running.until("it is published", "victim-tls", |status| status.generation == 1).await;
    let socket = home.agent_socket();
    let genuine = Cgroup::of_pod(victim.uid());
    assert!(key(&ask_one(&room, &Actor::user(B).within(&genuine), &socket, "victim-tls").await) > 0, "the pod itself");

    let (uid, other) = (victim.uid(), own.uid());
    let slice = format!("kubepods.slice/kubepods-pod{}.slice/cri-containerd-{CONTAINER}.scope", uid.replace('-', "_"));
    let burstable = "kubepods/burstable";
    for path in [
        format!("{burstable}/pod{other}/{CONTAINER}/pod{uid}/{CONTAINER}"),
        format!("{burstable}/pod{other}/{CONTAINER}/{slice}"),
        format!("{burstable}/pod{other}/pod{uid}/{CONTAINER}"),
        format!("user.slice/user-{A}.slice/user@{A}.service/{slice}"),
        format!("user.slice/user-{A}.slice/user@{A}.service/app.slice/kubepods/pod{uid}/{CONTAINER}"),
        format!("system.slice/evil.service/{slice}"),
        format!("docker/{CONTAINER}/kubepods/burstable/pod{uid}/{CONTAINER}"),
        format!("kubepods/pod{uid}/pod{uid}/{CONTAINER}"),
        format!("kubepods/pod{uid}"),
        format!("pod{uid}/{CONTAINER}"),
        format!("kubepods/burstable/besteffort/pod{uid}/{CONTAINER}"),
        format!("kubepods/burstable/pod{uid}/{CONTAINER}/nested"),
        format!("kubepods/burstable/pod{uid}/{}", &CONTAINER[1..]),
        format!("machine.slice/{slice}"),
    ] {
        let cgroup = Cgroup::make(&path);
        for user in [A, 0] {
            let actor = Actor::user(user).within(&cgroup);
            let names = ["victim-tls".to_owned(), format!("pod/{uid}/victim-tls")];
            let answers = ask(&room, &actor, &socket, &names).await;
            assert_eq!(answers.iter().map(key).sum::<u64>(), 0, "{path}, user {user}: {answers:?}");
        }
    }
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_user_namespace_of_the_owners_own_makes_nobody_a_reader() {
    let room = Room::enter();
    let volume = of(&room, B, "b");
    let home = daemon::home(&room);
    home.configure(&identity("b", volume.path()));
    let running = home.start().await;
    running.until("it is published", "b", |status| status.generation == 1).await;
    let socket = home.agent_socket();
    assert!(key(&ask_one(&room, &Actor::user(B), &socket, "b").await) > 0, "the owner");
    let elsewhere = Actor::user(A).through(&["unshare", "--user", "--map-root-user"]);
    let answer = ask_one(&room, &elsewhere, &socket, "b").await;
    assert_eq!((&answer["code"], key(&answer)), (&"PermissionDenied".into(), 0), "{answer}");
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_pod_that_renames_its_log_directory_stays_what_it_was_called_first() {
    let room = Room::enter();
    let kubelet = Kubelet::new(&room);
    let (victim, evil) = (kubelet.pod("victim-0"), kubelet.pod("evil-0"));
    let [theirs, own] = ["theirs", "own"].map(|name| of(&room, B, name));
    let rule = |name| format!("allow = [\"pod:shop/{name}\"]\n\n");
    let home = daemon::home(&room);
    let identities =
        identity("theirs", theirs.path()) + &rule("victim-0") + &identity("own", own.path()) + &rule("evil-0");
    home.configure(&(LIMITS.to_owned() + &daemon::pods(&kubelet) + &identities));
    let running = home.start().await;
    running.until("it is published", "theirs", |status| status.generation == 1).await;
    running.until("it is published", "own", |status| status.generation == 1).await;
    let socket = home.agent_socket();
    let groups = [Cgroup::of_pod(victim.uid()), Cgroup::of_pod(evil.uid())];
    let [in_victim, in_evil] = [0, 1].map(|place| Actor::user(A).within(&groups[place]));
    assert!(key(&ask_one(&room, &in_victim, &socket, "theirs").await) > 0, "the victim itself");

    // Its own pod's directory is the victim's by name, and a further one calls the victim something else.
    evil.rename("victim-0");
    std::fs::create_dir(kubelet.logs().join(format!("shop_other_{}", victim.uid()))).unwrap();
    let contested = |state| counted(home.http().unwrap(), "evercert_pod_names_contested", &[state]);
    let told = || async { (contested("first_stays") == 2.0).then_some(()) };
    until_within(DEADLINE, "both are told", told).await;
    let answer = ask_one(&room, &in_evil, &socket, "theirs").await;
    assert_eq!((key(&answer), &answer["code"]), (0, &"PermissionDenied".into()), "{answer}");
    for (actor, name) in [(&in_victim, "theirs"), (&in_evil, "own")] {
        assert!(key(&ask_one(&room, actor, &socket, name).await) > 0, "{name}");
    }
    assert!(home.log().contains("another name of a pod than the first one"), "{}", home.log());
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_pod_whose_log_directory_is_renamed_while_no_daemon_runs_stays_what_it_was_called_first() {
    let room = Room::enter();
    let kubelet = Kubelet::new(&room);
    let pod = kubelet.pod("evil-0");
    let _tls = pod.mount(Kind::Secret, "tls", &files("evil"));
    let theirs = of(&room, B, "theirs");
    // The volume is an identity where the pod is of "shop", and of nothing else.
    let rules = "[[pods]]\nnamespace = \"bank\"\nignore = true\n\n[[pods]]\nnamespace = \"shop\"\n\n[[pods]]\nignore = true\n\n";
    let identity = identity("theirs", theirs.path()) + "allow = [\"pod:bank/victim-0\"]\n\n";
    let home = daemon::home(&room);
    home.configure(&(LIMITS.to_owned() + &daemon::pods(&kubelet) + rules + &identity));
    let running = home.start().await;
    running.until("it is published", "tls", |status| status.generation == 1).await;
    remembered(&home, "shop/evil-0").await;
    running.kill();
    pod.rename_into("bank", "victim-0");

    let running = home.start().await;
    let is_served = |status: &evercert_api::v1::IdentityStatus| status.generation > 0;
    let status = running.until("it is published again", "tls", is_served).await;
    let called = status.pod.unwrap();
    assert_eq!((&*called.namespace, &*called.name), ("shop", "evil-0"));
    running.until("it is published", "theirs", is_served).await;
    let contested = |state| counted(home.http().unwrap(), "evercert_pod_names_contested", &[state]);
    assert_eq!((contested("first_stays"), contested("in_doubt")), (1.0, 0.0));
    assert!(home.log().contains("another name of a pod than the first one"), "{}", home.log());
    let group = Cgroup::of_pod(pod.uid());
    let actor = Actor::user(A).within(&group);
    let answer = ask_one(&room, &actor, &home.agent_socket(), "theirs").await;
    assert_eq!((key(&answer), &answer["code"]), (0, &"PermissionDenied".into()), "{answer}");
    assert!(key(&ask_one(&room, &actor, &home.agent_socket(), "tls").await) > 0, "its own");
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn what_another_user_may_have_written_of_the_names_of_pods_is_not_believed() {
    let room = Room::enter();
    let kubelet = Kubelet::new(&room);
    let pod = kubelet.pod("evil-0");
    let _tls = pod.mount(Kind::Secret, "tls", &files("evil"));
    let home = daemon::home(&room);
    home.configure(&daemon::pods(&kubelet));
    let state = home.config().with_file_name("state");
    let file = state.join("pod-names.json");
    std::fs::create_dir(&state).unwrap();
    let forged = format!(r#"{{"version":1,"pods":{{"{}":{{"name":"shop/victim-0"}}}}}}"#, pod.uid());
    std::fs::write(&file, &forged).unwrap();
    let aside = state.join("pod-names.json.not-believed");
    let mut believed = Vec::new();
    for owner in [A, 0] {
        std::os::unix::fs::chown(&file, Some(owner), Some(owner)).unwrap();
        let running = home.start().await;
        let status = running.until("it is published", "tls", |status| status.generation == 1).await;
        believed.push(status.pod.unwrap().name);
        running.kill();
        std::fs::write(&file, &forged).unwrap();
    }
    assert_eq!(believed, ["evil-0", "victim-0"]);
    assert!(home.log().contains("what it says of the names of pods is not used"), "{}", home.log());
    assert_eq!(std::fs::read_to_string(aside).unwrap(), forged);
}

#[tokio::test]
#[ignore = "needs root, for mounts and users of its own"]
async fn a_pod_whose_log_directory_is_of_another_namespace_than_its_token_is_in_doubt_also_after_a_restart() {
    let room = Room::enter();
    let kubelet = Kubelet::new(&room);
    let (honest, evil) = (kubelet.pod("honest-0"), kubelet.pod("victim-0"));
    let token = |namespace: &str| Files::new().with("namespace", namespace).with("token", "x").with("ca.crt", "");
    let _own = honest.mount(Kind::Projected, "kube-api-access-7x2kp", &token("shop"));
    let identities = ["theirs", "own"].map(|name| {
        let volume = of(&room, B, name);
        let pod = if name == "own" { "honest-0" } else { "victim-0" };
        identity(name, volume.path()) + &format!("allow = [\"pod:shop/{pod}\"]\n\n")
    });
    let home = daemon::home(&room);
    home.configure(&(LIMITS.to_owned() + &daemon::pods(&kubelet) + &identities.concat()));
    let groups = [Cgroup::of_pod(honest.uid()), Cgroup::of_pod(evil.uid())];
    let [in_honest, in_evil] = [0, 1].map(|place| Actor::user(A).within(&groups[place]));
    let socket = home.agent_socket();
    let mut running = home.start().await;
    running.until("it is published", "theirs", |status| status.generation > 0).await;
    assert!(key(&ask_one(&room, &in_evil, &socket, "theirs").await) > 0, "nothing is known against it yet");

    let volume = evil.mount(Kind::Projected, "kube-api-access-q8w4z", &token("bank"));
    let in_doubt = || counted(home.http().unwrap(), "evercert_pod_names_contested", &["in_doubt"]);
    let told = || async { (in_doubt() == 1.0).then_some(()) };
    until_within(DEADLINE, "it is in doubt", told).await;
    for said in ["name=shop/victim-0", "namespace=bank", "another namespace than its volume"] {
        assert!(home.log().contains(said), "{}", home.log());
    }
    for start in 0..2 {
        let answer = ask_one(&room, &in_evil, &socket, "theirs").await;
        assert_eq!((key(&answer), &answer["code"]), (0, &"PermissionDenied".into()), "{answer}");
        assert!(key(&ask_one(&room, &in_honest, &socket, "own").await) > 0, "the honest one");
        let line = format!("\npod {}: name in doubt (the volume with its service account's token", evil.uid());
        let status = daemon::cli(&home, &["status"]);
        assert!(status.contains(&line) && !status.contains(&format!("pod {}", honest.uid())), "{status}");
        if start == 0 {
            remembered(&home, "\"namespace\"").await;
            running.kill();
            // The evidence against it is gone, and the doubt stays.
            volume.swap(&token("shop"));
            running = home.start().await;
            for name in ["theirs", "own"] {
                running.until("it is published", name, |status| status.generation > 0).await;
            }
        }
    }
}

/// Waits until this is written of the names of pods, which is a moment after it counts.
async fn remembered(home: &Home, text: &str) {
    let file = home.config().with_file_name("state/pod-names.json");
    let told = || async { std::fs::read_to_string(&file).is_ok_and(|names| names.contains(text)).then_some(()) };
    until_within(DEADLINE, "it is remembered", told).await;
}

/// Names, paths and UIDs by which somebody may hope to be given what is `name`.
fn variations(name: &str, own: &str, other: &str, path: &str) -> Vec<String> {
    let plain = [
        name.to_owned(),
        path.to_owned(),
        format!("{path}/tls.key"),
        format!("{path}/..data/tls.key"),
        format!("pod/{other}/{name}"),
        format!("pod/{own}/{name}"),
        format!("pod/{own}/../{other}/{name}"),
        format!("{other}/{name}"),
        format!("pods/{other}/volumes/kubernetes.io~secret/{name}"),
        format!("node/{name}"),
        format!("shop/q-0/{name}"),
        format!("own/{name}"),
        format!("{name}/tls"),
        format!("{name}/tls.key"),
    ];
    let before = [
        "", "/", "./", "../", "../../", "//", "%2e%2e/", "%2F", " ", "\t", "\0", "\u{feff}", "\u{200b}", "~", "\\", ".",
    ];
    let after = ["", "/", "/.", "/..", "//", "%00", "%2f", " ", "\n", "\0", "\u{200b}", ".", "#", "?", ";", "*"];
    let mut all = Vec::new();
    for word in &plain {
        let wide: String = word
            .chars()
            .map(|c| char::from_u32(c as u32 + 0xfee0).filter(|_| c.is_ascii_graphic()).unwrap_or(c))
            .collect();
        let encoded: String = word.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for word in [word.clone(), word.to_uppercase(), wide, encoded, word.replace('-', "_"), format!("{word}{word}")]
        {
            for before in before {
                all.extend(after.map(|after| format!("{before}{word}{after}")));
            }
        }
    }
    all
}
