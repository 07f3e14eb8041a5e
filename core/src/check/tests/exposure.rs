//! The permissions to read the key.

use super::*;
use crate::mount::Route;
use crate::spec::Admission;

fn files() -> Files {
    let root = Entity::root("root");
    Files::of(&root.leaf(), &[], &[&root])
}

#[test]
fn a_key_that_everybody_can_read_is_a_warning_that_names_the_file_and_its_mode_and_says_what_to_do() {
    for admission in [Admission::Enforce, Admission::Observe] {
        let mut spec = spec();
        spec.expectations.admission = admission;
        let assessment = judge_files(&spec, &files().with_mode(0o644, 0).in_directories(&[0o755, 0o711, 0o2755]));
        assessment.admits_with(Check::KeyWorldReadable, Severity::Warn);
        let finding = &assessment.findings[0];
        for word in ["/tls/tls.key", "0644", "chmod", "0600", "0640"] {
            assert!(finding.sentence.contains(word), "{}", finding.sentence);
        }
        assert_eq!(finding.file.as_deref(), Some(Path::new("/tls/tls.key")));
        assert_eq!(finding.found.as_deref(), Some("0644"));
    }
}

#[test]
fn a_key_that_its_mode_or_a_directory_on_the_way_keeps_from_others_is_none() {
    for mode in [0o600, 0o400, 0o640, 0o660, 0o601, 0o602] {
        let assessment = judge_files(&spec(), &files().with_mode(mode, 0).in_directories(&[0o755, 0o755]));
        assert_eq!(assessment.told(), [], "{mode:04o}");
    }
    for directories in [[0o755, 0o700], [0o700, 0o755], [0o755, 0o750], [0o755, 0o754]] {
        let assessment = judge_files(&spec(), &files().with_mode(0o644, 0).in_directories(&directories));
        assert_eq!(assessment.told(), [], "{directories:?}");
    }
}

#[test]
fn a_file_that_holds_key_and_chain_is_one_of_a_key() {
    let root = Entity::root("root");
    let leaf = root.leaf();
    let files = Files::of(&leaf, &[], &[&root]).with_chain([leaf.key.serialize_pem(), leaf.pem()].concat());
    let mut spec = spec();
    spec.files.credential = Some(CredentialFiles::Combined("/tls/all.pem".into()));
    let assessment = judge_files(&spec, &files.with_mode(0o444, 0).in_directories(&[0o755]));
    assessment.admits_with(Check::KeyWorldReadable, Severity::Warn);
    assert_eq!(assessment.findings[0].file.as_deref(), Some(Path::new("/tls/all.pem")));
}

#[test]
fn a_bundle_that_everybody_can_read_is_none() {
    let mut spec = spec();
    spec.files.credential = None;
    assert_eq!(judge_files(&spec, &files().with_mode(0o644, 0).in_directories(&[0o755])).told(), []);
}

#[test]
fn a_key_that_a_kubelet_put_there_has_the_mode_that_kubelets_give() {
    let mut files = files().with_mode(0o644, 0).in_directories(&[0o755]);
    files.access = files.access.map(|access| KeyAccess { is_kubelets: true, ..access });
    assert_eq!(judge_files(&spec(), &files).told(), []);
}

#[test]
fn a_way_of_which_not_every_directory_is_known_is_none_that_everybody_can_go() {
    let mut files = files().with_mode(0o644, 0);
    files.access = files.access.map(|access| KeyAccess { route: Route::unknown(), ..access });
    assert_eq!(judge_files(&spec(), &files).told(), [], "such as the one into a volume");
}
