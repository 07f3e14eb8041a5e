//! The users and groups of the node, by name: looked up again and again, since they come and go while the daemon runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::mem;
use std::sync::Arc;

use evercert_core::identity::IdentityId;
use nix::errno::Errno;
use nix::unistd::{Group, User};
use parking_lot::Mutex;
use tracing::{info, warn};

use crate::host::names;
use crate::policy::{Policy, Rule};

/// A user or group that a rule names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Account {
    User(Arc<str>),
    Group(Arc<str>),
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
        }
    }
}

/// Finds the numbers of names.
pub(crate) struct Accounts {
    database: Box<Database>,
    found: Mutex<Found>,
}

/// Asks the databases of the node; blocks for as long as they do.
type Database = dyn Fn(&Account) -> io::Result<Option<u32>> + Send + Sync;

#[derive(Default)]
struct Found {
    /// The number each name had last.
    numbers: BTreeMap<Account, u32>,
    /// The accounts nobody has, already logged.
    unknown: BTreeSet<Account>,
    /// It was logged that names of a directory service cannot be found.
    is_confinement_told: bool,
}

impl Default for Accounts {
    /// Of this node, by whatever its name service knows.
    fn default() -> Self {
        Self::of(|account| {
            let number = match account {
                Account::User(name) => User::from_name(name).map(|user| user.map(|user| user.uid.as_raw())),
                Account::Group(name) => Group::from_name(name).map(|group| group.map(|group| group.gid.as_raw())),
            };
            match number {
                // What getpwnam_r says, too, where nobody has the name; there may not even be an /etc/passwd, as in an image.
                Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
                number => Ok(number?),
            }
        })
    }
}

impl Accounts {
    pub(crate) fn of(database: impl Fn(&Account) -> io::Result<Option<u32>> + Send + Sync + 'static) -> Self {
        Self { database: Box::new(database), found: Mutex::default() }
    }

    /// `policies` with the numbers that their names have now, and the names that nobody has. Where a database cannot tell, a name
    /// keeps the number it had. Blocks.
    pub(crate) fn look_up(
        &self,
        policies: &HashMap<IdentityId, Policy>,
    ) -> (HashMap<IdentityId, Policy>, BTreeSet<Account>) {
        let wanted = policies.values().flat_map(|policy| policy.0.iter()).filter_map(account).collect::<BTreeSet<_>>();
        let mut numbers = BTreeMap::new();
        let mut unknown = BTreeSet::new();
        let mut found = self.found.lock();
        if names::FILES_ONLY && !wanted.is_empty() && !mem::replace(&mut found.is_confinement_told, true) {
            warn!(
                "this evercertd is linked statically: `user:` and `group:` of `allow` are looked up in /etc/passwd and /etc/group alone; \
                 for names that LDAP, SSSD or systemd know, write uid: and gid:, or install the package, which is linked dynamically"
            );
        }
        for account in wanted {
            let number = match (self.database)(&account) {
                Ok(number) => number,
                Err(error) => {
                    let last = found.numbers.get(&account).copied();
                    warn!(%account, %error, last, "the name cannot be looked up for now; it keeps the number it had");
                    last
                }
            };
            match number {
                Some(number) => drop(numbers.insert(account, number)),
                None => drop(unknown.insert(account)),
            }
        }
        for account in unknown.difference(&found.unknown) {
            warn!(%account, "a rule of `allow` names nobody: it fits nobody until this node has such a name");
        }
        for account in found.unknown.iter().filter(|account| numbers.contains_key(account)) {
            info!(%account, "a name of `allow` has appeared");
        }
        let policies = policies.iter().map(|(id, policy)| (id.clone(), policy.with(&numbers))).collect();
        *found = Found { numbers, unknown: unknown.clone(), ..*found };
        (policies, unknown)
    }
}

impl Policy {
    fn with(&self, numbers: &BTreeMap<Account, u32>) -> Self {
        let numbered = |rule: &Rule| match (account(rule), rule) {
            (Some(account), Rule::User { name, .. }) => {
                Rule::User { name: name.clone(), uid: numbers.get(&account).copied() }
            }
            (Some(account), Rule::Group { name, .. }) => {
                Rule::Group { name: name.clone(), gid: numbers.get(&account).copied() }
            }
            _ => rule.clone(),
        };
        Self(self.0.iter().map(numbered).collect())
    }
}

fn account(rule: &Rule) -> Option<Account> {
    match rule {
        Rule::User { name: Some(name), .. } => Some(Account::User(Arc::clone(name))),
        Rule::Group { name: Some(name), .. } => Some(Account::Group(Arc::clone(name))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;

    fn policies(rules: &[&str]) -> HashMap<IdentityId, Policy> {
        let policy = Policy(rules.iter().map(|rule| rule.parse().unwrap()).collect());
        [(IdentityId::node("x".parse().unwrap()), policy)].into()
    }

    #[test]
    fn root_has_the_number_0_and_what_nobody_is_called_fits_nobody() {
        let (found, unknown) =
            Accounts::default().look_up(&policies(&["user:root", "user:no-such-user-here", "gid:5"]));
        let rules = &found.values().next().unwrap().0;
        assert_eq!(rules[0], Rule::User { name: Some("root".into()), uid: Some(0) });
        assert_eq!(rules[1], Rule::User { name: Some("no-such-user-here".into()), uid: None });
        assert_eq!(rules[2], Rule::Group { name: None, gid: Some(5) });
        assert_eq!(unknown.iter().map(ToString::to_string).collect::<Vec<_>>(), ["user:no-such-user-here"]);
    }

    #[test]
    fn a_name_appears_keeps_its_number_through_a_failure_and_goes() {
        let step = Arc::new(AtomicU8::new(0));
        let now = Arc::clone(&step);
        let accounts = Accounts::of(move |_| match now.load(Ordering::Relaxed) {
            0 | 3 => Ok(None),
            1 => Ok(Some(7)),
            _ => Err(io::Error::other("the directory service is away")),
        });
        for (number, expected) in [None, Some(7), Some(7), None].into_iter().enumerate() {
            step.store(u8::try_from(number).unwrap(), Ordering::Relaxed);
            let (found, unknown) = accounts.look_up(&policies(&["group:tls"]));
            assert_eq!(found.values().next().unwrap().0[0], Rule::Group { name: Some("tls".into()), gid: expected });
            assert_eq!(unknown.is_empty(), expected.is_some());
        }
    }
}
