//! Several identities behind one listener, told apart by the name that a client asks for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rustls_pki_types::DnsName;

use super::slot::Slot;
use crate::identity::Identity;
use crate::refusal::Refusal;
use crate::tls::{AllowedPeers, PeerList};

/// The beginning of a name that stands for many: those with one label in place of the asterisk.
const ANY_LABEL: &str = "*.";

/// The identities that a server presents to clients which ask for other names than its default identity's. Clients name theirs in the
/// ClientHello (SNI, RFC 6066 §3).
///
/// Each identity has its connections for itself: its rotation, its trust and what the [`DrainPolicy`](super::DrainPolicy) drains for
/// either concern no other's.
///
/// So has it its own list of allowed peers, since each bundle's CAs may issue whatever SPIFFE ID they like: a list says whom *one* identity
/// lets in. The server's ([`Server::allowed_peers`](super::Server::allowed_peers)) is its default identity's alone. Beside it every other
/// identity needs one ([`Hosts::allowed_peers_of`]): without, it lets no peer with a certificate in.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    identities: BTreeMap<String, Identity>,
    allowed: Vec<(Identity, AllowedPeers)>,
    unknown: UnknownHost,
}

/// The answer to clients that ask for a name which no identity was given for, or for none, as those do that connect to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum UnknownHost {
    /// They get the server's default identity.
    #[default]
    Default,
    /// They are turned away with the alert `unrecognized_name`. The default identity is presented only for names that it was given for
    /// then, as any other.
    Refuse,
}

/// The name of the identity that a connection was made with, and so whose bundle vouches for its peer: in the extensions of requests
/// where a server has [`Hosts`].
///
/// Requests reach every route, whatever name their connection asked for. A service for peers of one identity's bundle alone has to look
/// here: no two identities of a server have the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedBy(pub(super) Arc<str>);

impl Hosts {
    /// Presents `identity` to clients that ask for `name`: a DNS name, or `*.` and one, which stands for every name with one label in
    /// place of the asterisk. An exact name comes before one with an asterisk.
    ///
    /// # Errors
    ///
    /// It is no DNS name, or was given to another identity, or another identity is called as this one is.
    pub fn identity_for(mut self, name: &str, identity: &Identity) -> Result<Self, InvalidHost> {
        let host = host(name).ok_or_else(|| InvalidHost::Name(name.to_owned()))?;
        self.identities.values().try_for_each(|known| told_apart(known, identity))?;
        let given = self.identities.entry(host).or_insert_with(|| identity.clone());
        if !given.is(identity) {
            let (one, other) = (Arc::clone(given.name()), Arc::clone(identity.name()));
            return Err(InvalidHost::Claimed { name: name.to_owned(), one, other });
        }
        Ok(self)
    }

    /// Lets these peers alone in where `identity` serves, whatever name it was asked by; another call for the same identity replaces
    /// the list. It may be a clone of another identity's list: then this one's CAs vouch for the same peers too.
    #[must_use]
    pub fn allowed_peers_of(mut self, identity: &Identity, allowed: &AllowedPeers) -> Self {
        self.allowed.retain(|(known, _)| !known.is(identity));
        self.allowed.push((identity.clone(), allowed.clone()));
        self
    }

    /// The answer to clients that ask for none of these names; [`UnknownHost::Default`] unless set.
    #[must_use]
    pub fn unknown_hosts(self, unknown: UnknownHost) -> Self {
        Self { unknown, ..self }
    }

    /// Whether there are none, and so a single identity.
    pub(super) fn is_empty(&self) -> bool {
        self.identities.is_empty()
    }

    /// Holds the lists against the identities that serve.
    ///
    /// # Errors
    ///
    /// A list is for an identity that does not serve here: whom it was to keep out would come in.
    pub(super) fn check(&self, default: &Identity) -> Result<(), Refusal> {
        let serves = |one: &Identity| one.is(default) || self.identities.values().any(|other| one.is(other));
        if self.allowed.iter().all(|(identity, _)| serves(identity)) {
            return Ok(());
        }
        Err(Refusal::Settings(
            "allowed_peers_of was given an identity that the server does not serve: give it the one that identity_for or the server itself \
             has, or a clone of that, not one that was opened once more",
        ))
    }

    /// The list of the peers that `identity` lets in, where the server has `of_server` for `default`.
    pub(super) fn allowed(
        &self,
        identity: &Identity,
        default: &Identity,
        of_server: Option<&AllowedPeers>,
    ) -> Option<AllowedPeers> {
        let own = self.allowed.iter().find(|(known, _)| known.is(identity)).map(|(_, allowed)| allowed);
        let allowed = own.or_else(|| of_server.filter(|_| identity.is(default))).cloned();
        // Nobody: the service has not said that it trusts this identity's CAs with its peers' names.
        allowed.or_else(|| of_server.map(|_| AllowedPeers::new(PeerList::default())))
    }

