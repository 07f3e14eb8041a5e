//! Everything that is published, by CA and by key: what uses each CA, and what only shows where identities are held against each other.
//!
//! ```text
//! publications ─→ take_in ──→ table (CAs, the bundles that hold them, the leaves under them) ─→ counts
//!                    └──────→ keys (which leaves have one)                                  └─→ news
//! ```
//!
//! Only what changed is read again: a signature is verified when a leaf, or a CA of its issuer's name, comes. What a change concerns is found
//! by CA and by key, never by holding every identity against every other.

mod findings;
mod keys;
mod table;
#[cfg(test)]
mod tests;
mod uses;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use evercert_core::certificate::CertificateFacts;
use evercert_core::check::is_of_public_ca;
use evercert_core::credential::Credential;
use evercert_core::crypto::is_issued_by;
use evercert_core::digest::Digest;
use evercert_core::snapshot::Snapshot;

use super::{bundles, issuers};

pub(crate) use findings::{Found, is_of_neighbours};
use keys::{Keys, LeafKey};
use table::{BundleKey, Table};
pub(crate) use uses::{AuthorityUse, AuthorityUses};

/// The most anchors that are remembered of an identity whose bundle lost them.
const LOST: usize = 16;

/// What identities publish. It holds no key.
#[derive(Debug)]
pub(crate) struct Census<Id> {
    /// Boxed, since a tree has room for more than it holds.
    published: BTreeMap<Id, Box<Published>>,
    table: Table<Id>,
    keys: Keys<Id>,
    /// The identities that present a certificate with this issuer's name.
    by_issuer: HashMap<String, BTreeSet<Id>>,
    /// Those without a bundle: what the bundles of others say of them is told nowhere else.
    unbundled: BTreeSet<Id>,
    /// Those of which something else may be found by now.
    changed: BTreeSet<Id>,
    /// Those that are gone: what was told of them is so no more, whether they come again or not.
    gone: BTreeSet<Id>,
    /// Nothing comes after: no bundle will have lost anything, so that whose leaf it is counts for those alone that have no bundle.
    is_of_one_moment: bool,
}

/// What one identity publishes.
#[derive(Debug)]
struct Published {
    digest: Digest,
    /// The chain, without its key.
    credential: Option<Credential>,
    /// In order, each once.
    bundles: Vec<BundleKey>,
    /// The CAs after the leaf.
    chain: Vec<Digest>,
    /// The CAs that the leaf is under: those in the chain, and those that issued some of it.
    presents: Vec<Digest>,
    /// The names of the issuers of the chain, each with the place of what it issued.
    issuers: Vec<(String, usize)>,
    key: Option<LeafKey>,
    is_of_public_ca: bool,
    /// The anchors that its bundles lost while a leaf of another was under them.
    lost: Vec<Digest>,
    /// What was told of it.
    told: Vec<Found>,
}

/// The CAs of what is published.
#[derive(Debug)]
pub(crate) struct AuthorityCounts {
    pub(crate) counts: Vec<AuthorityCount>,
    /// How many there are besides, of which nothing is known.
    pub(crate) uncounted: usize,
}

/// One CA of what is published, and what uses it.
#[derive(Debug)]
pub(crate) struct AuthorityCount {
    pub(crate) facts: Arc<CertificateFacts>,
    /// What presents a leaf that is under it.
    pub(crate) presents: Users,
    /// What trusts it.
    pub(crate) trusts: Users,
}

/// Identities, and the subscribers of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Users {
    pub(crate) identities: usize,
    pub(crate) subscribers: usize,
}

impl Users {
    fn add(&mut self, other: Self) {
        self.identities += other.identities;
        self.subscribers += other.subscribers;
    }
}

/// The anchors of what these publish: what trusts them alone is counted.
pub(crate) fn trusted<'a>(published: impl Iterator<Item = &'a Snapshot>) -> AuthorityCounts {
    let mut census = Census::default();
    for (place, snapshot) in published.enumerate() {
        let bundles = census.enter_bundles(snapshot, &place);
        let published = Published { bundles, ..Published::nothing(snapshot.digest()) };
        census.published.insert(place, Box::new(published));
    }
    census.counts(|_| 0)
}

impl<Id: Ord + Clone> Census<Id> {
    /// One that takes in everything once: no more signatures are verified than what can be found then asks for.
    pub(crate) fn of_one_moment() -> Self {
        Self { is_of_one_moment: true, ..Self::default() }
    }

