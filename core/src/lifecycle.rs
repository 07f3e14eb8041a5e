//! From what was read to what is published: without IO, with time as an argument.
//!
//! ```text
//!             ┌ Read ──────→ half-written? ─ yes ─→ read again
//! keeper ─────┤                  │ no
//!             └ TimePassed ──→ assess the latest reading ─┬ admitted ─→ it is the last good now
//!                                                         ├ held ─────→ assessed again when it is due
//!                                                         └ rejected ─→ the last good stays
//!                              last good credential + last good bundle ≠ what is served ─→ the next generation
//! ```
//!
//! Credential and bundle are judged and kept apart. Only the latest reading counts: a credential that is held is forgotten
//! when the files change again, even where the newer set is rejected, since what is no longer on disk was taken back.
//!
//! While nobody wants the key it is wiped as soon as it is known to be the leaf's. The published generation is the same with and without
//! it.

mod event;
mod keys;
mod overlap;
mod state;

use std::sync::Arc;
use std::time::SystemTime;

use crate::bundle::Bundles;
use crate::check::{self, Assessment, Validators, Verdict};
use crate::clock::Now;
use crate::credential::Credential;
use crate::finding::{Check, Finding};
use crate::material::{Material, Part};
use crate::mount::{KeyAccess, Route};
use crate::overlap::Overlap;
pub use crate::overlap::{RetainedAnchor, retained_in};
use crate::snapshot::Snapshot;
use crate::spec::IdentitySpec;
use crate::trusted::Trusted;
pub use event::{Event, Reload, Step};
pub use state::IdentityState;

/// The state machine of one identity.
///
/// Nothing is published before all that the identity needs is there: its credential if it has one, and its trust unless
/// that is a `ca.crt` which was never there (ACME issuers leave none). A server whose bundle is missing or unusable would
/// otherwise serve without the trust it was configured to have. Once something is published it stays until something
/// better is admitted.
#[derive(Debug)]
pub struct Lifecycle {
    spec: Arc<IdentitySpec>,
    /// The latest reading.
    material: Option<Material>,
    /// The last good credential.
    credential: Option<Arc<Credential>>,
    /// The latest notBefore of a leaf that was one, so that an older one is known for a step back.
    newest: Option<SystemTime>,
    /// The permissions to read the key of that, or the bundle of an identity without one.
    key_access: Option<Arc<KeyAccess>>,
    /// The way to all that the state tells of.
    route: Route,
    /// Whether that has chained to a bundle it was published with.
    chained: bool,
    /// The last good of what is trusted.
    trusted: Trusted,
    /// Whether a part of it that is wanted was never good.
    lacks_trust: bool,
    /// Whether its bundle came from the file that is wanted by now.
    bundle_is_of_file: bool,
    /// Whether what was remembered of an earlier process was asked for.
    recalled: bool,
    /// Whether what left that file is not what was last remembered.
    unremembered: bool,
    /// Why that could not be written down, or what was not be read; absent where neither failed.
    /// Boxed, since nearly no identity has one.
    unwritten: Option<Box<Finding>>,
    /// Whether keys are wanted.
    keeps_keys: bool,
    wake_at: Option<SystemTime>,
    state: Arc<IdentityState>,
}

impl Lifecycle {
    /// An identity of which nothing is known yet; its keys stay in memory unless [`Lifecycle::keep_keys`] says otherwise.
    #[must_use]
    pub fn new(spec: Arc<IdentitySpec>) -> Self {
        let state = IdentityState::unknown(Arc::clone(&spec));
        Self {
            spec,
            material: None,
            credential: None,
            newest: None,
            key_access: None,
            route: Route::default(),
            chained: false,
            trusted: Trusted::default(),
            lacks_trust: false,
            bundle_is_of_file: false,
            recalled: false,
            unremembered: false,
            unwritten: None,
            keeps_keys: true,
            wake_at: None,
            state: state.into(),
        }
    }

    /// The current state.
    #[must_use]
    pub fn state(&self) -> &Arc<IdentityState> {
        &self.state
    }

