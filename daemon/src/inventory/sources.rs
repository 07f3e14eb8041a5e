//! The identities that a configuration asks for, given the directories there are now.

mod collision;
mod watched;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use evercert_core::finding::Finding;
use evercert_core::identity::IdentityId;
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};

use crate::config::{Config, Endpoint};
use crate::inventory::pods::{Contested, Found, PodNames, Silent};
use crate::inventory::{Account, Accounts, LookLimit, Wanted};
use crate::policy::Policy;

pub(crate) use collision::Collision;
pub(crate) use watched::Watched;

use watched::{Listing, MATCHES_LIMIT, Number, away_finding, name};

/// The identities a configuration asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sources {
    /// One for each name; those the configuration names first, then those of directories, then those of pods.
    pub(crate) specs: Vec<IdentitySpec>,
    /// Those that are left out because their name is taken.
    pub(crate) collisions: Vec<Collision>,
    /// The directories that are identities.
    pub(crate) directories: Vec<IdentityDirectory>,
    /// The state of each pattern.
    pub(crate) watched: Vec<Watched>,
    /// The findings about single identities, besides those about their files.
    pub(crate) findings: BTreeMap<IdentityId, Vec<Finding>>,
    /// The policies of the node's identities.
    pub(crate) policies: HashMap<IdentityId, Policy>,
    /// Where the node's identities are served.
    pub(crate) serves: BTreeMap<IdentityId, Vec<Endpoint>>,
    /// The users and groups that rules name and this node does not have.
    pub(crate) unknown_accounts: BTreeSet<Account>,
    /// The names of the pods.
    pub(crate) pods: PodNames,
    /// The number of pods of which more than one name is told.
    pub(crate) contested: Contested,
    /// The number of volumes of pods that are not looked into.
    pub(crate) silent: Silent,
    /// The limits by which something that is there was left out.
    pub(crate) limits_reached: BTreeSet<LookLimit>,
}

/// A directory that is an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityDirectory {
    pub(crate) path: PathBuf,
    /// The directory it was in when it was last there.
    parent: Option<Number>,
}

/// The known directories that stay, of those that patterns still mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    /// All of them, whether they are there or not: what is away for a moment costs nobody an identity.
    All,
    /// Those that are there, and those that are out of sight with what held them. One that was removed from a directory that is
    /// there goes: whoever has the configuration read again means that.
    OutOfSight,
}

impl Sources {
    /// Adds what was found of pods. Their names are of scopes of their own: they collide with nobody's.
    pub(crate) fn with_pods(mut self, found: Found) -> Self {
        self.specs.extend(found.specs);
        self.limits_reached.extend(found.limits_reached);
        Self { pods: found.names, contested: found.contested, silent: found.silent, ..self }
    }

    /// Everything to keep.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted {
            ids: self.specs.iter().map(|spec| spec.id.clone()).collect(),
            policies: self.policies.clone(),
            serves: self.serves.clone(),
            pods: self.pods.clone(),
            watched: self.watched.clone().into(),
        }
    }

    /// The warnings besides those about files, a sentence each.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        let watched = self.watched.iter().flat_map(|watched| &watched.findings).map(|finding| finding.sentence.clone());
        let cut = self.watched.iter().filter(|watched| watched.is_cut).map(Watched::too_many);
        self.collisions.iter().map(ToString::to_string).chain(watched).chain(cut)
    }

    fn add(
        &mut self,
        taken: &mut BTreeMap<IdentityId, PathBuf>,
        directory: IdentityDirectory,
        policy: &Policy,
    ) -> Option<IdentityId> {
        let id = IdentityId::node(name(&directory.path)?);
        match taken.entry(id.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(directory.path.clone());
                let files = FileSet::cert_manager(&directory.path);
                let (expectations, overlap) = (Expectations::default(), IdentitySpec::OVERLAP);
                self.specs.push(IdentitySpec { id: id.clone(), files, expectations, overlap });
                self.policies.insert(id.clone(), policy.clone());
                self.directories.push(directory);
                Some(id)
            }
            // Two patterns may match one directory; that is still one identity.
            Entry::Occupied(kept) if *kept.get() == directory.path => None,
            Entry::Occupied(kept) => {
                let collision = Collision { id: id.clone(), kept: kept.get().clone(), other: directory.path };
                if !self.collisions.contains(&collision) {
                    self.findings.entry(id).or_default().push(collision.finding());
                    self.collisions.push(collision);
                }
                None
            }
        }
    }
}

/// Looks which identities `config` asks for now: the one verdict of a start, of a reload and of whoever checks a configuration. `stay`
/// says which of the `known` directories stay. Reads directories and asks `accounts`: it blocks.
pub(crate) fn resolve(config: &Config, known: &[IdentityDirectory], stay: Stay, accounts: &Accounts) -> Sources {
    resolve_within(MATCHES_LIMIT, config, known, stay, accounts)
}

/// As [`resolve`], with at most so many directories of each pattern.
fn resolve_within(
    matches: usize,
    config: &Config,
    known: &[IdentityDirectory],
    stay: Stay,
    accounts: &Accounts,
) -> Sources {
    let mut taken: BTreeMap<IdentityId, PathBuf> = BTreeMap::new();
    let mut sources =
        Sources { policies: config.policies.clone(), serves: config.serves.clone(), ..Sources::default() };
    for spec in &config.identities {
        taken.insert(spec.id.clone(), spec.files.paths().next().unwrap_or(Path::new("")).to_owned());
        sources.specs.push(spec.clone());
    }
    let listings: Vec<_> = config.directories.iter().map(|watched| Listing::of(&watched.pattern, matches)).collect();
    let mut kept = vec![0; listings.len()];
    for directory in known {
        // The first pattern that means it decides.
        let Some(at) = config.directories.iter().position(|watched| watched.pattern.means(&directory.path)) else {
            continue;
        };
        let (listing, policy) = (&listings[at], &config.directories[at].policy);
        let is_there = listing.directories.binary_search(&directory.path).is_ok();
        let is_lost = !is_there && listing.has_lost(directory.parent);
        if !is_there && !is_lost && stay == Stay::OutOfSight {
            continue;
        }
        let parent = if is_there { listing.parent } else { directory.parent };
        let added = sources.add(&mut taken, IdentityDirectory { path: directory.path.clone(), parent }, policy);
        if let Some(id) = added.filter(|_| is_lost) {
            sources.findings.entry(id).or_default().push(away_finding(&directory.path));
            kept[at] += 1;
        }
    }
    for (listing, watched) in listings.iter().zip(&config.directories) {
        for path in &listing.directories {
            let decides = config.directories.iter().find(|other| other.pattern.means(path)).unwrap_or(watched);
            sources.add(&mut taken, IdentityDirectory { path: path.clone(), parent: listing.parent }, &decides.policy);
        }
    }
    let patterns = config.directories.iter().map(|watched| &watched.pattern);
    sources.watched = listings
        .iter()
        .zip(patterns)
        .zip(kept)
        .map(|((listing, pattern), kept)| listing.watched(pattern, kept))
        .collect();
    if sources.watched.iter().any(|watched| watched.is_cut) {
        sources.limits_reached.insert(LookLimit::DirectoryMatches);
    }
    (sources.policies, sources.unknown_accounts) = accounts.look_up(&sources.policies);
    sources
}

#[cfg(test)]
mod tests;
