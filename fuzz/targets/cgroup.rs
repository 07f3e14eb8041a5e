//! Whatever a process's control groups are called: a pod is named by whole paths alone, and no two are ever taken for one.
#![no_main]

use evercertd::cgroup::{Origin, origin};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for prefixes in [&[][..], &["/docker/*".to_owned(), "/kubelet.slice".to_owned()]] {
        match origin(text, prefixes) {
            Origin::Pod(uid) => {
                let names = [format!("pod{uid}"), format!("pod{}", uid.replace('-', "_"))];
                let times = |path: &str| match &names {
                    [dashed, underscored] if dashed == underscored => path.matches(dashed).count(),
                    [dashed, underscored] => path.matches(dashed).count() + path.matches(underscored).count(),
                };
                let decided: Vec<&str> = paths(text).filter(|path| times(path) > 0).collect();
                assert!(!decided.is_empty(), "nobody named {uid}");
                for path in &decided {
                    assert_eq!(times(path), 1, "{path}");
                    let path = path.strip_suffix("/container").unwrap_or(path);
                    let (pod, container) = path.rsplit_once(['/', ':']).expect("a container is in a pod");
                    assert!(times(pod) == 1 && container.len() >= 64, "{path}");
                    assert!(!path.trim_start_matches("/..").contains("/."), "{path}");
                    let is_from_the_root = pod.starts_with("/kubepods") || pod.starts_with("/..");
                    assert!(is_from_the_root || !prefixes.is_empty(), "{path}");
                }
                let others = paths(text).filter(|path| times(path) == 0);
                others.for_each(|path| assert!(!path.contains("kubepods"), "{path}"));
            }
            Origin::Host { unit } => {
                paths(text).for_each(|path| assert!(!path.contains("kubepods"), "{path}"));
                if let Some(unit) = unit {
                    let is_of_the_unit = |path: &str| path.contains("/system.slice/") && path.contains(&*unit);
                    assert!(unit.ends_with(".service") && paths(text).any(is_of_the_unit), "{unit}");
                }
            }
            Origin::Container | Origin::Unclear => {}
        }
    }
});

/// The path of each hierarchy.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.splitn(3, ':').nth(2))
}
