//! How long peers of federated trust domains are trusted: until the end of the anchor of each bundle that lasts longest.

use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::certificate::CertificateFacts;
use evercert_core::snapshot::Snapshot;
use evercert_core::spiffe::TrustDomain;

use super::exposition::{Family, seconds};
use super::identities::Row;
use super::limit::soonest;

type Value = fn(&FederatedLife) -> SystemTime;

const FAMILIES: [(Family, Value); 2] = [
    (
        Family::gauge(
            "evercert_identity_federated_bundle_not_before_timestamp_seconds",
            "When the anchor of a federated trust domain became valid that expires last.",
        ),
        |life| life.begin,
    ),
    (
        Family::gauge(
            "evercert_identity_federated_bundle_not_after_timestamp_seconds",
            "When the last anchor of a federated trust domain expires: from then on nobody of it is trusted.",
        ),
        |life| life.end,
    ),
];

/// The life of the anchor of a federated trust domain that expires last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FederatedLife {
    trust_domain: TrustDomain,
    begin: SystemTime,
    end: SystemTime,
}

/// Those of all federated trust domains of what is published.
pub(super) fn lives(snapshot: &Snapshot) -> Arc<[FederatedLife]> {
    let federated = snapshot.bundles().federated.iter();
    let lives = federated.filter_map(|(trust_domain, bundle)| {
        let facts = bundle.anchors().iter().filter_map(|der| CertificateFacts::from_der(der).ok());
        let last = facts.max_by_key(|facts| facts.not_after)?;
        Some(FederatedLife { trust_domain: trust_domain.clone(), begin: last.not_before, end: last.not_after })
    });
    lives.collect()
}

/// The federated bundles of the rows that are told.
pub(super) struct FederatedBundles {
    /// The places of rows and of their bundles.
    shown: Vec<(usize, usize)>,
    /// How many are over the limit.
    pub(super) left_out: usize,
}

impl FederatedBundles {
    /// Collects from the rows at the places `told`: at most `limit` bundles, those that end first.
    pub(super) fn of(rows: &[Row], told: &[usize], limit: usize) -> Self {
        let places = |row: &usize| (0..rows[*row].federated.len()).map(|index| (*row, index)).collect::<Vec<_>>();
        let all = told.iter().flat_map(places).collect();
        let (mut shown, left_out) = soonest(all, limit, |(row, index)| rows[*row].federated[*index].end);
        shown.sort_unstable();
        Self { shown, left_out }
    }

    /// Appends the families, also where there is no such bundle: an alert and a panel are about them.
    pub(super) fn write(&self, rows: &[Row], text: &mut String) {
        for (family, value) in &FAMILIES {
            family.begin(text);
            for (row, index) in &self.shown {
                let (row, life) = (&rows[*row], &rows[*row].federated[*index]);
                let labels = row.labels_and(&[("trust_domain", life.trust_domain.as_str())]);
                family.sample(text, &labels, seconds(value(life)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use evercert_core::bundle::{Bundle, Bundles};
    use evercert_core::identity::IdentityId;
    use evercert_fixtures::{Authority, Leaf};

    use super::*;
    use crate::web::metrics::identities::SubscriberCounts;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn row(name: &str, federated: Arc<[FederatedLife]>) -> Row {
        Row {
            id: IdentityId::node(name.parse().unwrap()),
            pod: None,
            state: None,
            reloads: Default::default(),
            bundle_life: None,
            federated,
            is_rejected: false,
            rotated: None,
            subscribers: SubscriberCounts::default(),
        }
    }

    fn life(trust_domain: &str, end: u64) -> FederatedLife {
        FederatedLife { trust_domain: trust_domain.parse().unwrap(), begin: at(0), end: at(end) }
    }

    fn told(rows: &[Row], limit: usize) -> (Vec<String>, usize) {
        let places: Vec<_> = (0..rows.len()).collect();
        let bundles = FederatedBundles::of(rows, &places, limit);
        let mut text = String::new();
        bundles.write(rows, &mut text);
        let ends = text.lines().filter(|line| line.starts_with(FAMILIES[1].0.name)).map(str::to_owned);
        (ends.collect(), bundles.left_out)
    }

    #[test]
    fn a_federated_bundle_lives_for_as_long_as_its_last_anchor() {
        let ca = |name: &str, begin: u64, end: u64| {
            Authority::root(Leaf::new(name).ca().valid(at(begin), at(end))).ca_der().to_vec().into()
        };
        let bundle = Bundle::new(vec![ca("first", 100, 300), ca("last", 200, 400), ca("long ago", 0, 50)], Vec::new());
        let federated = [("partner.example.org".parse().unwrap(), Arc::new(bundle))].into();
        let snapshot = Snapshot::new(1, None, Bundles { own: None, federated }, None);
        let expected = FederatedLife { begin: at(200), ..life("partner.example.org", 400) };
        assert_eq!(*lives(&snapshot), [expected]);
    }

    #[test]
    fn those_that_end_first_are_told_and_the_others_counted() {
        let rows = [
            row("a", [life("one.example.org", 300), life("two.example.org", 100)].into()),
            row("b", [life("one.example.org", 200)].into()),
        ];
        let (ends, left_out) = told(&rows, 2);
        assert_eq!((ends.len(), left_out), (2, 1), "{ends:?}");
        assert!(
            ends[0].contains("identity=\"a\"") && ends[0].ends_with("trust_domain=\"two.example.org\"} 100"),
            "{ends:?}"
        );
        assert!(
            ends[1].contains("identity=\"b\"") && ends[1].ends_with("trust_domain=\"one.example.org\"} 200"),
            "{ends:?}"
        );
        assert_eq!(told(&[row("a", Arc::default())], 2), (Vec::new(), 0));
    }
}
