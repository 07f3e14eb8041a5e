//! What holds whatever happens to an identity, against a model of it.

use proptest::prelude::*;

use super::*;

/// One thing that may happen to an identity, by what it does to the model below.
#[derive(Debug, Clone, Copy)]
enum Happening {
    /// A set whose files are these of the pool.
    Read { leaf: usize, matching: bool, bundle: usize, final_try: bool },
    /// So many hours pass, or the clock is set.
    Time(i64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let read = (0..5usize, prop::bool::weighted(0.8), 0..4usize, any::<bool>())
        .prop_map(|(leaf, matching, bundle, final_try)| Happening::Read { leaf, matching, bundle, final_try });
    let time = (-60..60i64).prop_map(Happening::Time);
    prop::collection::vec(prop_oneof![3 => read, 1 => time], 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_happens_the_last_that_was_admitted_is_served_and_generations_count_one_by_one(happenings in happenings()) {
        let (root, other) = (Entity::root("root"), Entity::root("other"));
        // Both roots are in every bundle that is any good, so that a credential's fate is its own.
        let valid = |from: i64, to: i64| {
            let at = |hours: i64| now() + 1000 * HOUR + HOUR * u32::try_from(hours).unwrap() - 1000 * HOUR;
            root.leaf_with(|leaf| (leaf.not_before, leaf.not_after) = (at(from).into(), at(to).into()))
        };
        let leaves = [(0, 900), (0, 900), (0, 40), (30, 900), (20, 50)].map(|(from, to)| (valid(from, to), from, to));
        let bundles = [vec![&root, &other], vec![&root, &other, &leaves[0].0], vec![], vec![]];
        let mut kept = Kept::new(dedicated());
        let (mut hours, mut on_disk) = (10i64, None);
        let (mut credential, mut bundle, mut generation) = (None::<usize>, None::<usize>, 0);
        kept.at = now() + 10 * HOUR;

        for happening in happenings {
            let step = match happening {
                Happening::Read { leaf, matching, bundle, final_try } => {
                    let mut files = Files::of(&leaves[leaf].0, &[], &bundles[bundle]);
                    if !matching {
                        files.key = Some(key().serialize_pem().into_bytes());
                    }
                    if bundle == 3 {
                        files.bundle = Some(Vec::new());
                    }
                    let material = files.read(&kept.spec);
                    let step = kept.event(Event::Read { material, final_try });
                    prop_assert_eq!(step.read_again, !final_try && (!matching || bundle > 1));
                    if !step.read_again {
                        on_disk = Some((leaf, matching, bundle));
                    }
                    step
                }
                Happening::Time(by) => {
                    hours = (hours + by).max(0);
                    kept.time(now() + HOUR * u32::try_from(hours).unwrap())
                }
            };
            // The model: what is on disk and good at this instant becomes the last good.
            if let Some((leaf, matching, read_bundle)) = on_disk {
                let (_, from, to) = leaves[leaf];
                if read_bundle < 2 {
                    bundle = Some(read_bundle);
                }
                if matching && from <= hours && hours <= to && bundle.is_some() {
                    credential = Some(leaf);
                }
            }
            let before = generation;
            generation = kept.generation();
            prop_assert!(generation == before || generation == before + 1);
            prop_assert_eq!(step.reload == Some(Reload::Published), generation != before && step.reload.is_some());
            match (credential, bundle) {
                (Some(credential), Some(bundle)) => {
                    prop_assert!(kept.serves(&leaves[credential].0));
                    prop_assert!(kept.trusts(&bundles[bundle]));
                }
                _ => prop_assert_eq!(generation, 0),
            }
        }
    }
}
