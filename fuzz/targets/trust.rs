//! Whatever a bundle's CRLs and a peer's certificates hold: a validator is built from it and judges every peer without a panic, and a list
//! that it cannot use fails nobody.
#![no_main]

use std::time::{Duration, SystemTime};

use evercert_core::bundle::Bundle;
use evercert_core::path::{PathError, PathValidator, Role};
use libfuzzer_sys::fuzz_target;

/// Between the parts of one input.
const SEPARATOR: u8 = 0x1e;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|byte| *byte == SEPARATOR).map(<[u8]>::to_vec);
    let (Some(anchor), Some(crl), Some(leaf)) = (parts.next(), parts.next(), parts.next()) else { return };
    let intermediates: Vec<_> = parts.take(16).map(Into::into).collect();
    let leaf = leaf.into();
    let Ok(validator) = PathValidator::new(&Bundle::new(vec![anchor.clone().into()], vec![crl.into()])) else { return };
    let Ok(without) = PathValidator::new(&Bundle::new(vec![anchor.into()], Vec::new())) else {
        panic!("a CRL decides whether there is an anchor");
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    for role in [Role::Server, Role::Client] {
        match (validator.validate(&leaf, &intermediates, role, now), without.validate(&leaf, &intermediates, role, now)) {
            (Ok(()), Ok(())) | (Err(PathError::Revoked), Ok(())) | (Err(_), Err(_)) => {}
            (with, without) => panic!("with the CRL: {with:?}, without: {without:?}"),
        }
    }
});
