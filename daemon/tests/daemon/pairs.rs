//! The checks of what is beside the files of one identity, each beside what trips it and its nearest neighbour, which does not: told by a
//! daemon before and after that is put right, or by `check` of directories that differ in it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use evercert_core::finding::Check;
use evercert_fixtures::pairs::{Pair, Side, hold};
use evercert_fixtures::{Authority, Files, KubeletVolume, Leaf};
use serde_json::Value;

use crate::agreement::check;
use crate::home::{Home, get, until};

#[test]
fn every_check_of_what_is_beside_files_is_tripped_by_something_whose_nearest_neighbour_does_not_trip_it() {
    let all: Vec<_> = Check::ALL.iter().map(|check| check.as_str()).collect();
    hold(Side::BesideFiles, &all, |name| pair_of(Check::named(name)?));
}

fn pair_of(check: Check) -> Option<Pair> {
    let made: fn() -> Pair = match check {
        Check::NameCollision => name_collision,
        Check::DirectoryAway => directory_away,
        Check::DirectoryUnmatched => directory_unmatched,
        Check::DirectoryName => directory_name,
        Check::HttpUnavailable => http_unavailable,
        Check::ListenIgnored => listen_ignored,
        Check::AnchorLost => anchor_lost,
        Check::IssuerUntrusted => issuer_untrusted,
        Check::KeyShared => key_shared,
        _ => return None,
    };
    Some(made())
}

/// The names of the checks that have a finding in lists of these.
fn names_in<'v>(lists: impl Iterator<Item = &'v Value>) -> Vec<String> {
    let findings = lists.filter_map(Value::as_array).flatten();
    findings.map(|finding| finding["check"].as_str().unwrap().to_owned()).collect()
}

/// What the daemon tells, of itself and of its identities.
fn told(home: &Home) -> Vec<String> {
    let (_, json, error) = home.ask(&["status", "--json"]);
    let status: Value = serde_json::from_str(&json).expect(&error);
    let identities = status["identities"].as_array().into_iter().flatten();
    names_in(identities.map(|identity| &identity["findings"]).chain([&status["findings"]]))
}

/// What a daemon tells until it is put right, and what after that.
fn put_right(home: &Home, check: Check, put_right: impl FnOnce()) -> Pair {
    let until_told = |is_told| {
        let look = || Some(told(home)).filter(|told| told.iter().any(|told| *told == check.as_str()) == is_told);
        until(&format!("{check} told: {is_told}"), look, || told(home).join(", "))
    };
    let tripped = until_told(true);
    put_right();
    Pair { tripped, spared: until_told(false) }
}

/// What `check` tells of directories beside each other.
fn told_beside(directories: &[Files]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    for (number, files) in directories.iter().enumerate() {
        let _ = KubeletVolume::at(&root.path().join(number.to_string()), files);
    }
    let judged = check(&root.path().join("*"));
    assert_eq!(judged.len(), directories.len());
    names_in(judged.iter().map(|judged| &judged["findings"]))
}

fn watching(directory: &Path) -> String {
    format!("[watch]\ndirectories = [\"{}/*\"]\ntick = \"100ms\"\n", directory.display())
}

fn identity(name: &str, volume: &KubeletVolume, rest: &str) -> String {
    format!("[[identity]]\nname = \"{name}\"\npath = {:?}\n{rest}", volume.path())
}

fn name_collision() -> Pair {
    let (ca, home) = (Authority::new("Test CA"), Home::new(""));
    let certs = home.path().join("certs");
    let [named, _found] =
        [home.path().join("named"), certs.join("a")].map(|path| KubeletVolume::at(&path, &ca.issue_dns("a").files()));
    home.configure(&(watching(&certs) + &identity("a", &named, "")));
    let _daemon = home.start();
    put_right(&home, Check::NameCollision, || fs::rename(certs.join("a"), certs.join("b")).unwrap())
}

fn directory_away() -> Pair {
    let (ca, home) = (Authority::new("Test CA"), Home::new(""));
    let [certs, away] = ["certs", "away"].map(|name| home.path().join(name));
    let _volume = KubeletVolume::at(&certs.join("a"), &ca.issue_dns("a").files());
    home.configure(&watching(&certs));
    let daemon = home.start();
    daemon.wait_for_metrics(|page| page.sum("evercert_identity_published", &[]) == 1.0);
    fs::rename(&certs, &away).unwrap();
    put_right(&home, Check::DirectoryAway, || fs::rename(&away, &certs).unwrap())
}

