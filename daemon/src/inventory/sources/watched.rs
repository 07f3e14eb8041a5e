//! The matches of one pattern of `directories` now, and what is wrong with that: nothing found is no proof that all is well.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use evercert_core::finding::{Check, Finding, Severity};
use evercert_core::identity::IdentityName;
use evercert_core::text;

use crate::config::Pattern;

/// The most directories one pattern may match; further ones are left out, with a warning.
pub(super) const MATCHES_LIMIT: usize = 32_768;

/// The most unusable names that a finding lists.
const NAMED: usize = 8;

/// Made by `mkfs` at the root of a file system, and meant by nobody.
const OF_FILE_SYSTEM: &str = "lost+found";

/// The state of one pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    /// The pattern, as it is configured.
    pub(crate) pattern: Pattern,
    /// The number of directories it matches.
    pub(crate) matches: usize,
    /// The number of them with names that no identity can have.
    pub(crate) unusable: usize,
    /// The number of identities kept though the directory that held theirs went away.
    pub(crate) kept: usize,
    /// The findings about it.
    pub(crate) findings: Vec<Finding>,
    /// Whether something is missing that was asked for.
    pub(crate) is_wanting: bool,
    /// Whether more directories match than are kept.
    pub(super) is_cut: bool,
}

/// A directory's identity: the numbers of its file system and of itself.
pub(super) type Number = (u64, u64);

/// A listing of the parent of a pattern.
pub(super) struct Listing {
    /// The parent directory; absent: there is none that can be listed.
    pub(super) parent: Option<Number>,
    /// Those that are meant, sorted. One without wildcard is meant whether it is there or not.
    pub(super) directories: Vec<PathBuf>,
    /// The number of those that are there.
    matches: usize,
    /// Whether further ones are left out.
    is_cut: bool,
    /// Why the parent cannot be listed.
    error: Option<io::Error>,
}

impl Listing {
    /// Looks what `pattern` matches, up to `limit` directories.
    pub(super) fn of(pattern: &Pattern, limit: usize) -> Self {
        let parent = number(pattern.parent());
        if let Some(directory) = pattern.literal() {
            let matches = usize::from(directory.is_dir());
            return Self { parent: parent.ok(), directories: vec![directory], matches, is_cut: false, error: None };
        }
        match parent.and_then(|number| Ok((number, list(pattern, limit)?))) {
            Ok((number, mut directories)) => {
                let is_cut = directories.len() > limit;
                directories.truncate(limit);
                let matches = directories.len();
                Self { parent: Some(number), directories, matches, is_cut, error: None }
            }
            Err(error) => Self { parent: None, directories: Vec::new(), matches: 0, is_cut: false, error: Some(error) },
        }
    }

    /// Whether what was found in `parent` is out of sight rather than removed: there is no such directory any more, or, as where a
    /// file system was unmounted, another in its place that holds nothing.
    pub(super) fn has_lost(&self, parent: Option<Number>) -> bool {
        match (self.parent, parent) {
            (None, _) => true,
            (Some(now), Some(then)) => now != then && self.matches == 0,
            (Some(_), None) => false,
        }
    }

    /// The pattern's state, with `kept` identities of directories that are out of sight.
    pub(super) fn watched(&self, pattern: &Pattern, kept: usize) -> Watched {
        let unusable: Vec<_> = self.directories.iter().filter(|directory| name(directory).is_none()).collect();
        let mut watched = Watched {
            pattern: pattern.clone(),
            matches: self.matches,
            unusable: unusable.len(),
            kept,
            findings: Vec::new(),
            is_wanting: false,
            is_cut: self.is_cut,
        };
        if kept > 0 {
            watched.is_wanting = true;
            watched.say(Check::DirectoryAway, Severity::Warn, pattern, away(pattern, self.error.as_ref(), kept));
        } else if self.matches == 0 && pattern.literal().is_none() {
            // The default pattern need not match; one that somebody wrote must.
            watched.is_wanting = !pattern.is_default();
            let severity = if watched.is_wanting { Severity::Warn } else { Severity::Info };
            let why = match &self.error {
                Some(error) => format!("{} cannot be listed: {error}", text::path(pattern.parent())),
                None => format!("{} holds no such directory", text::path(pattern.parent())),
            };
            let sentence = format!("no directory matches {pattern}, and no identity comes of it: {why}");
            watched.say(Check::DirectoryUnmatched, severity, pattern, sentence);
        }
        if !unusable.is_empty() {
            let names: Vec<_> =
                unusable.iter().take(NAMED).map(|path| format!("{:?}", path.file_name().unwrap_or_default())).collect();
            let more = match unusable.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let sentence = format!(
                "directories that match {pattern} are no identities, since no identity can have their names: {}{more}; rename them to ASCII \
                 letters, digits, '.', '_' and '-', or narrow the pattern",
                names.join(", ")
            );
            watched.say(Check::DirectoryName, Severity::Warn, pattern, sentence);
        }
        watched
    }
}

impl Watched {
    /// The warning where it [is cut](Self::is_cut).
    pub(super) fn too_many(&self) -> String {
        format!(
            "more than {} directories match {}: the rest are left out, and no identity comes of them; narrow the pattern",
            self.matches, self.pattern
        )
    }

    fn say(&mut self, check: Check, severity: Severity, pattern: &Pattern, sentence: String) {
        self.findings.push(Finding::new(check, severity, sentence).in_file(pattern.parent()));
    }
}

/// Why what a pattern matched is out of sight, and what becomes of it.
fn away(pattern: &Pattern, error: Option<&io::Error>, kept: usize) -> String {
    let parent = text::path(pattern.parent());
    let why = match error {
        Some(error) => format!("{parent} cannot be listed any more ({error})"),
        None => format!("{parent} is another directory than before, and empty"),
    };
    format!(
        "{why}: the identities found in it ({kept}) are kept and served as they are until it is back; mount or restore it, or take {pattern} out of \
         `directories` in [watch]"
    )
}

/// The finding for an identity whose directory is out of sight.
pub(super) fn away_finding(directory: &Path) -> Finding {
    let sentence = "the directory that held this one went away; what was published last is kept until it is back: mount or restore it";
    let finding = Finding::new(Check::DirectoryAway, Severity::Warn, sentence);
    directory.parent().map_or(finding.clone(), |parent| finding.in_file(parent))
}

/// The name of the identity that a directory is.
pub(super) fn name(directory: &Path) -> Option<IdentityName> {
    directory.file_name()?.to_str()?.parse().ok()
}

fn number(directory: &Path) -> io::Result<Number> {
    fs::metadata(directory).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// What `pattern` matches, sorted: of too many, one more than `limit`.
fn list(pattern: &Pattern, limit: usize) -> io::Result<Vec<PathBuf>> {
    let mut directories: Vec<_> = fs::read_dir(pattern.parent())?
        .filter_map(Result::ok)
        .filter(|entry| pattern.matches(&entry.file_name()) && entry.file_name() != OF_FILE_SYSTEM)
        .filter(|entry| {
            entry.file_type().is_ok_and(|kind| kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()))
        })
        .map(|entry| entry.path())
        .take(limit + 1)
        .collect();
    directories.sort();
    Ok(directories)
}
