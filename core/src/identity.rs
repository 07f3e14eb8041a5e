//! Identities: the name a workload asks for, and the scope the name lives in.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest identity name, in bytes.
pub const NAME_LIMIT: usize = 253;

/// The name of an identity: 1 to 253 ASCII letters, digits, `.`, `_` and `-`, the first a letter or digit. A volume of a pod may
/// hold several identities, each in a directory of its own: their names are two or more such words with `/` between.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityName(Arc<str>);

impl IdentityName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdentityName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        let is_known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        let is_word = |word: &str| word.starts_with(|c: char| c.is_ascii_alphanumeric()) && word.bytes().all(is_known);
        let is_name = name.split('/').all(is_word) && name.len() <= NAME_LIMIT;
        if is_name { Ok(Self(name.into())) } else { Err(InvalidName(name.to_owned())) }
    }
}

impl fmt::Display for IdentityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IdentityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A text that is no identity name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an identity name: use 1 to {NAME_LIMIT} ASCII letters, digits, '.', '_' or '-', starting with a letter or digit; \
     for a directory in a volume of a pod two such words with '/' between"
)]
pub struct InvalidName(pub String);

/// The lengths of the parts of a UUID, in hexadecimal digits.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

/// The length of a static pod's UID: an MD5 in hexadecimal digits.
const DIGEST: [usize; 1] = [32];

/// Whether `text` is the UID of a pod: a UUID in lowercase, or, of a static pod, 32 hexadecimal digits.
#[must_use]
pub fn is_pod_uid(text: &str) -> bool {
    let lengths = || text.split('-').map(str::len);
    let is_known = |byte: u8| matches!(byte, b'-' | b'0'..=b'9' | b'a'..=b'f');
    (lengths().eq(UUID) || lengths().eq(DIGEST)) && text.bytes().all(is_known)
}

/// Where a name is unique: on the node, or within one pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Configured on the node.
    Node,
    /// A volume of the pod with this UID.
    Pod(Arc<str>),
}

impl Scope {
    /// The metric label: `node` or `pod`.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pod(_) => "pod",
        }
    }
}

/// An identity: a name in its scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityId {
    /// Where the name is unique.
    pub scope: Scope,
    /// The name a workload asks for.
    pub name: IdentityName,
}

impl IdentityId {
    /// An identity configured on the node.
    #[must_use]
    pub fn node(name: IdentityName) -> Self {
        Self { scope: Scope::Node, name }
    }

    /// An identity in a volume of the pod with this UID.
    #[must_use]
    pub fn pod(uid: impl Into<Arc<str>>, name: IdentityName) -> Self {
        Self { scope: Scope::Pod(uid.into()), name }
    }
}

impl fmt::Display for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Scope::Node => write!(f, "{}", self.name),
            Scope::Pod(uid) => write!(f, "pod/{uid}/{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_a_uuid_or_the_digest_of_a_static_pod() {
        assert!(is_pod_uid("2c48913c-b29f-11e7-9350-020968147796"));
        assert!(is_pod_uid("0123456789abcdef0123456789abcdef"));
        for bad in [
            "",
            "..",
            "2C48913C-b29f-11e7-9350-020968147796",
            "2c48913cb-29f-11e7-9350-020968147796",
            "2c48913c-b29f-11e7-9350-020968147796-",
            "2c48913c-b29f-11e7-9350-02096814779g",
            "0123456789abcdef0123456789abcde",
        ] {
            assert!(!is_pod_uid(bad), "{bad}");
        }
    }

    #[test]
    fn a_name_is_a_plain_word_that_is_safe_in_a_path_and_a_label() {
        for good in ["grpc-server", "a", "7.b_c", "volume/server", &"x".repeat(NAME_LIMIT)] {
            assert_eq!(good.parse::<IdentityName>().unwrap().as_str(), good);
        }
        for bad in
            ["", "..", "-a", "/", "/a", "a/", "a//b", "a/..", "a/../b", "a b", "ä", "a\n", &"x".repeat(NAME_LIMIT + 1)]
        {
            assert_eq!(bad.parse::<IdentityName>(), Err(InvalidName(bad.to_owned())));
        }
    }
}
