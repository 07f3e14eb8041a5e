//! The bound on what a page tells of, and what is left out by it.

/// At most `limit` of `all`, those with the least `end`, in no order; and how many are left out.
pub(super) fn soonest<T, K: Ord>(mut all: Vec<T>, limit: usize, end: impl Fn(&T) -> K) -> (Vec<T>, usize) {
    let left_out = all.len().saturating_sub(limit);
    if left_out > 0 {
        all.select_nth_unstable_by_key(limit, end);
        all.truncate(limit);
    }
    (all, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_end_first_are_kept_and_the_others_counted() {
        let (mut kept, left_out) = soonest(vec![5, 1, 4, 2, 3], 2, |end| *end);
        kept.sort_unstable();
        assert_eq!((kept, left_out), (vec![1, 2], 3));
        assert_eq!(soonest(vec![2, 1], 2, |end| *end), (vec![2, 1], 0));
    }
}