    /// Changes what is wanted of the identity; generation and last good stay. It takes effect with the next event: the
    /// latest reading is assessed anew or, where other files are wanted, forgotten.
    pub fn respec(&mut self, spec: Arc<IdentitySpec>) {
        if spec.files != self.spec.files {
            self.material = None;
            // Whoever names other files means what is in them, however old it is.
            self.newest = None;
        }
        if spec.files.bundle != self.spec.files.bundle {
            self.bundle_is_of_file = false;
            self.retain(Overlap::default());
        }
        self.spec = spec;
    }

    /// Takes an event in.
    pub fn handle(&mut self, event: Event, now: Now) -> Step {
        let step = self.take(event, &Validators::default(), now);
        Step { remember: self.unremembered, ..step }
    }

    /// Lets time pass from `now` until then, from one change to the next, and shows each: when it is, and the state before and after. The
    /// last of so many steps leads to the end: what is so then is shown, whatever was on the way.
    pub fn foresee(
        &mut self,
        now: Now,
        until: SystemTime,
        steps: usize,
        mut shown: impl FnMut(SystemTime, &IdentityState, &IdentityState),
    ) {
        let validators = Validators::default();
        for left in (0..steps).rev() {
            let Some(at) = self.wake_at.filter(|at| *at <= until) else { break };
            let wall = if left == 0 { until } else { at };
            let before = Arc::clone(&self.state);
            let _ = self.take(Event::TimePassed, &validators, Now { wall, ..now });
            shown(wall, &before, &self.state);
        }
    }

    fn take(&mut self, event: Event, validators: &Validators, now: Now) -> Step {
        match event {
            Event::Read { mut material, final_try } => {
                if !self.keeps_keys {
                    material.forget_key();
                }
                let assessment = self.assess(&material, validators, now.wall);
                if !final_try && check::may_be_half_written(&assessment) {
                    return self.read_again(validators, now);
                }
                let first = self.material.is_none();
                let (mut step, published) = self.take_up(material, &assessment, validators, now.wall);
                step.changed |= first;
                step.reload = Some(if published {
                    Reload::Published
                } else if self.serves_what_is_on_disk() {
                    Reload::Unchanged
                } else {
                    assessment.outcome()
                });
                step
            }
            Event::OverlapEnded(anchor) => {
                self.retain(self.trusted.overlap.without(anchor));
                self.take(Event::TimePassed, validators, now)
            }
            Event::TimePassed => match self.material.take() {
                Some(material) => {
                    let assessment = self.assess(&material, validators, now.wall);
                    self.take_up(material, &assessment, validators, now.wall).0
                }
                None => self.pass(now.wall),
            },
        }
    }

    fn assess(&self, material: &Material, validators: &Validators, now: SystemTime) -> Assessment {
        let trusted = Trusted { overlap: self.lapsed(self.trusted.overlap.clone(), now), ..self.trusted.clone() };
        let prospect = self.prospect(material, now);
        let mut assessment = check::assess_beside(&self.spec, material, &trusted, prospect, validators, now);
        if let Some(newest) = self.newest {
            check::rollback(&self.spec, &mut assessment, newest, now);
        }
        assessment
    }

    /// The reading is set aside; what was due meanwhile is not.
    fn read_again(&mut self, validators: &Validators, now: Now) -> Step {
        let due = self.wake_at.is_some_and(|at| at <= now.wall);
        let step = if due {
            self.take(Event::TimePassed, validators, now)
        } else {
            Step { wake_at: self.wake_at, ..Step::default() }
        };
        Step { read_again: true, ..step }
    }

