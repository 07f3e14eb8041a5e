use std::fs;

use evercert_core::finding::Check;

use super::*;

fn config(text: &str) -> Config {
    Config::parse(Path::new("/test.toml"), text).unwrap()
}

fn names(sources: &Sources) -> Vec<String> {
    sources.specs.iter().map(|spec| spec.id.to_string()).collect()
}

#[test]
fn every_matching_directory_is_an_identity_and_stays_one() {
    let root = tempfile::tempdir().unwrap();
    for name in ["b", "a", ".hidden", "not a name"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    fs::write(root.path().join("file"), "").unwrap();
    std::os::unix::fs::symlink("a", root.path().join("link")).unwrap();
    let config = config(&format!("[watch]\ndirectories = [\"{}/*\"]\n", root.path().display()));
    let first = resolve(&config, &[], Stay::All, &Accounts::default());
    assert_eq!(names(&first), ["a", "b", "link"]);

    fs::remove_dir(root.path().join("b")).unwrap();
    fs::create_dir(root.path().join("c")).unwrap();
    assert_eq!(names(&resolve(&config, &first.directories, Stay::All, &Accounts::default())), ["a", "b", "link", "c"]);
    assert_eq!(names(&resolve(&config, &[], Stay::All, &Accounts::default())), ["a", "c", "link"]);
    assert_eq!(names(&resolve(&self::config(""), &first.directories, Stay::All, &Accounts::default())), [""; 0]);
}

#[test]
fn of_two_identities_with_one_name_the_configured_or_older_one_stays() {
    let root = tempfile::tempdir().unwrap();
    for name in ["x/a", "y/a", "y/b"] {
        fs::create_dir_all(root.path().join(name)).unwrap();
    }
    let at = root.path().display();
    let watch = format!("[watch]\ndirectories = [\"{at}/x/*\", \"{at}/y/*\", \"{at}/y/*\"]\n");
    let sources = resolve(
        &config(&format!("{watch}[[identity]]\nname = \"b\"\npath = \"/x\"\n")),
        &[],
        Stay::All,
        &Accounts::default(),
    );
    assert_eq!(names(&sources), ["b", "a"]);
    let left_out: Vec<_> = sources.collisions.iter().map(ToString::to_string).collect();
    assert!(left_out[0].starts_with(&format!(
        "two identities are named a: the one of {at}/x/a stays, and the directory {at}/y/a is left out;"
    )));
    assert!(left_out[1].starts_with(&format!(
        "two identities are named b: the one of /x/tls.crt stays, and the directory {at}/y/b is left out;"
    )));
    let older = resolve(
        &config(&watch),
        &[IdentityDirectory { path: root.path().join("y/a"), parent: None }],
        Stay::All,
        &Accounts::default(),
    );
    assert_eq!(older.specs[0].files, FileSet::cert_manager(&root.path().join("y/a")));
}

fn one_directory(config: &Config, known: &[IdentityDirectory], stay: Stay) -> Sources {
    resolve(config, known, stay, &Accounts::default())
}

#[test]
fn what_is_out_of_sight_with_its_parent_stays_over_a_reload_and_what_was_removed_does_not() {
    let root = tempfile::tempdir().unwrap();
    let certs = root.path().join("certs");
    for name in ["a", "b"] {
        fs::create_dir_all(certs.join(name)).unwrap();
    }
    let config = config(&format!("[watch]\ndirectories = [\"{}/*\"]\n", certs.display()));
    let first = one_directory(&config, &[], Stay::All);
    assert!(!first.watched[0].is_wanting && first.warnings().next().is_none());

    fs::remove_dir(certs.join("b")).unwrap();
    let removed = one_directory(&config, &first.directories, Stay::OutOfSight);
    assert_eq!(names(&removed), ["a"]);

    let away = root.path().join("away");
    fs::rename(&certs, &away).unwrap();
    let lost = |known: &[IdentityDirectory], stay| {
        let lost = one_directory(&config, known, stay);
        assert_eq!(names(&lost), ["a"]);
        assert_eq!((lost.watched[0].kept, lost.watched[0].is_wanting), (1, true));
        assert_eq!(lost.findings[&lost.specs[0].id][0].check, Check::DirectoryAway);
        lost.directories
    };
    let known = lost(&removed.directories, Stay::All);
    let known = lost(&known, Stay::OutOfSight);
    // As the place where a file system was mounted.
    fs::create_dir(&certs).unwrap();
    let known = lost(&known, Stay::OutOfSight);
    fs::remove_dir(&certs).unwrap();
    fs::rename(&away, &certs).unwrap();
    let back = one_directory(&config, &known, Stay::OutOfSight);
    assert_eq!((names(&back), back.watched[0].kept, back.findings.len()), (vec!["a".to_owned()], 0, 0));
    fs::remove_dir(certs.join("a")).unwrap();
    assert_eq!(names(&one_directory(&config, &back.directories, Stay::OutOfSight)), [""; 0]);
}

#[test]
fn a_pattern_that_matches_nothing_is_told_and_so_is_a_name_that_no_identity_can_have() {
    let root = tempfile::tempdir().unwrap();
    let text = format!("[watch]\ndirectories = [\"{}/certs/*\"]\n", root.path().display());
    let look = || one_directory(&config(&text), &[], Stay::All);
    let says = |check| look().watched[0].findings.iter().any(|finding| finding.check == check);
    assert!(says(Check::DirectoryUnmatched) && look().watched[0].is_wanting);
    fs::create_dir_all(root.path().join("certs/lost+found")).unwrap();
    assert!(says(Check::DirectoryUnmatched) && look().watched[0].matches == 0);
    fs::create_dir_all(root.path().join("certs/not a name")).unwrap();
    assert!(says(Check::DirectoryName) && !says(Check::DirectoryUnmatched));
    assert_eq!((look().watched[0].matches, look().watched[0].unusable, look().watched[0].is_wanting), (1, 1, false));
}

#[test]
fn the_first_entry_that_means_a_directory_says_who_may_have_it() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    let at = root.path().display();
    let config =
        config(&format!("[watch]\ndirectories = [{{ path = \"{at}/b\", allow = [\"uid:7\"] }}, \"{at}/*\"]\n"));
    let sources = one_directory(&config, &[], Stay::All);
    let allow = |name: &str| {
        sources.policies[&IdentityId::node(name.parse().unwrap())].0.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!((allow("a"), allow("b")), (vec!["readers".to_owned()], vec!["uid:7".to_owned()]));
}

#[test]
fn more_directories_than_a_pattern_may_match_are_left_out_and_that_is_told() {
    let root = tempfile::tempdir().unwrap();
    ["c", "b", "a"].iter().for_each(|name| fs::create_dir(root.path().join(name)).unwrap());
    let config = config(&format!("[watch]\ndirectories = [\"{}/*\"]\n", root.path().display()));
    let look = |matches| resolve_within(matches, &config, &[], Stay::All, &Accounts::default());
    let all = look(3);
    assert_eq!((names(&all).len(), all.limits_reached.len(), all.warnings().count()), (3, 0, 0));
    let cut = look(2);
    assert_eq!((names(&cut).len(), &cut.limits_reached), (2, &[LookLimit::DirectoryMatches].into()));
    let warnings: Vec<_> = cut.warnings().collect();
    assert!(
        warnings[0].starts_with(&format!("more than 2 directories match {}/*", root.path().display())),
        "{warnings:?}"
    );
}