    /// The slots of all identities, each of which `slot` makes once.
    pub(super) fn slots(&self, default: &Identity, mut slot: impl FnMut(&Identity) -> Arc<Slot>) -> Slots {
        let mut made = vec![(default, slot(default))];
        let mut slots = Slots { unknown: self.unknown, ..Slots::only(Arc::clone(&made[0].1)) };
        for (host, identity) in &self.identities {
            let place = made.iter().position(|(known, _)| known.is(identity)).unwrap_or_else(|| {
                made.push((identity, slot(identity)));
                made.len() - 1
            });
            let slot = Arc::clone(&made[place].1);
            match host.strip_prefix(ANY_LABEL) {
                Some(parent) => slots.beneath.insert(parent.to_owned(), slot),
                None => slots.exact.insert(host.clone(), slot),
            };
        }
        slots.all = made.into_iter().map(|(_, slot)| slot).collect();
        slots
    }
}

impl ServedBy {
    /// The name of the identity by which a request was served; `None` where the server has but one.
    #[must_use]
    pub fn of<T>(request: &tonic::Request<T>) -> Option<&Self> {
        request.extensions().get()
    }

    /// The identity's name: [`Identity::name`].
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// Whether two identities are one, or have two names.
///
/// # Errors
///
/// They do not: a service could not tell whose peer it has.
pub(super) fn told_apart(one: &Identity, other: &Identity) -> Result<(), InvalidHost> {
    let namesakes = !one.is(other) && one.name() == other.name();
    if namesakes { Err(InvalidHost::Namesakes(Arc::clone(one.name()))) } else { Ok(()) }
}

/// A name that an identity cannot be presented for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHost {
    /// No client can ask for it.
    #[error("{0:?} is neither a DNS name nor `*.` and one, so no client can ask for it")]
    Name(String),
    /// Two identities claim it.
    #[error("the name {name:?} is claimed by two identities, {one} and {other}: give it to one of them")]
    Claimed {
        /// The name.
        name: String,
        /// The identity that has it.
        one: Arc<str>,
        /// The identity that was to have it too.
        other: Arc<str>,
    },
    /// Two identities of one server have the same name of their own.
    #[error(
        "two identities of the server are called {0:?}, so that nobody could tell whose peer a request comes from: give one of them another \
         name (that of a directory is its last component, unless it is given one)"
    )]
    Namesakes(Arc<str>),
}

/// The slots of a server, one for each identity, as handshakes find them.
pub(super) struct Slots {
    exact: HashMap<String, Arc<Slot>>,
    /// By the name behind the asterisk's label.
    beneath: HashMap<String, Arc<Slot>>,
    /// Each once, the default one first.
    all: Vec<Arc<Slot>>,
    default: Arc<Slot>,
    unknown: UnknownHost,
}

impl Slots {
    /// Of one identity.
    pub(super) fn only(slot: Arc<Slot>) -> Self {
        let (exact, beneath, all) = (HashMap::new(), HashMap::new(), vec![Arc::clone(&slot)]);
        Self { exact, beneath, all, default: slot, unknown: UnknownHost::Default }
    }

    /// Each once, the default one first.
    pub(super) fn all(&self) -> &[Arc<Slot>] {
        &self.all
    }

    /// The slot for clients that ask for this name, as the ClientHello has it; `None`: they are turned away.
    pub(super) fn of(&self, name: Option<&str>) -> Option<&Arc<Slot>> {
        let named = name.filter(|_| self.all.len() > 1 || self.unknown == UnknownHost::Refuse).and_then(|name| {
            let name = host(name)?;
            let beneath = || self.beneath.get(name.split_once('.')?.1);
            self.exact.get(&name).or_else(beneath)
        });
        named.or_else(|| (self.unknown == UnknownHost::Default).then_some(&self.default))
    }
}

/// The name as it is compared: without the dot of an absolute one, in small letters (RFC 4343 §3).
fn host(name: &str) -> Option<String> {
    let (label, rest) = name.strip_prefix(ANY_LABEL).map_or(("", name), |rest| (ANY_LABEL, rest));
    let rest = rest.strip_suffix('.').unwrap_or(rest);
    DnsName::try_from(rest).ok()?;
    Some(format!("{label}{}", rest.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_in_small_letters_and_without_the_last_dot() {
        for (name, compared) in [
            ("api.example.org", Some("api.example.org")),
            ("API.Example.org.", Some("api.example.org")),
            ("*.Example.org", Some("*.example.org")),
            ("*", None),
            ("*.", None),
            ("", None),
            ("a.*.example.org", None),
            ("*.*.example.org", None),
            ("spiffe://example.org", None),
            ("[::1]", None),
        ] {
            assert_eq!(host(name).as_deref(), compared, "{name:?}");
        }
    }
}