    /// Makes what was assessed the last good where it was admitted, publishes where that makes a difference, and says
    /// whether it did.
    fn take_up(
        &mut self,
        mut material: Material,
        assessment: &Assessment,
        validators: &Validators,
        now: SystemTime,
    ) -> (Step, bool) {
        self.keep(assessment);
        self.take_key(&material);
        if self.is_of(&material) {
            self.key_access = material.key_access().cloned();
        }
        self.route = if self.serves(&material) && self.trusted.overlap.is_empty() {
            material.route().clone()
        } else {
            self.route.as_of(material.route()).and(material.route())
        };
        self.route.shared_with(&self.state.route);
        material.share(self.credential.as_ref(), &self.trusted, &self.state.on_disk, &self.state.crls);
        let snapshot = self.snapshot();
        if snapshot.is_some() {
            self.retain(self.trusted.overlap.clone().capped(now + self.longest()));
        }
        let (mut findings, wake_at) = self.findings(&material, assessment, validators, now);
        findings.extend(self.lacks_key(snapshot.as_deref(), &material));
        let published = snapshot.as_ref().map(|snapshot| snapshot.generation()) != self.generation();
        let published_at = if published { Some(now) } else { self.state.published_at };
        let before = &self.state;
        let same = same(before.snapshot.as_ref(), snapshot.as_ref())
            && *before.findings == findings
            && Arc::ptr_eq(&before.on_disk, material.on_disk())
            && Arc::ptr_eq(&before.crls, material.crls_on_disk())
            && self.trusted.overlap.is_as(&before.overlap)
            && before.key_access == self.key_access
            && before.route == self.route
            && before.spec == self.spec;
        if !same {
            let (spec, on_disk) = (Arc::clone(&self.spec), Arc::clone(material.on_disk()));
            let (crls, overlap) = (Arc::clone(material.crls_on_disk()), self.trusted.overlap.told());
            self.state = Arc::new(IdentityState {
                spec,
                snapshot,
                published_at,
                findings: findings.into(),
                on_disk,
                crls,
                overlap,
                key_access: self.key_access.clone(),
                route: self.route.clone(),
            });
        }
        self.material = Some(material);
        self.wake_at = wake_at;
        (Step { changed: !same, wake_at, ..Step::default() }, published)
    }

    /// Whether a reading holds the last good of what the key's file, or the bundle of an identity without a key, is read for.
    fn is_of(&self, material: &Material) -> bool {
        match (&self.spec.files.credential, &self.credential) {
            (Some(_), credential) => credential.as_ref().is_some_and(|credential| material.holds(credential)),
            (None, _) => {
                matches!(&material.bundle, Part::Whole(bundle) if self.trusted.bundle.as_ref() == Some(bundle))
            }
        }
    }

    fn keep(&mut self, assessment: &Assessment) {
        self.retain(assessment.trusted.overlap.clone());
        self.trusted = assessment.trusted.clone();
        self.bundle_is_of_file |= matches!(assessment.bundle, Verdict::Admitted(_));
        self.lacks_trust = assessment.lacks_trust;
        match &assessment.credential {
            // With nothing to hold it against where that is wanted, a credential has not shown what it is worth.
            _ if self.withholds() => {}
            Verdict::Admitted(credential) => {
                if !self.credential.as_ref().is_some_and(|served| served.chain() == credential.chain()) {
                    self.credential = Some(Arc::clone(credential));
                    self.chained = false;
                }
                self.chained |= self.trusted.bundle.is_some() && !assessment.findings.iter().any(breaks_path);
                self.newest = self.newest.max(Some(credential.leaf().not_before));
            }
            Verdict::Absent => self.credential = None,
            Verdict::Held { .. } | Verdict::Rejected => {}
        }
    }

    /// The assessment's findings and those about what is served, and when either change.
    fn findings(
        &self,
        material: &Material,
        assessment: &Assessment,
        validators: &Validators,
        now: SystemTime,
    ) -> (Vec<Finding>, Option<SystemTime>) {
        let mut findings = assessment.findings.clone();
        findings.extend(self.trusted.overlap.finding(&self.spec));
        findings.extend(self.unwritten.as_deref().cloned());
        let mut changes = vec![assessment.next_change, self.trusted.overlap.next_end()];
        if let Some(credential) = &self.credential {
            let on_disk = material.holds(credential);
            if !on_disk {
                let (more, change) = check::served(&self.spec, credential, now);
                findings.extend(more);
                changes.push(change);
            }
            // A credential that never chained to its bundle (a public leaf before private clients) is not disowned by it.
            if let Some(bundle) = self.trusted.own().filter(|_| self.chained)
                && (!on_disk || assessment.findings.iter().any(breaks_path))
            {
                let (disowned, change) = check::own_leaf(&self.spec, credential, &bundle, validators, now);
                if on_disk && !disowned.is_empty() {
                    findings.retain(|finding| !breaks_path(finding));
                }
                findings.extend(disowned);
                changes.push(change);
            }
        }
        (findings, changes.into_iter().flatten().min())
    }

