use std::collections::BTreeMap;

use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::credential::PrivateKey;
use evercert_core::finding::{Check, Finding, Severity};
use evercert_core::identity::IdentityId;
use evercert_core::spec::{BundleFile, Expectations, FileSet, IdentitySpec};
use evercert_fixtures::{CertificateParams, Entity, SanType, common_name};

use super::*;

/// Identities and what they publish, as the test changes it.
#[derive(Default)]
struct Node {
    census: Census<&'static str>,
    published: BTreeMap<&'static str, Snapshot>,
    bundles: Vec<Arc<Bundle>>,
    told: BTreeMap<&'static str, Vec<Found>>,
}

impl Node {
    /// An identity publishes a leaf, with its issuers after it, and trusts these anchors; nobody, where there are none.
    fn publish(&mut self, id: &'static str, chain: &[&Entity], anchors: &[&Entity]) {
        let own = (!anchors.is_empty()).then(|| {
            // Equal bundles are one, as the keeper has it.
            let bundle = Bundle::new(anchors.iter().map(|anchor| anchor.der()).collect(), Vec::new());
            let known = self.bundles.iter().find(|known| ***known == bundle).cloned();
            known.unwrap_or_else(|| {
                let bundle = Arc::new(bundle);
                self.bundles.push(Arc::clone(&bundle));
                bundle
            })
        });
        let credential = chain.first().map(|leaf| {
            let key = PrivateKey::from_pkcs8(leaf.key.serialize_der().into()).unwrap();
            Arc::new(Credential::new(chain.iter().map(|entity| entity.der()).collect(), key).unwrap())
        });
        let snapshot = Snapshot::new(1, credential, Bundles { own, ..Bundles::default() }, None);
        self.published.insert(id, snapshot);
    }

    fn take_in(&mut self) {
        let gone: Vec<_> =
            self.census.published.keys().filter(|id| !self.published.contains_key(*id)).copied().collect();
        gone.iter().for_each(|id| self.census.take_in(id, None));
        self.published.iter().for_each(|(id, snapshot)| self.census.take_in(id, Some(snapshot)));
    }

    fn look(&mut self, is_complete: bool) {
        self.take_in();
        for (id, found) in self.census.news(is_complete) {
            let before = self.told.insert(id, found.clone()).unwrap_or_default();
            assert_ne!(before, found, "{id} is no news");
        }
        self.told.retain(|_, found| !found.is_empty());
    }

    /// What is told of each identity by now, in a word.
    fn told(&mut self) -> Vec<(&'static str, &'static str)> {
        self.look(true);
        let word = |found: &Found| match found {
            Found::AnchorLost(_) => "anchor lost",
            Found::LostElsewhere(_) => "lost elsewhere",
            Found::IssuerUntrusted => "issuer untrusted",
            Found::KeyShared(_) => "key shared",
        };
        self.told.iter().flat_map(|(id, found)| found.iter().map(|found| (*id, word(found)))).collect()
    }

    fn counted(&mut self, authority: &Entity) -> (usize, usize) {
        self.look(true);
        let fingerprint = Digest::fingerprint(&authority.der());
        let counts = self.census.counts(|_| 1).counts;
        let count = counts.into_iter().find(|count| count.facts.fingerprint == fingerprint);
        count.map_or((0, 0), |count| (count.presents.identities, count.trusts.subscribers))
    }
}

fn named(name: &'static str) -> impl FnOnce(&mut CertificateParams) {
    move |leaf| leaf.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())]
}

#[test]
fn a_bundle_that_lost_an_anchor_is_told_with_the_leaves_that_are_under_it_until_these_or_it_are_exchanged() {
    let [old, new] = ["old", "new"].map(Entity::root);
    let (a, b, renewed) = (new.leaf(), old.leaf(), new.leaf());
    let mut node = Node::default();
    node.publish("a", &[&a], &[&old, &new]);
    node.publish("b", &[&b], &[&old, &new]);
    assert_eq!(node.told(), []);
    node.publish("a", &[&a], &[&new]);
    let told = [("a", "anchor lost"), ("b", "lost elsewhere")];
    assert_eq!(node.told(), told);
    assert_eq!(node.told(), told, "it is still so");

    node.publish("a", &[&a], &[&old, &new]);
    assert_eq!(node.told(), [], "the anchor is back");
    node.publish("a", &[&a], &[&new]);
    assert_eq!(node.told(), told);
    node.publish("b", &[&renewed], &[&old, &new]);
    assert_eq!(node.told(), [], "the leaf is another CA's");
    node.publish("b", &[&b], &[&old, &new]);
    assert_eq!(node.told(), [], "what was done with is not missed when a leaf under it comes");
}

