//! Findings about single files.

use std::fmt;
use std::path::Path;

use crate::finding::{Check, Finding, Severity};
use crate::mount::ReadError;

pub(super) fn unreadable(path: &Path, error: &ReadError) -> Finding {
    let (check, advice) = match error {
        ReadError::Missing => (Check::FileMissing, "put it there: whoever watches it reads it as soon as it appears"),
        ReadError::StaleMount => (Check::StaleFileMount, "mount the directory that it is in (not a subPath of it)"),
        ReadError::NotADirectory => return not_a_directory(path),
        ReadError::NotRegular => (Check::NotRegular, "put a file in its place"),
        // Of these the path is the subject.
        ReadError::IsADirectory => return no_file(path, Check::NotRegular, error, "put the file itself in its place"),
        ReadError::LinkLoop => return no_file(path, Check::FileUnreadable, error, "let it lead to the file itself"),
        ReadError::OutsideVolume => {
            (Check::OutsideVolume, "put the file itself into the volume: no link or mount is followed out of it")
        }
        ReadError::ThroughProcfs => (Check::FileUnreadable, "let it lead to the file itself"),
        ReadError::WithoutProc => (Check::FileUnreadable, "mount /proc"),
        ReadError::NotConfinable => (Check::FileUnreadable, "run a newer kernel: it is not read unconfined"),
        ReadError::TooLarge { .. } => (
            Check::TooLarge,
            "what belongs here is far smaller: is it the right file? (a list of that size is to be issued in parts)",
        ),
        ReadError::Torn => (Check::TornRead, "replace files by a rename, all of a directory at once"),
        _ => (Check::FileUnreadable, "check that this process may read it"),
    };
    Finding::new(check, Severity::Reject, format!("{}: {error}; {advice}", path.display())).in_file(path)
}

fn no_file(path: &Path, check: Check, error: &ReadError, advice: &str) -> Finding {
    Finding::new(check, Severity::Reject, format!("{} {error}; {advice}", path.display())).in_file(path)
}

/// A file is in the place where the directory of another should be.
fn not_a_directory(path: &Path) -> Finding {
    let directory = path.parent().unwrap_or(path).display();
    let sentence = format!(
        "{directory} is a file and not a directory: if it holds both key and chain, write it as `chain` and as `key` instead of `path` \
         (and the bundle, if any, as `bundle`), else write the directory that holds them as `path`"
    );
    Finding::new(Check::NotADirectory, Severity::Reject, sentence).in_file(path)
}

pub(super) fn unparsable(path: &Path, why: impl fmt::Display) -> Finding {
    Finding::new(Check::Unparsable, Severity::Reject, format!("{} cannot be used: {why}", path.display())).in_file(path)
}

/// A file holds more of something, such as certificates, than is read.
pub(super) fn too_many(path: &Path, what: &str, found: usize, limit: usize) -> Finding {
    let sentence =
        format!("{} holds more {what} than the {limit} that are read; leave out what is not needed", path.display());
    let finding = Finding::new(Check::TooLarge, Severity::Reject, sentence).in_file(path);
    finding.found(found).expected(format_args!("at most {limit}"))
}

/// A private key among `others`, which more people may read than may read a key.
pub(super) fn misplaced_key(path: &Path, others: &str) -> Finding {
    let sentence = format!(
        "{} holds a private key beside its {others}, where all who may read {others} read it: remove it, and replace the key if others \
         could have read it",
        path.display()
    );
    Finding::new(Check::KeyMisplaced, Severity::Warn, sentence).in_file(path)
}

/// A certificate among lists.
pub(super) fn misplaced_certificate(path: &Path) -> Finding {
    let sentence = format!(
        "{} holds a certificate beside its certificate revocation lists, where it is not trusted: put it into the bundle if it is an \
         anchor, or remove it",
        path.display()
    );
    Finding::new(Check::AnchorUnusable, Severity::Warn, sentence).in_file(path)
}

/// A list among the certificates of a chain.
pub(super) fn misplaced_crl(path: &Path) -> Finding {
    let sentence = format!(
        "{} holds a certificate revocation list beside its chain, which revokes nobody there: put it into ca.crl or the bundle, or \
         remove it",
        path.display()
    );
    Finding::new(Check::CrlScope, Severity::Warn, sentence).in_file(path)
}

/// A mount shows a file that was replaced where it comes from.
pub(super) fn stale_mount(file: &Path) -> Finding {
    let sentence = format!(
        "{} is mounted as a single file (as subPath does) and was replaced where it comes from: what replaced it is never seen here; \
         mount the directory that it is in instead",
        file.display()
    );
    Finding::new(Check::StaleFileMount, Severity::Warn, sentence).in_file(file)
}
