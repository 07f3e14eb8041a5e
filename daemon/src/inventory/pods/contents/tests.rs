use std::fs;
use std::mem::MaybeUninit;
use std::os::unix::fs::symlink;

use evercert_core::spec::{BundleFile, CredentialFiles, CrlFile};
use evercert_fixtures::{Authority, Files, Issued, KubeletVolume, Leaf, PlainDirectory, make_fifo};
use rustix::fs::inotify;

use super::*;

fn look(root: &Path, known: Option<&Fingerprint>) -> Result<Contents, Errno> {
    super::look(root, &Sought::Credentials(known.cloned()))
}

fn namespace(root: &Path) -> Option<String> {
    match super::look(root, &Sought::Namespace).unwrap() {
        Contents::Namespace(namespace) => namespace.map(|namespace| namespace.to_string()),
        contents => panic!("{contents:?}"),
    }
}

fn issued() -> Issued {
    Authority::new("Test CA").issue_dns("a")
}

fn credentials(root: &Path) -> Vec<(Option<String>, Layout)> {
    match look(root, None).unwrap() {
        Contents::Now(volume) => volume.credentials.into_iter().map(|(at, found)| (at, found.layout)).collect(),
        contents => panic!("{contents:?}"),
    }
}

/// The limits by which something is not looked at there.
fn limits_reached(root: &Path) -> Vec<LookLimit> {
    match look(root, None).unwrap() {
        Contents::Now(volume) => volume.limits_reached.into_iter().collect(),
        contents => panic!("{contents:?}"),
    }
}

fn combined(name: &str) -> Layout {
    Layout::Combined(name.into())
}

#[test]
fn a_directory_with_chain_and_key_is_a_credential_in_a_kubelets_volume_and_in_any_other() {
    let issued = issued();
    let sub = |files: Files, name: &str| {
        issued.files().iter().fold(files, |files, (file, content)| files.with(&format!("{name}/{file}"), content))
    };
    let files = sub(sub(issued.files(), "server"), "client");
    let expected = [None, Some("client".to_owned()), Some("server".to_owned())].map(|at| (at, Layout::CertManager));
    assert_eq!(credentials(KubeletVolume::new(&files).path()), expected);

    let plain = tempfile::tempdir().unwrap();
    let write = |path: &Path| drop(PlainDirectory::at(path, &issued.files()));
    write(plain.path());
    ["server", "client", ".hidden", "server/deeper"].iter().for_each(|name| write(&plain.path().join(name)));
    assert_eq!(credentials(plain.path()), expected);
}

#[test]
fn one_file_with_key_and_chain_is_a_credential_in_whatever_order_they_are() {
    let issued = issued();
    let key_first = issued.key_pem.clone() + &issued.chain_pem;
    let ec = issued.combined_pem().replace("PRIVATE KEY", "EC PRIVATE KEY");
    for text in [&key_first, &issued.combined_pem(), &ec] {
        let files = Files::new().with("credentialbundle.pem", text).with("ca.crt", &issued.ca_pem);
        let found = credentials(KubeletVolume::new(&files).path());
        assert_eq!(found, [(None, combined("credentialbundle.pem"))]);
        let files = found[0].1.files(Path::new("/v"));
        assert_eq!(files.credential, Some(CredentialFiles::Combined("/v/credentialbundle.pem".into())));
        assert_eq!(files.bundle, Some(BundleFile::OfCredential("/v/ca.crt".into())));
        assert_eq!(files.crls, [CrlFile::OfCredential("/v/ca.crl".into())]);
    }
    // cert-manager's additional format lies beside the pair, which is taken.
    let beside = issued.files().with("tls-combined.pem", &key_first);
    assert_eq!(credentials(KubeletVolume::new(&beside).path()), [(None, Layout::CertManager)]);
    // Of two none is meant.
    let two = Files::new().with("a.pem", &key_first).with("b.pem", &key_first);
    assert_eq!(credentials(KubeletVolume::new(&two).path()), []);
}