#[test]
fn an_anchor_that_every_bundle_lost_is_told_although_nothing_holds_its_certificate() {
    let [old, new] = ["old", "new"].map(Entity::root);
    let (a, b) = (old.leaf(), old.leaf());
    let mut node = Node::default();
    for (id, leaf) in [("a", &a), ("b", &b)] {
        node.publish(id, &[leaf], &[&old]);
    }
    assert_eq!(node.told(), []);
    for (id, leaf) in [("a", &a), ("b", &b)] {
        node.publish(id, &[leaf], &[&new]);
    }
    // That its own leaf is not trusted is told by the identity's own files.
    assert_eq!(node.told(), [("a", "anchor lost"), ("b", "anchor lost")]);
    node.published.remove("b");
    assert_eq!(node.told(), [], "its own leaf alone is left");
    node.published.clear();
    assert_eq!(node.counted(&old), (0, 0));
    assert!(node.census.table.all().next().is_none(), "nothing is kept of what is gone");
}

#[test]
fn an_anchor_is_not_missed_where_another_certificate_of_its_ca_or_another_issuer_is_trusted() {
    let (old, other) = (Entity::root("old"), Entity::root("other"));
    let sub = old.sub_ca("sub", |_| {});
    // The same CA under the same key, and the intermediate by another root.
    let (renewed, crossed) = (old.again_with(&old, |_| {}), sub.again_with(&other, |_| {}));
    let (a, b) = (other.leaf(), sub.leaf());
    let mut node = Node::default();
    for (id, leaf) in [("a", &[&a][..]), ("b", &[&b, &sub, &crossed][..])] {
        node.publish(id, leaf, &[&old, &other]);
    }
    node.publish("c", &[&old.leaf()], &[&old, &renewed]);
    assert_eq!(node.told(), []);
    node.publish("a", &[&a], &[&other]);
    assert_eq!(node.told(), [("a", "anchor lost"), ("c", "lost elsewhere")], "the leaf of c has no other way");
    node.publish("a", &[&a], &[&other, &renewed]);
    assert_eq!(node.told(), []);
    node.published.remove("c");
    node.publish("a", &[&a], &[&other]);
    assert_eq!(node.told(), [], "the leaf of b has one");
}

#[test]
fn a_leaf_without_a_bundle_of_its_own_is_told_where_no_bundle_on_the_node_trusts_its_issuer() {
    let [root, other] = ["root", "other"].map(Entity::root);
    let sub = root.sub_ca("sub", |_| {});
    let (leaf, lone) = (sub.leaf(), other.leaf());
    let mut node = Node::default();
    node.publish("a", &[&leaf, &sub], &[]);
    assert_eq!(node.told(), [], "there is no bundle that could");
    node.publish("b", &[&lone], &[&other]);
    assert_eq!(node.told(), [("a", "issuer untrusted")]);
    node.publish("c", &[], &[&root]);
    assert_eq!(node.told(), [], "the anchor is told to have issued what is in the chain");
    node.publish("c", &[], &[&other]);
    assert_eq!(node.told(), [("a", "issuer untrusted"), ("c", "anchor lost")]);
    // What its own bundle says of it is told by `chain-untrusted`.
    node.publish("a", &[&leaf, &sub], &[&other]);
    assert_eq!(node.told(), [("c", "anchor lost")]);
}

#[test]
fn what_public_cas_issued_needs_no_bundle_here() {
    let public = Entity::root_with("R99", |ca| {
        let mut name = common_name("R99");
        name.push(evercert_fixtures::DnType::OrganizationName, "Let's Encrypt");
        ca.distinguished_name = name;
    });
    let private = Entity::root("private");
    let mut node = Node::default();
    node.publish("a", &[&public.leaf()], &[]);
    node.publish("b", &[&private.leaf()], &[&private]);
    assert_eq!(node.told(), []);
}

