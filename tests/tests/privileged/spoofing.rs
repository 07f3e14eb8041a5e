//! Callers that ask for what is another's, and processes that pass for a pod's.

use evercert_fixtures::{Authority, Files, KubeletVolume, Leaf};
use evercert_tests::daemon::identity;

use crate::actor::Actor;
use crate::caller::{ask, ask_one, key, list};
use crate::daemon::{self, counted};
use crate::room::Room;

/// How many ways there are to ask for what is another's.
const VARIATIONS: usize = 10_000;

/// One caller may ask as often as it likes.
const LIMITS: &str = "[limits]\nrequests_per_second = 1000000\nrequests_per_second_per_caller = 1000000\n\n";

const A: u32 = 70_001;
const B: u32 = 70_002;

const POD: &str = "2c48913c-b29f-11e7-9350-020968147796";
const OTHER_POD: &str = "2c48913c-b29f-11e7-9350-020968147797";

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
async fn a_user_gets_its_own_and_nothing_by_ten_thousand_names_of_anothers() {
    let room = Room::enter();
    let nodes = [of(&room, A, "a"), of(&room, B, "b")];
    let home = daemon::home(&room);
    let names = ["a", "b"].iter().zip(&nodes).map(|(name, volume)| identity(name, volume.path())).collect::<String>();
    home.configure(&(LIMITS.to_owned() + &names));
    let running = home.start().await;
    for name in ["a", "b"] {
        running.until("it is published", name, |status| status.generation == 1).await;
    }
    let socket = home.agent_socket();
    let a = Actor::user(A);
    assert_eq!(list(&room, &a, &socket).await, ["a"]);
    assert!(key(&ask_one(&room, &a, &socket, "a").await) > 0, "its own");
    assert!(key(&ask_one(&room, &Actor::user(B), &socket, "b").await) > 0, "its own");
    let denied = async || counted(home.http().unwrap(), "evercert_attestations_total", &[r#"result="denied""#]).await;

    let names = variations("b", POD, OTHER_POD, nodes[1].path().to_str().unwrap());
    let step = names.len() / VARIATIONS;
    assert!(step > 0, "{} variations", names.len());
    let names: Vec<_> = names.into_iter().step_by(step).take(VARIATIONS).collect();
    let before = denied().await;
    let answers = ask(&room, &a, &socket, &names).await;
    assert_eq!(answers.iter().map(key).sum::<u64>(), 0, "bytes of key");
    for answer in &answers {
        let code = answer["code"].as_str().unwrap();
        assert!(matches!(code, "NotFound" | "PermissionDenied" | "InvalidArgument"), "{answer}");
    }
    let decided = answers.iter().filter(|answer| answer["code"] != "InvalidArgument").count();
    let counted = denied().await - before;
    assert!(decided > 0 && counted >= decided as f64, "{counted} of {decided} denials are counted");
}

#[tokio::test]
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