    /// Takes in what one identity publishes by now, which may be nothing.
    pub(crate) fn take_in(&mut self, id: &Id, published: Option<&Snapshot>) {
        let before = self.state();
        match published {
            Some(snapshot) if self.published.get(id).is_some_and(|entry| entry.digest == snapshot.digest()) => {}
            Some(snapshot) => self.record(id, snapshot),
            None => self.forget(id),
        }
        // Whether anything trusts a leaf depends on these for everybody without a bundle.
        if self.state() != before {
            self.changed.extend(self.unbundled.iter().cloned());
        }
    }

    /// How much uses each CA; `subscribers` are those of an identity.
    pub(crate) fn counts(&self, subscribers: impl Fn(&Id) -> usize) -> AuthorityCounts {
        let users = |id: &Id| Users { identities: 1, subscribers: subscribers(id) };
        let mut trusting: HashMap<&[BundleKey], Users> = HashMap::new();
        for (id, entry) in &self.published {
            trusting.entry(&entry.bundles).or_default().add(users(id));
        }
        let mut trusts: HashMap<&Digest, Users> = HashMap::new();
        for (bundles, users) in trusting {
            // An identity may trust one by several bundles.
            for anchor in bundles.iter().flat_map(|bundle| self.table.anchors(*bundle)).collect::<BTreeSet<_>>() {
                trusts.entry(anchor).or_default().add(users);
            }
        }
        let counts = self.table.all().map(|(fingerprint, authority)| {
            let mut presents = Users::default();
            authority.presented_by.iter().for_each(|id| presents.add(users(id)));
            let trusts = trusts.get(fingerprint).copied().unwrap_or_default();
            AuthorityCount { facts: Arc::clone(&authority.facts), presents, trusts }
        });
        AuthorityCounts { counts: counts.collect(), uncounted: self.table.uncounted() }
    }

    /// Whether there is a bundle, and whether every CA of all of them is known.
    fn state(&self) -> (bool, bool) {
        (self.table.has_bundles(), self.table.uncounted() == 0)
    }

    fn record(&mut self, id: &Id, snapshot: &Snapshot) {
        let before = self.published.remove(id);
        let mut now = Published::new(snapshot);
        now.bundles = self.enter_bundles(snapshot, id);
        now.chain = issuers(snapshot).map(|der| self.table.enter_chain(der)).collect();
        self.introduce();
        if self.asks_for_issuers(&now) {
            now.presents = self.table.issuers_of(&now);
        }
        let before = before.unwrap_or_else(|| Box::new(Published::nothing(now.digest)));
        now.lost = self.lost(id, &before, &now);
        now.told.clone_from(&before.told);
        self.exchange(id, &before, &now);
        self.published.insert(id.clone(), Box::new(now));
        self.table.sweep().into_iter().for_each(|gone| self.unlearn(gone));
    }

    /// Whether anything depends on whose leaf it is.
    fn asks_for_issuers(&self, published: &Published) -> bool {
        !self.is_of_one_moment || published.bundles.is_empty()
    }

    /// Has the table hold the bundles, and returns them in order, each once.
    fn enter_bundles(&mut self, snapshot: &Snapshot, id: &Id) -> Vec<BundleKey> {
        let mut entered: Vec<_> = bundles(snapshot).map(|bundle| self.table.enter_bundle(bundle, id)).collect();
        entered.sort_unstable();
        entered.dedup();
        entered
    }

    fn forget(&mut self, id: &Id) {
        let Some(before) = self.published.remove(id) else { return };
        self.exchange(id, &before, &Published::nothing(before.digest));
        self.table.sweep().into_iter().for_each(|gone| self.unlearn(gone));
        self.changed.remove(id);
        if !before.told.is_empty() {
            self.gone.insert(id.clone());
        }
    }

    /// Has each CA that came meet the leaves that were there, one of which it may have issued.
    fn introduce(&mut self) {
        for (came, subject, der) in self.table.newcomers() {
            for id in self.by_issuer.get(&subject).into_iter().flatten() {
                if !self.published.get(id).is_some_and(|entry| self.asks_for_issuers(entry)) {
                    continue;
                }
                let Some(entry) = self.published.get_mut(id) else { continue };
                if !entry.presents.contains(&came) && entry.issued_by(&subject).any(|issued| is_issued_by(issued, &der))
                {
                    entry.presents.push(came);
                    self.table.present(id, came);
                    entry.presents.iter().for_each(|authority| self.table.touch(*authority));
                    self.changed.insert(id.clone());
                }
            }
        }
    }

    /// The anchors that are missed: those that left the bundles of an identity, and were not back since, while a leaf of another is under
    /// them.
    fn lost(&self, id: &Id, before: &Published, now: &Published) -> Vec<Digest> {
        if now.bundles.is_empty() {
            // It trusts nobody, which is another matter.
            return Vec::new();
        }
        let left = without(&before.bundles, &now.bundles).flat_map(|bundle| self.table.anchors(*bundle));
        let is_missed = |anchor: &&Digest| {
            !self.table.is_trusted_by(anchor, &now.bundles)
                && self.table.get(anchor).is_some_and(|missed| missed.presented_by.iter().any(|other| other != id))
        };
        let missed: BTreeSet<_> = before.lost.iter().chain(left).filter(is_missed).copied().collect();
        missed.into_iter().take(LOST).collect()
    }