#[test]
fn nobody_is_untrusted_before_every_bundle_was_read() {
    let [root, other] = ["root", "other"].map(Entity::root);
    let mut node = Node::default();
    node.publish("a", &[&root.leaf()], &[]);
    node.publish("b", &[], &[&other]);
    node.look(false);
    assert!(node.told.is_empty());
    node.publish("c", &[], &[&root]);
    assert_eq!(node.told(), []);
    node.published.remove("c");
    assert_eq!(node.told(), [("a", "issuer untrusted")]);
}

#[test]
fn one_key_for_leaves_of_other_names_is_told_at_each_and_a_renewed_or_copied_leaf_is_not() {
    let root = Entity::root("root");
    let first = root.leaf_with(named("a.example.org"));
    let key = || evercert_fixtures::KeyPair::try_from(first.key.serialize_der()).unwrap();
    let (renewed, other) = (root.leaf_of(key(), named("A.example.org")), root.leaf_of(key(), named("b.example.org")));
    let mut node = Node::default();
    node.publish("a", &[&first], &[&root]);
    node.publish("b", &[&first], &[&root]);
    node.publish("c", &[&renewed], &[&root]);
    assert_eq!(node.told(), [], "one Secret in the volumes of many pods, some of which are behind");
    node.publish("d", &[&other], &[&root]);
    let all = ["a", "b", "c", "d"].map(|id| (id, "key shared"));
    assert_eq!(node.told(), all);
    node.publish("d", &[&root.leaf_with(named("b.example.org"))], &[&root]);
    assert_eq!(node.told(), [], "it has a key of its own");
}

#[test]
fn cas_are_counted_by_what_uses_them_whenever_their_certificates_come() {
    let root = Entity::root("root");
    let sub = root.sub_ca("sub", |_| {});
    let mut node = Node::default();
    node.publish("a", &[&sub.leaf(), &sub], &[]);
    assert_eq!((node.counted(&sub), node.counted(&root)), ((1, 0), (0, 0)));
    node.publish("b", &[&root.leaf()], &[&root]);
    assert_eq!((node.counted(&sub), node.counted(&root)), ((1, 0), (2, 1)));
    node.publish("c", &[], &[&root, &sub]);
    assert_eq!((node.counted(&sub), node.counted(&root)), ((1, 1), (2, 2)));
    node.published.remove("a");
    assert_eq!((node.counted(&sub), node.counted(&root)), ((0, 1), (1, 2)));
    node.published.clear();
    assert_eq!((node.counted(&sub), node.counted(&root)), ((0, 0), (0, 0)));
}

