use std::fs;

use evercert_fixtures::{Authority, KubeletVolume};
use rustix::process::Signal;

use crate::home::Home;

fn identity(name: &str, volume: &KubeletVolume) -> String {
    format!("[[identity]]\nname = \"{name}\"\npath = {:?}\n", volume.path())
}

#[test]
fn a_reload_adds_and_removes_identities_and_leaves_the_others_alone() {
    let ca = Authority::new("Test CA");
    let [a, b, c] = ["a", "b", "c"].map(|name| KubeletVolume::new(&ca.issue_dns(name).files()));
    let home = Home::new(&(identity("a", &a) + &identity("b", &b)));
    let daemon = home.start();
    daemon.wait_for_metrics(|page| page.sum("evercert_identity_published", &[]) == 2.0);
    a.swap(&ca.issue_dns("a").files());
    daemon.wait_for_metrics(|page| page.get("evercert_identity_generation", &[("identity", "a")]) == Some(2.0));

    home.configure(&(identity("a", &a) + &identity("c", &c)));
    daemon.signal(Signal::HUP);
    let page =
        daemon.wait_for_metrics(|page| page.get("evercert_identity_published", &[("identity", "c")]) == Some(1.0));
    assert_eq!(page.get("evercert_identity_generation", &[("identity", "a")]), Some(2.0));
    assert_eq!(page.get("evercert_identity_reloads_total", &[("identity", "a"), ("result", "published")]), Some(2.0));
    assert!(
        page.series().all(|(_, labels)| labels.get("identity").is_none_or(|name| name != "b")),
        "b's series are gone"
    );
}

#[test]
fn a_bad_configuration_keeps_the_old_one_and_says_so_until_a_good_one_comes() {
    let ca = Authority::new("Test CA");
    let volume = KubeletVolume::new(&ca.issue_dns("a").files());
    let home = Home::new(&identity("a", &volume));
    let daemon = home.start();
    daemon.wait_for_metrics(|page| page.sum("evercert_identity_published", &[]) == 1.0);
    let good = fs::read_to_string(home.config()).unwrap();

    fs::write(home.config(), good.clone() + "no_such_key = 1\n").unwrap();
    daemon.signal(Signal::HUP);
    let page = daemon.wait_for_metrics(|page| page.get("evercert_config_last_reload_successful", &[]) == Some(0.0));
    assert_eq!(page.get("evercert_identity_published", &[("identity", "a")]), Some(1.0));
    assert!(daemon.log().contains("the configuration is refused; the old one stays"), "{}", daemon.log());
    assert!(daemon.log().contains("unknown key `no_such_key`"), "{}", daemon.log());

    fs::write(home.config(), good + "[log]\nlevel = \"debug\"\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.wait_for_metrics(|page| page.get("evercert_config_last_reload_successful", &[]) == Some(1.0));
    daemon.wait_for_log("what changed in [log] takes effect when the daemon is started again");
}

#[test]
fn the_reload_command_tells_how_it_ended_and_has_the_files_read() {
    let ca = Authority::new("Test CA");
    let [a, b] = ["a", "b"].map(|name| KubeletVolume::new(&ca.issue_dns(name).files()));
    let home = Home::new(&identity("a", &a));
    let unreachable = home.ask(&["reload"]);
    assert_eq!(unreachable.0, Some(2), "{unreachable:?}");
    assert!(unreachable.2.contains("is evercertd running?"), "{unreachable:?}");

    let daemon = home.start();
    daemon.wait_for_metrics(|page| page.sum("evercert_identity_published", &[]) == 1.0);
    let unchanged = [("identity", "a"), ("result", "unchanged")];
    let before = daemon.metrics().sum("evercert_identity_reloads_total", &unchanged);
    home.configure(&(identity("a", &a) + &identity("b", &b)));
    assert_eq!(
        home.ask(&["reload"]),
        (
            Some(0),
            "the configuration was read again: 2 identities are kept, and their files read now\n".to_owned(),
            String::new()
        )
    );
    daemon.wait_for_metrics(|page| {
        page.sum("evercert_identity_published", &[]) == 2.0
            && page.sum("evercert_identity_reloads_total", &unchanged) > before
    });

    let file = home.config().display().to_string();
    fs::write(home.config(), "[wacht]\n").unwrap();
    let (status, stdout, stderr) = home.ask(&["reload"]);
    assert_eq!((status, &*stdout), (Some(1), ""));
    let refused = format!(
        "evercertd: the configuration was refused, the old one stays: {file}:1:2: unknown key `wacht`; did you mean `watch`?"
    );
    assert!(stderr.starts_with(&refused), "{stderr}");
    assert_eq!(daemon.metrics().get("evercert_config_last_reload_successful", &[]), Some(0.0));
    assert_eq!(daemon.metrics().sum("evercert_identity_published", &[]), 2.0);
    assert_eq!(home.ask(&["status"]).0, Some(1));
}

#[test]
fn every_one_of_many_who_ask_for_a_reload_at_once_is_answered() {
    let home = Home::new("");
    let _daemon = home.start();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| home.ask(&["reload"]))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap().0).collect()
    });
    assert_eq!(answers, [Some(0); 8]);
}

