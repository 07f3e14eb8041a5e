//! Which identities a configuration asks for, given what directories there are now.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use evercert_core::check::{Check, Finding, Severity};
use evercert_core::identity::{IdentityId, IdentityName};
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};
use tracing::warn;

use crate::accounts::{Account, Accounts};
use crate::attest::Policy;
use crate::config::{Config, Pattern};
use crate::pods::{Found, PodNames, Silent};
use crate::wanted::Wanted;

/// The most directories one pattern may match; further ones are left out, with a warning.
const MATCHES_LIMIT: usize = 32_768;

/// The identities a configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sources {
    /// One for each name; those the configuration names first, then those of directories, then those of pods.
    pub(crate) specs: Vec<IdentitySpec>,
    /// Those that are left out because their name is taken.
    pub(crate) collisions: Vec<Collision>,
    /// The directories that patterns matched.
    pub(crate) directories: Vec<PathBuf>,
    /// Who may have the identities of the node.
    pub(crate) policies: HashMap<IdentityId, Policy>,
    /// The users and groups that rules name and this node does not have.
    pub(crate) unknown_accounts: BTreeSet<Account>,
    /// What the pods are called.
    pub(crate) pods: PodNames,
    /// How many volumes of pods are not looked into.
    pub(crate) silent: Silent,
}

impl Sources {
    /// With what was found of pods. Their names are of scopes of their own: they collide with nobody's.
    pub(crate) fn with_pods(mut self, found: Found) -> Self {
        self.specs.extend(found.specs);
        Self { pods: found.names, silent: found.silent, ..self }
    }

    /// What is to be kept.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            ids: self.specs.iter().map(|spec| spec.id.clone()).collect(),
            policies: self.policies.clone(),
            pods: self.pods.clone(),
        }
    }
}

/// An identity that is left out because its name is taken. An error at the start; later, when a directory appears
/// beside a running daemon, a finding on the identity that stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "two identities are named {}: the one of {} and the directory {}; names are unique on a node: rename one, or leave it out of `directories` in \
     [watch]", id.name, kept.display(), other.display()
)]
pub(crate) struct Collision {
    /// The identity that has the name.
    pub(crate) id: IdentityId,
    /// A file of it.
    pub(crate) kept: PathBuf,
    /// The directory that is left out.
    pub(crate) other: PathBuf,
}

impl Collision {
    /// What the identity that stays says of it.
    pub(crate) fn finding(&self) -> Finding {
        Finding {
            check: Check::NameCollision,
            severity: Severity::Warn,
            sentence: format!(
                "the directory {} would be an identity of the same name and is left out; rename one of them",
                self.other.display()
            ),
            file: Some(self.kept.clone()),
            found: Some(self.other.display().to_string()),
            expected: None,
        }
    }
}

/// Looks which identities `config` asks for now. `known` directories that its patterns mean stay, whether they are
/// there or not: a mount that is away for a moment costs nobody an identity. Reads directories and asks `accounts`: it blocks.
pub(crate) fn resolve(config: &Config, known: &[PathBuf], accounts: &Accounts) -> Sources {
    let mut taken: BTreeMap<IdentityId, PathBuf> = BTreeMap::new();
    let (policies, unknown_accounts) = accounts.look_up(&config.policies);
    let mut sources = Sources { policies, unknown_accounts, ..Sources::default() };
    for spec in &config.identities {
        taken.insert(spec.id.clone(), spec.files.paths().next().unwrap_or(Path::new("")).to_owned());
        sources.specs.push(spec.clone());
    }
    let stay = known.iter().filter(|directory| config.directories.iter().any(|pattern| pattern.means(directory)));
    for directory in stay.cloned().chain(config.directories.iter().flat_map(matches)) {
        let Some(name) = name(&directory) else { continue };
        let id = IdentityId::node(name);
        match taken.entry(id.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(directory.clone());
                let files = FileSet::cert_manager(&directory);
                sources.specs.push(IdentitySpec {
                    id,
                    files,
                    expectations: Expectations::default(),
                    overlap: IdentitySpec::OVERLAP,
                });
                sources.directories.push(directory);
            }
            // Two patterns may match one directory; that is still one identity.
            Entry::Occupied(kept) if *kept.get() == directory => {}
            Entry::Occupied(kept) => {
                sources.collisions.push(Collision { id, kept: kept.get().clone(), other: directory });
            }
        }
    }
    sources
}

/// The directories `pattern` means, sorted. One without wildcard is meant whether it is there or not.
fn matches(pattern: &Pattern) -> Vec<PathBuf> {
    if let Some(directory) = pattern.literal() {
        return vec![directory];
    }
    let parent = pattern.parent();
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        // Not there yet, as on every fresh machine.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            warn!(directory = %parent.display(), %error, "cannot list the directory; its identities are not known");
            return Vec::new();
        }
    };
    let mut directories: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|entry| pattern.matches(&entry.file_name()))
        .filter(|entry| {
            entry.file_type().is_ok_and(|kind| kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()))
        })
        .map(|entry| entry.path())
        .take(MATCHES_LIMIT + 1)
        .collect();
    directories.sort();
    if directories.len() > MATCHES_LIMIT {
        warn!(directory = %parent.display(), limit = MATCHES_LIMIT, "too many directories match; the rest are left out");
        directories.truncate(MATCHES_LIMIT);
    }
    directories
}

fn name(directory: &Path) -> Option<IdentityName> {
    let name = directory.file_name()?.to_string_lossy();
    name.parse().map_err(|error| warn!(directory = %directory.display(), %error, "the directory is left out")).ok()
}

#[cfg(test)]
mod tests {
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
        let first = resolve(&config, &[], &Accounts::default());
        assert_eq!(names(&first), ["a", "b", "link"]);

        fs::remove_dir(root.path().join("b")).unwrap();
        fs::create_dir(root.path().join("c")).unwrap();
        assert_eq!(names(&resolve(&config, &first.directories, &Accounts::default())), ["a", "b", "link", "c"]);
        assert_eq!(names(&resolve(&config, &[], &Accounts::default())), ["a", "c", "link"]);
        assert_eq!(names(&resolve(&self::config(""), &first.directories, &Accounts::default())), [""; 0]);
    }

    #[test]
    fn of_two_identities_with_one_name_the_configured_or_older_one_stays() {
        let root = tempfile::tempdir().unwrap();
        for name in ["x/a", "y/a", "y/b"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        let at = root.path().display();
        let watch = format!("[watch]\ndirectories = [\"{at}/x/*\", \"{at}/y/*\", \"{at}/y/*\"]\n");
        let sources =
            resolve(&config(&format!("{watch}[[identity]]\nname = \"b\"\npath = \"/x\"\n")), &[], &Accounts::default());
        assert_eq!(names(&sources), ["b", "a"]);
        let left_out: Vec<_> = sources.collisions.iter().map(ToString::to_string).collect();
        assert!(
            left_out[0]
                .starts_with(&format!("two identities are named a: the one of {at}/x/a and the directory {at}/y/a;"))
        );
        assert!(
            left_out[1]
                .starts_with(&format!("two identities are named b: the one of /x/tls.crt and the directory {at}/y/b;"))
        );
        let older = resolve(&config(&watch), &[root.path().join("y/a")], &Accounts::default());
        assert_eq!(older.specs[0].files, FileSet::cert_manager(&root.path().join("y/a")));
    }
}
