//! Whatever a configuration says: it is taken, or it is refused with a word on each thing that is wrong, and what looks like a key is not told
//! again.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// What begins a key that somebody put into the wrong file.
const MARK: &str = "-----BEGIN";

fuzz_target!(|text: &str| {
    let Some(refusal) = evercertd::refusal(text) else { return };
    assert!(!refusal.trim().is_empty());
    assert!(refusal.lines().all(|line| !line.trim().is_empty()), "{refusal}");
    assert!(!refusal.contains(MARK), "{refusal}");
});
