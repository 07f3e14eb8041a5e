//! Every check beside what trips it and that one's nearest neighbour, which does not: each is a directory that is read as every directory
//! is, and taken in by the lifecycle that the keeper drives, at the time that the fixtures are made for.

mod bundle;
mod chain;
mod crls;
mod files;
mod key;
mod leaf;
mod lifetime;
mod names;
mod state;

use std::time::Instant;

use evercert_fixtures::pairs::{Pair, Side, hold};
use evercert_fixtures::{CertificateParams, Entity, now};

use super::*;
use crate::lifecycle::{Event, Lifecycle};
use crate::material::Material;
use crate::test_files::Files;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn every_check_is_tripped_by_something_whose_nearest_neighbour_does_not_trip_it() {
    let all: Vec<_> = Check::ALL.iter().map(|check| check.as_str()).collect();
    hold(Side::Files, &all, |name| pair_of(Check::named(name)?));
}

fn pair_of(check: Check) -> Option<Pair> {
    let made: fn() -> Pair = match check {
        Check::FileMissing => files::missing,
        Check::FileUnreadable => files::unreadable,
        Check::NotRegular => files::not_regular,
        Check::NotADirectory => files::not_a_directory,
        Check::OutsideVolume => files::outside_volume,
        Check::StaleFileMount => files::stale_mount,
        Check::TooLarge => files::too_large,
        Check::TornRead => files::torn,
        Check::MountUnresponsive => state::mount_unresponsive,
        Check::Unparsable => files::unparsable,
        Check::Unloadable => leaf::unloadable,
        Check::SerialNumber => leaf::serial_number,
        Check::PostQuantum => key::post_quantum,
        Check::KeyMismatch => key::mismatch,
        Check::KeyNotInMemory => state::key_not_in_memory,
        Check::KeyUnsupported => key::unsupported,
        Check::KeyWorldReadable => key::world_readable,
        Check::KeyMisplaced => key::misplaced,
        Check::LeafNotFirst => chain::leaf_not_first,
        Check::ChainOrder => chain::order,
        Check::RootInChain => chain::root,
        Check::ChainUntrusted => chain::untrusted,
        Check::WeakSignature => chain::weak_signature,
        Check::KeyIdentifier => chain::key_identifier,
        Check::NameConstraints => chain::name_constraints,
        Check::NoBundle => bundle::none,
        Check::OwnLeafUntrusted => bundle::own_leaf,
        Check::LeafRevoked => crls::revoked,
        Check::CrlStale => crls::stale,
        Check::CrlIssuer => crls::issuer,
        Check::CrlSignature => crls::signature,
        Check::CrlScope => crls::scope,
        Check::TrustOverlap => bundle::overlap,
        Check::StateNotWritten => state::not_written,
        Check::Expired => lifetime::expired,
        Check::NotYetValid => lifetime::not_yet_valid,
        Check::ValidityReversed => lifetime::reversed,
        Check::RolledBack => lifetime::rolled_back,
        Check::LongLived => lifetime::long,
        Check::IssuerExpiresFirst => lifetime::issuer_first,
        Check::AnchorExpired => lifetime::anchor,
        Check::AnchorConstraint => bundle::constraint,
        Check::AnchorUnusable => bundle::unusable,
        Check::BundleEmpty => bundle::empty,
        Check::ExtendedKeyUsage => leaf::extended_key_usage,
        Check::KeyUsage => leaf::key_usage,
        Check::ClientAuthEnding => leaf::client_auth_ending,
        Check::LeafIsCa => leaf::ca,
        Check::LeafAuthority => leaf::authority,
        Check::NoSan => names::none,
        Check::NameUnusable => names::unusable,
        Check::SpiffeId => names::spiffe_id,
        Check::NameMissing => names::missing,
        Check::TemporaryCertificate => leaf::temporary,
        Check::RenewalOverdue => lifetime::renewal,
        Check::VolumeNotRefreshed => lifetime::not_refreshed,
        _ => return None,
    };
    Some(made())
}

/// An identity with cert-manager's files in a volume.
struct Kept {
    volume: KubeletVolume,
    spec: IdentitySpec,
    lifecycle: Lifecycle,
}

impl Kept {
    /// One of which as much is expected as `change` says.
    fn of(files: &Files, change: impl FnOnce(&mut IdentitySpec)) -> Self {
        let volume = KubeletVolume::new(&files.on_disk());
        let mut spec = spec("a", volume.path());
        change(&mut spec);
        let lifecycle = Lifecycle::new(Arc::new(spec.clone()));
        let mut kept = Self { volume, spec, lifecycle };
        kept.read();
        kept
    }

    /// The same once its volume holds these files instead.
    fn swap(mut self, files: &Files) -> Self {
        self.volume.swap(&files.on_disk());
        self.read();
        self
    }

    fn read(&mut self) {
        take(&mut self.lifecycle, &self.spec, crate::mount::read(&self.spec.files));
    }

    fn told(&self) -> Vec<String> {
        names_of(self.lifecycle.state())
    }
}

fn take(lifecycle: &mut Lifecycle, spec: &IdentitySpec, reading: Reading) {
    let material = Material::parse(spec, reading);
    let now = Now { wall: now(), monotonic: Instant::now() };
    let _ = lifecycle.handle(Event::Read { material, final_try: true }, now);
}

/// The names of the checks that have a finding.
fn names_of(state: &IdentityState) -> Vec<String> {
    state.findings.iter().map(|finding| finding.check.to_string()).collect()
}

/// What is told of files of this specification, as they were read.
fn told_of(spec: &IdentitySpec, reading: Reading) -> Vec<String> {
    let mut lifecycle = Lifecycle::new(Arc::new(spec.clone()));
    take(&mut lifecycle, spec, reading);
    names_of(lifecycle.state())
}

/// What is told of files of this specification.
fn judged(spec: &IdentitySpec) -> Vec<String> {
    told_of(spec, crate::mount::read(&spec.files))
}

/// No more is expected than of every identity.
fn anything(_: &mut IdentitySpec) {}

/// The bundle is not the one that came with the credential.
fn dedicated(spec: &mut IdentitySpec) {
    spec.files.bundle = spec.files.bundle.take().map(|bundle| BundleFile::Dedicated(bundle.path().to_owned()));
}

/// The pair of these sets of files, of an identity of which so much is expected.
fn pair_for(change: impl Fn(&mut IdentitySpec), tripping: &Files, sparing: &Files) -> Pair {
    let told = |files| Kept::of(files, &change).told();
    Pair { tripped: told(tripping), spared: told(sparing) }
}

fn pair(tripping: &Files, sparing: &Files) -> Pair {
    pair_for(anything, tripping, sparing)
}

/// A leaf directly under the root that is its bundle.
fn of_leaf(change: impl FnOnce(&mut CertificateParams)) -> Files {
    let root = Entity::root("root");
    Files::of(&root.leaf_with(change), &[], &[&root])
}

fn good() -> Files {
    of_leaf(|_| {})
}