fn directory_unmatched() -> Pair {
    let (ca, home) = (Authority::new("Test CA"), Home::new(""));
    let certs = home.path().join("certs");
    home.configure(&watching(&certs));
    let _daemon = home.start();
    put_right(&home, Check::DirectoryUnmatched, || {
        let _ = KubeletVolume::at(&certs.join("a"), &ca.issue_dns("a").files());
    })
}

fn directory_name() -> Pair {
    let home = Home::new("");
    let certs = home.path().join("certs");
    fs::create_dir_all(certs.join("not a name")).unwrap();
    home.configure(&watching(&certs));
    let _daemon = home.start();
    put_right(&home, Check::DirectoryName, || fs::rename(certs.join("not a name"), certs.join("a-name")).unwrap())
}

/// Has the daemon listen at this address.
fn listen_at(home: &Home, address: SocketAddr) {
    let text = fs::read_to_string(home.config()).unwrap();
    fs::write(home.config(), text.replace("127.0.0.1:0", &address.to_string())).unwrap();
}

fn http_unavailable() -> Pair {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new("");
    listen_at(&home, taken.local_addr().unwrap());
    let _daemon = home.start();
    put_right(&home, Check::HttpUnavailable, || drop(taken))
}

/// A listener is handed over as a service manager does it, and the configuration names another address than that one's; or that.
fn listen_ignored() -> Pair {
    let told = |is_its_own: bool| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let home = Home::new("");
        if is_its_own {
            listen_at(&home, address);
        }
        let mut command = Command::new("sh");
        command
            .args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=metrics exec \"$@\" 3<&1 >/dev/null", "sh"])
            .arg(env!("CARGO_BIN_EXE_evercertd"))
            .args(["run", "--config"])
            .arg(home.config())
            .stdout(Stdio::from(OwnedFd::from(listener)));
        let _daemon = home.spawn(&mut command);
        // It is told before anything is answered there.
        let _ = get(address, "/readyz");
        self::told(&home)
    };
    Pair { tripped: told(false), spared: told(true) }
}

fn anchor_lost() -> Pair {
    let [old, new] = ["Old CA", "New CA"].map(Authority::new);
    let both = [old.ca_pem(), new.ca_pem()].concat();
    let (x, y) = (KubeletVolume::new(&old.issue_dns("x").files()), KubeletVolume::new(&new.issue_dns("y").files()));
    let home = Home::new("");
    let [kept, dropping] = ["kept.pem", "dropping.pem"].map(|name| home.path().join(name));
    for bundle in [&kept, &dropping] {
        fs::write(bundle, &both).unwrap();
    }
    let with = |bundle: &Path| format!("bundle = {bundle:?}\n");
    home.configure(&(identity("x", &x, &with(&kept)) + &identity("y", &y, &with(&dropping))));
    let daemon = home.start();
    // The census has seen both bundles, so that it sees what is lost.
    daemon.wait_for_metrics(|page| {
        page.sum("evercert_ca_identities", &[("subject", "CN=Old CA"), ("use", "trusts")]) == 2.0
    });
    fs::write(&dropping, new.ca_pem()).unwrap();
    put_right(&home, Check::AnchorLost, || fs::write(&dropping, &both).unwrap())
}

/// A leaf without a bundle beside it, on a node whose one bundle holds another CA; or its own, too.
fn issuer_untrusted() -> Pair {
    let [own, other] = ["Own CA", "Other CA"].map(Authority::new);
    let alone = own.issue_dns("x").files().without("ca.crt");
    let beside = other.issue_dns("y").files();
    let of_both = beside.clone().with("ca.crt", [own.ca_pem(), other.ca_pem()].concat());
    Pair { tripped: told_beside(&[alone.clone(), beside]), spared: told_beside(&[alone, of_both]) }
}

/// Two leaves of one key, for different names or for the same one.
fn key_shared() -> Pair {
    let ca = Authority::new("Test CA");
    let told = |names: [&str; 2]| {
        let issued = ca.issue_all(names.map(Leaf::for_dns));
        told_beside(&Vec::from_iter(issued.iter().map(evercert_fixtures::Issued::files)))
    };
    Pair { tripped: told(["a.example.org", "b.example.org"]), spared: told(["a.example.org", "a.example.org"]) }
}
