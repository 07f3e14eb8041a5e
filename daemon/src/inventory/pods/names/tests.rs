use std::fs;

use super::*;

const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";
const STATIC: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn the_names_of_log_directories_tell_namespace_pod_and_uid() {
    let logs = tempfile::tempdir().unwrap();
    let good = [format!("shop_payments-5d_{UID}"), format!("kube-system_etcd-node.1_{STATIC}")];
    let bad = [
        format!("shop_{UID}"),
        format!("a_shop_payments_{UID}"),
        format!("Shop_payments_{UID}"),
        format!("shop__{UID}"),
        format!("-shop_payments_{UID}"),
        "shop_payments_1".to_owned(),
    ];
    good.iter().chain(&bad).for_each(|name| fs::create_dir(logs.path().join(name)).unwrap());
    fs::write(logs.path().join(format!("a_file_{}", UID.replace('2', "3"))), "").unwrap();
    std::os::unix::fs::symlink(&good[0], logs.path().join(format!("a_link_{}", UID.replace('2', "4")))).unwrap();

    let names = logs::read(logs.path(), LOGS_LIMIT, |_| false).unwrap().unwrap().names;
    let told: Vec<_> =
        names.iter().flat_map(|(uid, pods)| pods.iter().map(move |pod| format!("{uid} {pod}"))).collect();
    assert_eq!(told, [format!("{STATIC} kube-system/etcd-node.1"), format!("{UID} shop/payments-5d")]);
}

fn named(namespace: &str, names: &[&str]) -> Seen {
    let names = names.iter().map(|name| PodName::new(namespace, name).unwrap()).collect();
    [(UID.into(), names)].into()
}

fn seen(names: &[&str]) -> Seen {
    named("shop", names)
}

fn there() -> BTreeSet<Arc<str>> {
    [UID.into(), STATIC.into()].into()
}

/// A look that shows these pods and log directories.
fn look(names: &mut NameKeeping, seen: &Seen, there: &BTreeSet<Arc<str>>) {
    assert!(names.see(Evidence { pods: Some(there), logs: Some(seen), namespaces: &BTreeMap::new() }));
}

fn name(names: &NameKeeping) -> Option<String> {
    names.known().get(UID).map(ToString::to_string)
}

#[test]
fn a_pod_with_two_names_at_first_has_none_for_as_long_as_it_is_there() {
    let logs = tempfile::tempdir().unwrap();
    ["shop_a", "shop_b", "shop_c"]
        .iter()
        .for_each(|name| fs::create_dir(logs.path().join(format!("{name}_{UID}"))).unwrap());
    assert_eq!(logs::read(logs.path(), LOGS_LIMIT, |_| false).unwrap().unwrap().names[UID].len(), 2);
    assert_eq!(logs::read(&logs.path().join("none"), LOGS_LIMIT, |_| false).unwrap(), None);

    let mut names = NameKeeping::default();
    look(&mut names, &seen(&["a", "b"]), &there());
    assert_eq!((name(&names), names.contested()), (None, Contested { in_doubt: 1, first_stays: 0 }));
    assert_eq!(names.known().doubt(UID), Some(Doubt::LogDirectories));
    look(&mut names, &seen(&["a"]), &there());
    assert_eq!(name(&names), None, "that the other one is gone again proves nothing");
    look(&mut names, &Seen::new(), &[STATIC.into()].into());
    look(&mut names, &seen(&["a"]), &there());
    assert_eq!(name(&names).as_deref(), Some("shop/a"));
}

#[test]
fn the_first_name_of_a_pod_stays_for_as_long_as_it_is_there() {
    let mut names = NameKeeping::default();
    look(&mut names, &seen(&["a"]), &there());
    for later in [&["a", "b"][..], &["b"], &[]] {
        look(&mut names, &seen(later), &there());
        assert_eq!(name(&names).as_deref(), Some("shop/a"), "{later:?}");
        assert_eq!(names.contested(), Contested { in_doubt: 0, first_stays: 1 });
    }
    look(&mut names, &Seen::new(), &there());
    assert_eq!(name(&names).as_deref(), Some("shop/a"));
}

#[test]
fn a_pod_is_forgotten_where_others_are_there_and_it_is_not_and_for_no_other_reason() {
    let (none, others) = (BTreeSet::new(), [STATIC.into()].into());
    let proofless: [(Option<&BTreeSet<_>>, Option<&Seen>); 4] =
        [(None, Some(&Seen::new())), (Some(&others), None), (Some(&none), Some(&Seen::new())), (None, None)];
    for first in [&["a"][..], &["a", "b"]] {
        let mut names = NameKeeping::default();
        look(&mut names, &seen(first), &there());
        let known = names.known().clone();
        for (pods, logs) in proofless {
            names.see(Evidence { pods, logs, namespaces: &BTreeMap::new() });
            assert_eq!((names.known(), &names.lasting()), (&known, &known), "{pods:?} {logs:?}");
        }
        look(&mut names, &seen(first), &others);
        assert_eq!(names.known(), &known, "its logs are there");
        look(&mut names, &Seen::new(), &others);
        assert!(names.known().is_empty() && names.lasting().is_empty());
    }
}