#[test]
fn the_trust_bundles_beside_a_pod_certificate_are_told_by_their_trust_domains_or_by_being_the_only_one() {
    let own = Authority::new("Own CA");
    let issued = own.issue(Leaf::for_dns("a").uri("spiffe://own.example.org/a"));
    let credential = issued.key_pem.clone() + &issued.chain_pem;
    let partner = Authority::new("Partner CA");
    let found_in = |plugin: &str, files: &Files| {
        let home = tempfile::tempdir().unwrap();
        let volume = KubeletVolume::at(&home.path().join(plugin), files);
        match look(volume.path(), None).unwrap() {
            Contents::Now(volume) => volume.credentials[&None].files(Path::new("/v")),
            contents => panic!("{contents:?}"),
        }
    };
    let found = |files: &Files| found_in("kubernetes.io~projected/v", files);
    let dedicated = |name: &str| Some(BundleFile::Dedicated(Path::new("/v").join(name)));
    for end in ["spiffe-trust-bundle.pem", "spiffe-trust-bundle.x509.pem", "x509.pem"] {
        let [at_home, abroad] = ["own", "partner"].map(|domain| format!("{domain}.example.org.{end}"));
        let files = Files::new().with("credential-bundle.private-key.pem", &credential);
        let files = files.with(&at_home, own.ca_pem()).with(&abroad, partner.ca_pem());
        let files = found(&files);
        assert_eq!(files.bundle, dedicated(&at_home));
        let federated = [("partner.example.org".parse().unwrap(), Path::new("/v").join(&abroad))].into();
        assert_eq!(files.federated, federated, "never merged");
    }
    let files = Files::new().with("my.pem", &credential).with("anchors.txt", own.ca_pem()).with("token", "x");
    assert_eq!(found(&files).bundle, dedicated("anchors.txt"), "whatever the pod calls it");
    let none = Some(BundleFile::OfCredential("/v/ca.crt".into()));
    assert_eq!(found_in("kubernetes.io~secret/v", &files).bundle, none, "a Secret's other file may be anything");
    let chain_first =
        Files::new().with("my.pem", issued.chain_pem.clone() + &issued.key_pem).with("old.pem", own.ca_pem());
    assert_eq!(found(&chain_first).bundle, none, "not as the kubelet writes it");
    let two = files.with("more.txt", partner.ca_pem());
    assert_eq!(found(&two).bundle, none, "of two none is meant");
}

#[test]
fn certificates_without_a_key_a_key_alone_and_tokens_are_no_credential() {
    let issued = issued();
    for files in [
        Files::new().with("ca.crt", &issued.ca_pem),
        Files::new().with("tls.crt", &issued.chain_pem),
        Files::new().with("tls.key", &issued.key_pem).with("other.crt", &issued.chain_pem),
        Files::new().with("token", "eyJhbGciOi").with("ca.crt", &issued.ca_pem).with("namespace", "shop"),
        Files::new().with("config.yaml", "a: b"),
        Files::new(),
    ] {
        assert_eq!(credentials(KubeletVolume::new(&files).path()), [], "{files:?}");
    }
}

#[test]
fn nothing_leads_out_of_a_volume() {
    let issued = issued();
    let outside = PlainDirectory::new(&issued.files().with("both.pem", issued.combined_pem()));
    let root = tempfile::tempdir().unwrap();
    let link = |target: &Path, name: &str| symlink(target, root.path().join(name)).unwrap();
    link(&outside.path().join("both.pem"), "absolute.pem");
    link(outside.path(), "directory");
    link(Path::new("/proc/self/root"), "magic");
    link(&Path::new("..").join(outside.path().file_name().unwrap()).join("both.pem"), "up.pem");
    assert_eq!(credentials(root.path()), []);

    fs::remove_file(root.path().join("directory")).unwrap();
    symlink(outside.path(), root.path().join("..data")).unwrap();
    assert_eq!(look(root.path(), None), Err(Errno::XDEV));
    // The root itself is what the kubelet's directories say, and no link.
    let link = outside.path().join("link");
    symlink(root.path(), &link).unwrap();
    assert_eq!(look(&link, None), Err(Errno::LOOP));
}

#[test]
fn what_is_no_bearable_file_is_not_waited_for() {
    let issued = issued();
    let root = tempfile::tempdir().unwrap();
    make_fifo(root.path().join("fifo.pem"));
    std::os::unix::net::UnixListener::bind(root.path().join("socket.pem")).unwrap();
    symlink("loop.pem", root.path().join("loop.pem")).unwrap();
    fs::write(root.path().join("large.pem"), issued.combined_pem()).unwrap();
    fs::File::options().write(true).open(root.path().join("large.pem")).unwrap().set_len(2 << 30).unwrap();
    assert_eq!(credentials(root.path()), []);
    // Where the names say that a credential is meant, that its files are of no use is for its checks to say.
    make_fifo(root.path().join("tls.key"));
    symlink("/etc/shadow", root.path().join("tls.crt")).unwrap();
    assert_eq!(credentials(root.path()), [(None, Layout::CertManager)]);
}

#[test]
fn what_a_link_leads_to_is_opened_only_where_it_is_a_file() {
    let root = tempfile::tempdir().unwrap();
    let fifo = root.path().join("fifo");
    make_fifo(&fifo);
    symlink("fifo", root.path().join("link.pem")).unwrap();
    let events = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&events, &fifo, inotify::WatchFlags::OPEN).unwrap();
    assert_eq!(credentials(root.path()), []);
    let mut buffer = [MaybeUninit::uninit(); 512];
    let opened = inotify::Reader::new(&events, &mut buffer).next().map(|event| event.events());
    assert_eq!(opened, Err(Errno::AGAIN), "a device does what it does when it is opened");
}