#[test]
fn a_directory_that_appears_is_an_identity_and_stays_one_when_it_goes() {
    let ca = Authority::new("Test CA");
    let home = Home::new("");
    let certs = home.path().join("certs");
    fs::create_dir(&certs).unwrap();
    // No tick comes: what is found is found by its event.
    home.configure(&format!("[watch]\ndirectories = [\"{}/*\"]\ntick = \"1h\"\n", certs.display()));
    let daemon = home.start();
    assert_eq!(daemon.metrics().sum("evercert_identity_published", &[]), 0.0);
    let a = KubeletVolume::at(&certs.join("a"), &ca.issue_dns("a").files());
    daemon.wait_for_metrics(|page| page.get("evercert_identity_published", &[("identity", "a")]) == Some(1.0));

    fs::rename(a.path(), home.path().join("away")).unwrap();
    let page =
        daemon.wait_for_metrics(|page| page.sum("evercert_identity_finding", &[("check", "file-missing")]) >= 1.0);
    assert_eq!(page.get("evercert_identity_published", &[("identity", "a")]), Some(1.0), "the last good stays");

    daemon.signal(Signal::HUP);
    daemon.wait_for_metrics(|page| page.get("evercert_identity_published", &[("identity", "a")]).is_none());
}

#[test]
fn a_name_that_is_taken_later_is_a_finding_on_the_identity_that_has_it() {
    let ca = Authority::new("Test CA");
    let volume = KubeletVolume::new(&ca.issue_dns("a").files());
    let home = Home::new("");
    let certs = home.path().join("certs");
    fs::create_dir(&certs).unwrap();
    let watch = format!("[watch]\ndirectories = [\"{}/*\"]\ntick = \"1h\"\n", certs.display());
    home.configure(&(watch + &identity("a", &volume)));
    let daemon = home.start();
    let collision = [("identity", "a"), ("check", "name-collision"), ("severity", "warn")];
    let page = daemon.wait_for_metrics(|page| page.sum("evercert_identity_published", &[]) == 1.0);
    assert_eq!(page.get("evercert_identity_finding", &collision), None);

    fs::create_dir(certs.join("a")).unwrap();
    daemon.wait_for_metrics(|page| page.get("evercert_identity_finding", &collision) == Some(1.0));
    // It stays through a rotation.
    volume.swap(&ca.issue_dns("a").files());
    let page =
        daemon.wait_for_metrics(|page| page.get("evercert_identity_generation", &[("identity", "a")]) == Some(2.0));
    assert_eq!(page.get("evercert_identity_finding", &collision), Some(1.0));
}

#[test]
fn a_reload_names_what_needs_a_restart_until_there_was_one_and_the_log_who_asked_for_it() {
    let home = Home::new("");
    let daemon = home.start();
    home.configure("[log]\nlevel = \"debug\"\n[limits]\nstreams = 2000\n");
    let named = "the configuration was read again: 0 identities are kept, and their files read now\n\
                 what changed in [log] takes effect when evercertd is started again\n\
                 what changed in [limits] takes effect when evercertd is started again\n";
    for _ in 0..2 {
        assert_eq!(home.ask(&["reload"]), (Some(0), named.to_owned(), String::new()));
    }
    let uid = rustix::process::getuid().as_raw();
    daemon.wait_for_log(&format!("an operator has the configuration read again uid={uid} pid="));
    daemon.wait_for_log("command=\"evercertd\"");
    daemon.signal(Signal::HUP);
    daemon.wait_for_log("a signal has the configuration read again");
}