    /// The snapshot to be served: the current one where nothing is new, or the next generation.
    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let current = self.state.snapshot.as_ref();
        let lacks_credential = self.spec.files.credential.is_some() && self.credential.is_none();
        let is_empty = self.credential.is_none() && self.trusted.bundle.is_none();
        if lacks_credential || is_empty || self.withholds() {
            return current.cloned();
        }
        let renewal_due = self.credential.as_ref().and_then(|credential| check::renewal_due(&self.spec, credential));
        let bundles = self.bundles();
        let credential = self.credential.clone();
        let Some(current) = current.filter(|current| current.publishes(credential.as_deref(), &bundles)) else {
            let generation = self.generation().unwrap_or(0) + 1;
            return Some(Snapshot::new(generation, credential, bundles, renewal_due).into());
        };
        let again = current.again(credential, renewal_due);
        let is_as_before = current.renewal_due() == renewal_due && current.is_complete() == again.is_complete();
        Some(if is_as_before { Arc::clone(current) } else { again.into() })
    }

    /// Whether trust that is wanted has never been there. An identity that is served without it already has none to lose.
    fn withholds(&self) -> bool {
        self.lacks_trust && self.state.snapshot.is_none()
    }

    /// The bundles to be published; those published already, where they are equal.
    fn bundles(&self) -> Bundles {
        let mut bundles = self.trusted.bundles();
        if let (Some(own), Some(before)) = (&mut bundles.own, &self.state.snapshot)
            && let Some(published) = before.bundles().own.as_ref().filter(|published| *published == own)
        {
            *own = Arc::clone(published);
        }
        bundles
    }

    fn generation(&self) -> Option<u64> {
        self.state.snapshot.as_ref().map(|snapshot| snapshot.generation())
    }

    fn serves_what_is_on_disk(&self) -> bool {
        self.material.as_ref().is_some_and(|material| self.serves(material))
    }

    /// Whether what is served is what a reading holds.
    fn serves(&self, material: &Material) -> bool {
        let credential = self.credential.as_ref();
        let bundle = match &material.bundle {
            Part::Whole(bundle) => self.trusted.bundle.as_ref() == Some(bundle),
            Part::NotWanted | Part::Missing => self.trusted.bundle.is_none(),
            Part::Broken(_) => false,
        };
        let is_wanted = self.spec.files.credential.is_some();
        let crls = self.spec.files.crls.iter().zip(&material.crls).all(|(file, part)| match part {
            Part::Whole(_) => true,
            Part::NotWanted | Part::Missing => !self.trusted.crls.contains_key(file.path()),
            Part::Broken(_) => false,
        });
        let federated = material.federated.iter().all(|part| matches!(part, Part::Whole(_)));
        bundle && crls && federated && (!is_wanted || credential.is_some_and(|credential| material.holds(credential)))
    }
}

/// Whether it tells of a credential that does not chain to its bundle.
fn breaks_path(finding: &Finding) -> bool {
    matches!(finding.check, Check::ChainUntrusted | Check::WeakSignature)
}

impl Assessment {
    /// How a reading ended of which nothing new is served.
    fn outcome(&self) -> Reload {
        match self.credential {
            Verdict::Rejected => Reload::Rejected,
            _ if self.rejects_trust => Reload::Rejected,
            Verdict::Held { .. } => Reload::Held,
            Verdict::Admitted(_) | Verdict::Absent => Reload::Unchanged,
        }
    }
}

fn same(a: Option<&Arc<Snapshot>>, b: Option<&Arc<Snapshot>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
