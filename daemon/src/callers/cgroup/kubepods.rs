//! How the kubelet and container runtimes name the groups of pods.

use evercert_core::identity::is_pod_uid;

/// The length of a container's ID: a SHA-256 in hexadecimal digits.
const CONTAINER_ID: usize = 64;

/// So many hexadecimal digits after `pod` make a name look like a pod's.
const LIKE_A_UID: usize = 8;

/// The classes of service that have groups of their own; a guaranteed pod is directly below `kubepods`.
const CLASSES: [&str; 2] = ["burstable", "besteffort"];

/// Runtimes' prefixes to the ID in the name of a scope.
const SCOPES: [&str; 3] = ["cri-containerd-", "crio-", "docker-"];

/// The group that crun puts a container's processes into, below the scope.
const SUBGROUP: &str = "container";

/// The UID of the pod to which this path belongs as a whole. Of a path `from_outside` the beginning may be missing.
pub(super) fn pod(path: &[&str], from_outside: bool, prefixes: &[String]) -> Option<String> {
    let path = match path {
        [above @ .., scope, SUBGROUP] if is_scope(scope) => &path[..=above.len()],
        _ => path,
    };
    let mut prefixes = std::iter::once("").chain(prefixes.iter().map(String::as_str));
    prefixes.find_map(|prefix| below(prefix, path, from_outside))
}

/// The same for a path that begins with `prefix`.
fn below(prefix: &str, path: &[&str], from_outside: bool) -> Option<String> {
    let mut expected: Vec<String> = prefix.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    // The name of a slice begins with that of the slice it lies in.
    let stem = expected.last().and_then(|last| last.strip_suffix(".slice")).map(|slice| format!("{slice}-"));
    let stem = stem.unwrap_or_default();
    let (last, above) = path.split_last()?;
    let (uid, above) = if let Some((slice, id)) = last.split_once(":cri-containerd:") {
        // containerd writes the name of a slice so when it was not told that a system manager keeps the groups.
        let (_, uid) = of_a_slice(slice, &stem)?;
        is_container_id(id).then_some((uid, above))?
    } else {
        let (pod, above) = above.split_last()?;
        let uid = if let Some((class, uid)) = of_a_slice(pod, &stem) {
            expected.push(format!("{stem}kubepods.slice"));
            expected.extend(class.map(|class| format!("{stem}kubepods-{class}.slice")));
            is_scope(last).then_some(uid)?
        } else {
            let class = above.last().filter(|class| CLASSES.contains(class));
            expected.push("kubepods".to_owned());
            expected.extend(class.map(|class| (*class).to_owned()));
            is_container_id(last.strip_prefix("crio-").unwrap_or(last))
                .then_some(uid_of(pod.strip_prefix("pod")?, '-')?)?
        };
        (uid, above)
    };
    let missing = expected.len().checked_sub(above.len()).filter(|missing| *missing == 0 || from_outside)?;
    let fits = |(expected, component): (&String, &&str)| match expected.as_str() {
        "*" => is_container_id(component),
        name => name == *component,
    };
    expected[missing..].iter().zip(above).all(fits).then_some(uid)
}

/// The class and the UID of a pod whose slice is called `name`.
fn of_a_slice(name: &str, stem: &str) -> Option<(Option<&'static str>, String)> {
    let name = name.strip_suffix(".slice")?.strip_prefix(stem)?.strip_prefix("kubepods-")?;
    let with_class = CLASSES.iter().find_map(|class| Some((*class, name.strip_prefix(class)?.strip_prefix('-')?)));
    let (class, pod) = with_class.map_or((None, name), |(class, pod)| (Some(class), pod));
    Some((class, uid_of(pod.strip_prefix("pod")?, '_')?))
}

/// A UID as the API server writes it. No name mixes the separators.
fn uid_of(text: &str, separator: char) -> Option<String> {
    let uid = text.replace(separator, "-");
    let is_mixed = separator != '-' && text.contains('-');
    (!is_mixed && is_pod_uid(&uid)).then_some(uid)
}

fn is_scope(name: &str) -> bool {
    let id = name.strip_suffix(".scope");
    id.is_some_and(|id| SCOPES.iter().any(|runtime| id.strip_prefix(runtime).is_some_and(is_container_id)))
}

fn is_container_id(name: &str) -> bool {
    name.len() == CONTAINER_ID && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether this is called as a pod's group might be, by whomever.
pub(super) fn is_like_a_pods(component: &str) -> bool {
    let name = component.to_ascii_lowercase();
    let has_uid = |rest: &str| rest.len() >= LIKE_A_UID && rest.bytes().take(LIKE_A_UID).all(|b| b.is_ascii_hexdigit());
    name.contains("kubepods") || name.match_indices("pod").any(|(at, pod)| has_uid(&name[at + pod.len()..]))
}

/// Whether this is called as a container's group is by some runtime.
pub(super) fn is_a_containers(component: &str) -> bool {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let is_named = component == "machine.slice" || name.starts_with("lxc") || name.starts_with("crio-");
    is_named || name.rsplit(['-', ':', '_']).next().is_some_and(is_container_id)
}
