//! The private key.

use evercert_fixtures::odd::ml_dsa::MlDsaKey;
use evercert_fixtures::{key, odd, pem, set_mode};

use super::*;
use crate::spec::CredentialFiles;

pub(super) fn mismatch() -> Pair {
    let files = good();
    pair(&files.clone().with_key(key().serialize_pem()), &files)
}

/// A leaf for an RSA key of so many octets, of which no private key is there.
fn of_rsa(octets: usize) -> Files {
    let root = Entity::root("root");
    let modulus = [&[0, 0x80][..], &vec![0xff; octets - 1]].concat();
    let key = odd::element(0x30, &[odd::element(2, &modulus), odd::element(2, &[1, 0, 1])].concat());
    let rsa = [&odd::element(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1])[..], &[5, 0]].concat();
    let public_key = [odd::element(0x30, &rsa), odd::element(3, &[&[0], &key[..]].concat())].concat();
    let leaf = odd::altered(&root.leaf(), &root, |fields| fields[6].1 = public_key);
    Files::of(&root.leaf(), &[], &[&root]).with_chain(pem("CERTIFICATE", &leaf))
}

pub(super) fn unsupported() -> Pair {
    let without_its_key = |spec: &mut IdentitySpec| {
        let chain = spec.files.credential.as_ref().map(|files| files.chain().to_owned());
        spec.files.credential = chain.map(CredentialFiles::Chain);
    };
    pair_for(without_its_key, &of_rsa(128), &of_rsa(256))
}

pub(super) fn world_readable() -> Pair {
    let told = |mode| {
        let directory = PlainDirectory::new(&good().on_disk());
        set_mode(directory.path(), 0o755);
        set_mode(directory.path().join("tls.key"), mode);
        judged(&spec("a", directory.path()))
    };
    Pair { tripped: told(0o644), spared: told(0o640) }
}

pub(super) fn misplaced() -> Pair {
    let files = good();
    let both = [files.chain.as_deref(), files.key.as_deref()].map(Option::unwrap_or_default).concat();
    pair(&files.clone().with_chain(both), &files)
}

pub(super) fn post_quantum() -> Pair {
    let root = Entity::root("root");
    let (leaf, key) = (root.leaf(), MlDsaKey::new());
    let files = Files::of(&leaf, &[], &[&root]);
    let chain = pem("CERTIFICATE", &key.certificate(&leaf, &root));
    pair(&files.clone().with_chain(chain).with_key(pem("PRIVATE KEY", &key.pkcs8())), &files)
}
