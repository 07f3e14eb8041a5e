//! The validators of bundles that are judged more than once.

use std::cell::RefCell;
use std::sync::Arc;

use crate::bundle::Bundle;
use crate::path::{PathError, PathValidator};

/// The most bundles whose validators are kept: an identity's own, with and without what left its file, and those of a few trust domains.
const KEPT: usize = 16;

/// Validators, each made once for all judgements that are given this. What a validator is made of does not change with time, and to parse
/// every anchor of a large bundle takes longer than all else.
#[derive(Default)]
pub(crate) struct Validators(RefCell<Vec<(Arc<Bundle>, Validator)>>);

type Validator = Result<Arc<PathValidator>, PathError>;

impl Validators {
    /// The validator of a bundle.
    ///
    /// # Errors
    ///
    /// As [`PathValidator::new`].
    pub(super) fn of(&self, bundle: &Arc<Bundle>) -> Validator {
        let mut kept = self.0.borrow_mut();
        if let Some((_, validator)) = kept.iter().find(|(known, _)| known == bundle) {
            return validator.clone();
        }
        let validator = PathValidator::new(bundle).map(Arc::new);
        if kept.len() >= KEPT {
            drop(kept.remove(0));
        }
        kept.push((Arc::clone(bundle), validator.clone()));
        validator
    }
}

#[cfg(test)]
mod tests {
    use evercert_fixtures::Entity;

    use super::*;
    use crate::test_files::bundle;

    #[test]
    fn a_bundle_that_is_judged_again_and_again_has_one_validator_and_the_oldest_of_many_goes() {
        let roots: Vec<_> = (0..=KEPT).map(|number| Entity::root(&number.to_string())).collect();
        let bundle_of = |number: usize| Arc::new(bundle(&[&roots[number]]));
        let validators = Validators::default();
        let first = validators.of(&bundle_of(0)).unwrap();
        assert!(Arc::ptr_eq(&first, &validators.of(&bundle_of(0)).unwrap()));
        (1..=KEPT).for_each(|number| drop(validators.of(&bundle_of(number))));
        assert_eq!(validators.0.borrow().len(), KEPT);
        assert!(!Arc::ptr_eq(&first, &validators.of(&bundle_of(0)).unwrap()));
    }
}