#[test]
fn what_uses_a_ca_is_told_by_its_certificate_and_of_one_that_nothing_holds_nothing_is_known() {
    let [root, other] = ["root", "other"].map(Entity::root);
    let sub = root.sub_ca("sub", |_| {});
    let mut node = Node::default();
    node.publish("a", &[&sub.leaf(), &sub], &[&other]);
    node.publish("b", &[&root.leaf()], &[&root, &other]);
    node.publish("c", &[], &[&root]);
    node.publish("d", &[&Entity::root("unheld").leaf()], &[]);
    node.look(true);
    let uses = |node: &Node, authority: &Entity| {
        let known = node.census.uses(&Digest::fingerprint(&authority.der())).unwrap()?;
        let uses = known.uses.iter().map(|one| (one.id, one.presents, one.trusts));
        Some((known.facts.subject.text.clone(), uses.collect::<Vec<_>>()))
    };
    let told = |name: &str, uses: &[(&'static str, bool, bool)]| Some((name.to_owned(), uses.to_vec()));
    assert_eq!(uses(&node, &root), told("CN=root", &[("a", true, false), ("b", true, true), ("c", false, true)]));
    assert_eq!(uses(&node, &sub), told("CN=sub", &[("a", true, false)]));
    assert_eq!(uses(&node, &other), told("CN=other", &[("a", false, true), ("b", false, true)]));
    assert_eq!(uses(&node, &Entity::root("unheld")), None);
    // A bundle that lost it did not take it from the leaves that are under it.
    node.publish("b", &[&root.leaf()], &[&other]);
    node.publish("c", &[], &[&other]);
    node.look(true);
    assert_eq!(uses(&node, &root), told("CN=root", &[("a", true, false), ("b", true, false)]));
    node.published.clear();
    node.look(true);
    assert_eq!(uses(&node, &root), None);
}

#[test]
fn a_ca_of_too_many_of_one_name_is_not_counted_and_nothing_is_said_of_whom_it_may_have_issued() {
    let namesakes: Vec<_> = (0..=64).map(|_| Entity::root("root")).collect();
    let all: Vec<_> = namesakes.iter().collect();
    let mut node = Node::default();
    node.publish("a", &[&Entity::root("other").leaf()], &[]);
    node.publish("b", &[], &all);
    assert_eq!(node.told(), []);
    assert_eq!(node.census.counts(|_| 0).uncounted, 1);
    let uses_of = |root: &Entity| node.census.uses(&Digest::fingerprint(&root.der())).map(|known| known.is_some());
    let (told_of, left_out): (Vec<_>, Vec<_>) = namesakes.iter().map(uses_of).partition(Result::is_ok);
    assert_eq!((told_of, left_out), (vec![Ok(true); 64], vec![Err(uses::Uncounted)]), "it is not said to be nowhere");
    node.publish("b", &[], &[&Entity::root("else")]);
    assert_eq!(node.told(), [("a", "issuer untrusted")]);
}

#[test]
fn one_that_catches_up_once_finds_what_another_finds_at_its_first_look() {
    let [ca, other] = ["ca", "other"].map(Entity::root);
    let leaves = [other.leaf(), ca.leaf(), ca.leaf()];
    for census in [Census::default(), Census::of_one_moment()] {
        let mut node = Node { census, ..Node::default() };
        node.publish("a", &[&leaves[0]], &[]);
        node.publish("b", &[&leaves[1]], &[]);
        node.publish("c", &[&leaves[2]], &[&ca]);
        assert_eq!(node.told(), [("a", "issuer untrusted")]);
    }
}

#[test]
fn what_did_not_change_is_not_looked_at_again() {
    let root = Entity::root("root");
    let leaves: Vec<_> = (0..3).map(|_| root.leaf()).collect();
    let mut node = Node::default();
    for (id, leaf) in ["a", "b", "c"].into_iter().zip(&leaves) {
        node.publish(id, &[leaf], &[&root]);
    }
    node.look(true);
    node.publish("b", &[&root.leaf()], &[&root]);
    node.take_in();
    assert_eq!(node.census.changed, BTreeSet::from(["b"]));
}

#[test]
fn each_is_told_in_its_own_words_about_its_file_and_as_severe_as_the_identity_wants() {
    let root = Entity::root("root");
    let facts = Arc::new(CertificateFacts::from_der(&root.der()).unwrap());
    let mut files = FileSet::cert_manager(std::path::Path::new("/tls"));
    files.bundle = Some(BundleFile::Dedicated("/trust/ca.crt".into()));
    let mut expectations = Expectations::default();
    expectations.severities.set(Check::IssuerUntrusted, Severity::Info).unwrap();
    let id = IdentityId::node("a".parse().unwrap());
    let spec = IdentitySpec { id, files, expectations, overlap: IdentitySpec::OVERLAP };
    let told = |found: Found| -> Finding { found.finding(&spec) };
    let file = |finding: &Finding| finding.file.clone().unwrap().display().to_string();
    let lost = told(Found::AnchorLost(Arc::clone(&facts)));
    assert!(lost.sentence.contains("no longer holds CN=root") && file(&lost) == "/trust/ca.crt", "{lost:?}");
    let elsewhere = told(Found::LostElsewhere(facts));
    assert!(elsewhere.sentence.contains("is under CN=root") && file(&elsewhere) == "/tls/tls.crt", "{elsewhere:?}");
    assert!(lost.found.as_ref().is_some_and(|found| found.starts_with("sha256:")) && lost.found == elsewhere.found);
    let untrusted = told(Found::IssuerUntrusted);
    assert_eq!((untrusted.check, untrusted.severity), (Check::IssuerUntrusted, Severity::Info));
    let shared = told(Found::KeyShared(Digest::fingerprint(b"key")));
    assert_eq!((shared.check, shared.severity), (Check::KeyShared, Severity::Warn));
}