    /// Puts what an identity publishes now in the place of what it published before.
    fn exchange(&mut self, id: &Id, before: &Published, now: &Published) {
        self.changed.insert(id.clone());
        for bundle in without(&before.bundles, &now.bundles) {
            self.table.leave_bundle(*bundle, id);
        }
        before.chain.iter().for_each(|authority| self.table.leave_chain(authority));
        without(&before.presents, &now.presents).for_each(|authority| self.table.absent(id, *authority));
        without(&now.presents, &before.presents).for_each(|authority| self.table.present(id, *authority));
        without(&before.lost, &now.lost).for_each(|anchor| self.table.found_again(id, *anchor));
        without(&now.lost, &before.lost).for_each(|anchor| self.table.lose(id, *anchor));
        // What is under an anchor that was lost has another issuer by now, or another bundle holds that.
        before.presents.iter().chain(&now.presents).chain(&now.lost).for_each(|authority| self.table.touch(*authority));
        let is_left = |(name, _): &&(String, usize)| !now.issuers.iter().any(|(other, _)| other == name);
        for (name, _) in before.issuers.iter().filter(is_left) {
            if let Some(ids) = self.by_issuer.get_mut(name) {
                ids.remove(id);
                if ids.is_empty() {
                    self.by_issuer.remove(name);
                }
            }
        }
        for (name, _) in &now.issuers {
            self.by_issuer.entry(name.clone()).or_default().insert(id.clone());
        }
        if before.key != now.key {
            self.changed.extend(before.key.as_ref().map(|key| self.keys.leave(key, id)).unwrap_or_default());
            self.changed.extend(now.key.as_ref().map(|key| self.keys.enter(key, id)).unwrap_or_default());
        }
        if now.credential.is_some() && now.bundles.is_empty() {
            self.unbundled.insert(id.clone());
        } else {
            self.unbundled.remove(id);
        }
    }

    /// Nothing holds this CA any more.
    fn unlearn(&mut self, (gone, presented_by): (Digest, BTreeSet<Id>)) {
        for id in presented_by {
            if let Some(entry) = self.published.get_mut(&id) {
                entry.presents.retain(|authority| *authority != gone);
                self.changed.insert(id);
            }
        }
    }
}

impl Published {
    fn nothing(digest: Digest) -> Self {
        Self {
            digest,
            credential: None,
            bundles: Vec::new(),
            chain: Vec::new(),
            presents: Vec::new(),
            issuers: Vec::new(),
            key: None,
            is_of_public_ca: false,
            lost: Vec::new(),
            told: Vec::new(),
        }
    }

    /// All of it that is of the credential alone.
    fn new(snapshot: &Snapshot) -> Self {
        let nothing = Self::nothing(snapshot.digest());
        let Some(credential) = snapshot.credential().map(|credential| credential.without_key()) else { return nothing };
        let above = credential.chain().iter().enumerate().skip(1);
        let above = above.filter_map(|(place, der)| Some((CertificateFacts::from_der(der).ok()?.issuer.text, place)));
        let issuers = std::iter::once((credential.leaf().issuer.text.clone(), 0)).chain(above).collect();
        let (key, is_of_public_ca) = (LeafKey::of(&credential), is_of_public_ca(&credential));
        Self { credential: Some(credential), issuers, key, is_of_public_ca, ..nothing }
    }

    /// The certificates of the chain with this issuer's name.
    fn issued_by<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let chain = self.credential.as_ref().map(Credential::chain).unwrap_or_default();
        let places = self.issuers.iter().filter(move |(issuer, _)| issuer == name).map(|(_, place)| *place);
        places.filter_map(move |place| chain.get(place)).map(AsRef::as_ref)
    }
}

/// Those of `some` that are not in `others`; both are few.
fn without<'a, T: PartialEq>(some: &'a [T], others: &'a [T]) -> impl Iterator<Item = &'a T> {
    some.iter().filter(|one| !others.contains(one))
}

impl<Id> Default for Census<Id> {
    fn default() -> Self {
        Self {
            published: BTreeMap::new(),
            table: Table::default(),
            keys: Keys::default(),
            by_issuer: HashMap::new(),
            unbundled: BTreeSet::new(),
            changed: BTreeSet::new(),
            gone: BTreeSet::new(),
            is_of_one_moment: false,
        }
    }
}