#[test]
fn links_do_not_have_one_large_file_read_thousands_of_times() {
    let root = tempfile::tempdir().unwrap();
    let both = issued().combined_pem();
    fs::write(root.path().join("large"), "").unwrap();
    fs::File::options().write(true).open(root.path().join("large")).unwrap().set_len(FILE_LIMIT).unwrap();
    (0..14).for_each(|number| symlink("large", root.path().join(format!("link{number}"))).unwrap());
    fs::write(root.path().join("z.pem"), both).unwrap();
    assert_eq!(credentials(root.path()), [(None, combined("z.pem"))]);
    assert_eq!(limits_reached(root.path()), []);
    symlink("large", root.path().join("one-more")).unwrap();
    assert_eq!(credentials(root.path()), []);
    assert_eq!(limits_reached(root.path()), [LookLimit::PodVolumeBytes]);
}

#[test]
fn a_volume_is_read_again_only_after_a_swap() {
    let issued = issued();
    let volume = KubeletVolume::new(&issued.files());
    let Contents::Now(CredentialVolume { fingerprint: first, .. }) = look(volume.path(), None).unwrap() else {
        panic!()
    };
    assert_eq!(look(volume.path(), Some(&first)), Ok(Contents::Unchanged));
    volume.swap(&issued.files());
    let Contents::Now(CredentialVolume { fingerprint: second, .. }) = look(volume.path(), Some(&first)).unwrap() else {
        panic!()
    };
    assert!(second != first && second.is_of_same(&first));

    let plain = PlainDirectory::new(&Files::new());
    let Contents::Now(CredentialVolume { fingerprint: known, .. }) = look(plain.path(), None).unwrap() else {
        panic!()
    };
    assert!(matches!(look(plain.path(), Some(&known)), Ok(Contents::Now(..))), "no swap tells that it changed");
}

#[test]
fn no_more_entries_are_looked_at_than_any_credential_needs() {
    let issued = issued();
    let many = (0..10 * ENTRIES_LIMIT).fold(Files::new(), |files, number| files.with(&format!("a{number}.txt"), "x"));
    let volume = KubeletVolume::new(&many.with("tls.crt", &issued.chain_pem).with("tls.key", &issued.key_pem));
    assert_eq!(credentials(volume.path()), [(None, Layout::CertManager)]);
    assert_eq!(limits_reached(volume.path()), [LookLimit::PodVolumeEntries], "a directory may be among the others");
}

#[test]
fn what_is_told_by_its_names_is_not_left_out_however_many_files_are_beside_it() {
    let issued = issued();
    let full = (0..ENTRIES_LIMIT).fold(Files::new(), |files, number| files.with(&format!("sub/a{number}.txt"), "x"));
    assert_eq!(limits_reached(KubeletVolume::new(&full).path()), []);
    let over = full.with("sub/b.txt", "x");
    assert_eq!(limits_reached(KubeletVolume::new(&over).path()), [LookLimit::PodVolumeEntries]);
    let pair = over.with("sub/tls.crt", &issued.chain_pem).with("sub/tls.key", &issued.key_pem);
    assert_eq!(limits_reached(KubeletVolume::new(&pair).path()), []);
    // A file that is too large by itself is no matter of what may be read of a volume.
    let large = PlainDirectory::new(&Files::new().with("large.pem", vec![b'x'; 2 << 20]));
    assert_eq!(limits_reached(large.path()), []);
}

#[test]
fn the_namespace_of_a_service_account_is_read_without_leaving_its_volume() {
    let volume = KubeletVolume::new(&Files::new().with("namespace", "shop").with("token", "x").with("ca.crt", ""));
    assert_eq!(namespace(volume.path()).as_deref(), Some("shop"));
    for none in ["", "Shop", "shop\n", "../shop", &"a".repeat(254)] {
        volume.swap(&Files::new().with("namespace", none));
        assert_eq!(namespace(volume.path()), None, "{none:?}");
    }
    volume.swap(&Files::new());
    assert_eq!(namespace(volume.path()), None);

    let home = tempfile::tempdir().unwrap();
    let [outside, inside] = ["outside", "volume"].map(|name| home.path().join(name));
    fs::write(&outside, "shop").unwrap();
    fs::create_dir(&inside).unwrap();
    symlink("../outside", inside.join("namespace")).unwrap();
    assert_eq!(namespace(&inside), None);
    fs::remove_file(inside.join("namespace")).unwrap();
    make_fifo(inside.join("namespace"));
    assert_eq!(namespace(&inside), None);
    assert_eq!(super::look(&home.path().join("gone"), &Sought::Namespace), Err(Errno::NOENT));
}