#[test]
fn what_is_remembered_came_first() {
    let told = |names: &[&str]| {
        let mut before = NameKeeping::default();
        look(&mut before, &seen(names), &there());
        before.lasting()
    };
    for (remembered, expected) in [(&["a"][..], Some("shop/a")), (&["a", "b"], None)] {
        // Before it is seen what the pod is called now, and after that.
        for (is_late, contested) in [(false, 1), (true, 1)] {
            let mut names = NameKeeping::default();
            if is_late {
                look(&mut names, &seen(&["z"]), &there());
            }
            names.recall(&told(remembered));
            look(&mut names, &seen(&["z"]), &there());
            assert_eq!(name(&names).as_deref(), expected, "{remembered:?}");
            let Contested { in_doubt, first_stays } = names.contested();
            assert_eq!((in_doubt + first_stays, in_doubt), (contested, usize::from(expected.is_none())));
            assert_eq!(names.lasting(), told(remembered));
        }
    }
    let mut names = NameKeeping::default();
    look(&mut names, &seen(&["a", "b"]), &there());
    names.recall(&told(&["a"]));
    assert_eq!(name(&names), None, "a doubt stays");
}

#[test]
fn a_pod_that_never_was_there_is_not_remembered() {
    let mut names = NameKeeping::default();
    look(&mut names, &seen(&["a"]), &[STATIC.into()].into());
    assert_eq!((name(&names).as_deref(), names.lasting()), (Some("shop/a"), PodNames::new()));
    names.see(Evidence { pods: None, logs: Some(&seen(&["a"])), namespaces: &BTreeMap::new() });
    assert_eq!(names.lasting(), PodNames::new());
    look(&mut names, &seen(&["b"]), &there());
    assert_eq!(names.lasting().get(UID).map(ToString::to_string).as_deref(), Some("shop/a"));
}

#[test]
fn a_namespace_in_the_pods_volume_takes_a_name_away_and_never_gives_one() {
    let of = |namespace: &str| -> BTreeMap<Arc<str>, Arc<str>> { [(UID.into(), namespace.into())].into() };
    let see = |names: &mut NameKeeping, seen: &Seen, namespace: &str| {
        names.see(Evidence { pods: Some(&there()), logs: Some(seen), namespaces: &of(namespace) });
    };
    let mut names = NameKeeping::default();
    see(&mut names, &Seen::new(), "shop");
    assert_eq!(name(&names), None, "it gives no name");
    see(&mut names, &seen(&["a"]), "shop");
    assert_eq!(name(&names).as_deref(), Some("shop/a"));
    see(&mut names, &named("bank", &["a"]), "shop");
    assert_eq!((name(&names).as_deref(), names.contested().first_stays), (Some("shop/a"), 1));
    // The first name was the wrong one.
    see(&mut names, &seen(&["a"]), "bank");
    assert_eq!((name(&names), names.known().doubt(UID)), (None, Some(Doubt::Namespace)));
    assert_eq!(names.contested(), Contested { in_doubt: 1, first_stays: 0 });
    see(&mut names, &named("bank", &["a"]), "bank");
    assert_eq!(name(&names), None, "a doubt stays");

    let mut names = NameKeeping::default();
    see(&mut names, &seen(&["a", "b"]), "shop");
    assert_eq!(names.known().doubt(UID), Some(Doubt::LogDirectories), "it decides between no two");
    // At once, also where the name is new.
    let mut names = NameKeeping::default();
    see(&mut names, &seen(&["a"]), "bank");
    assert_eq!(names.lasting().doubt(UID), Some(Doubt::Namespace));
}

#[test]
fn log_directories_without_pods_are_known_up_to_a_limit_and_those_of_pods_beyond_it() {
    let uid = |number: usize| -> Arc<str> { format!("{number:032x}").into() };
    let name: BTreeSet<_> = PodName::new("shop", "a").into_iter().collect();
    let mut names = NameKeeping::default();
    let seen: Seen = (0..=PODS_LIMIT).map(|number| (uid(number), name.clone())).collect();
    assert!(!names.see(Evidence { pods: None, logs: Some(&seen), namespaces: &BTreeMap::new() }));
    assert_eq!(names.known().iter().count(), PODS_LIMIT);
    let there = [uid(PODS_LIMIT)].into();
    assert!(names.see(Evidence { pods: Some(&there), logs: Some(&seen), namespaces: &BTreeMap::new() }));
    assert!(names.known().get(&uid(PODS_LIMIT)).is_some());
}

#[test]
fn log_directories_of_pods_that_never_were_hide_none_of_a_pod_that_is() {
    let logs = tempfile::tempdir().unwrap();
    let make = |uid: &str| fs::create_dir(logs.path().join(format!("shop_a_{uid}"))).unwrap();
    (0..100).for_each(|number| make(&format!("{number:032x}")));
    make(UID);
    let read = |limit, known: &[&str]| logs::read(logs.path(), limit, |uid| known.contains(&uid)).unwrap().unwrap();
    let strangers = read(10, &[]);
    assert_eq!((strangers.names.len(), strangers.is_cut), (10, true));
    let all = read(101, &[]);
    assert_eq!((all.names.len(), all.is_cut), (101, false));
    // Wherever they are in the list.
    let pods: Vec<_> = all.names.keys().filter(|uid| !strangers.names.contains_key(*uid)).map(|uid| &**uid).collect();
    let of_pods = read(10, &pods);
    assert!(pods.iter().all(|uid| of_pods.names.contains_key(*uid)));
    assert_eq!((of_pods.names.len(), of_pods.is_cut), (101, false));
}
