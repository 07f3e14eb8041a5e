//! The name of a call's method.

use std::fmt;

/// The most bytes of a path that is looked at; a longer one names no method.
const LONGEST: usize = 1024;

/// A method, by a path of exactly one form: `/package.Service/Method` (gRPC over HTTP/2, "Requests": `Path`).
///
/// A path is compared byte by byte: no part of it is decoded, folded or trimmed, since whoever would do so and whoever routes the call
/// could come to different ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Method<'a> {
    path: &'a str,
    /// Where the second slash is.
    slash: usize,
}

impl<'a> Method<'a> {
    /// The method of a request's path; `None` for one of any other form, which no server has.
    #[must_use]
    pub fn of_path(path: &'a str) -> Option<Self> {
        let inner = path.strip_prefix('/').filter(|_| path.len() <= LONGEST)?;
        let (service, method) = inner.split_once('/')?;
        let is_service = service.split('.').all(is_identifier);
        (is_service && is_identifier(method)).then_some(Self { path, slash: 1 + service.len() })
    }

    /// The whole: `/package.Service/Method`.
    #[must_use]
    pub fn path(self) -> &'a str {
        self.path
    }

    /// `package.Service`.
    #[must_use]
    pub fn service(self) -> &'a str {
        &self.path[1..self.slash]
    }

    /// `Method`.
    #[must_use]
    pub fn name(self) -> &'a str {
        &self.path[self.slash + 1..]
    }
}

/// Whether it is an identifier of protobuf's: a letter or underscore, then letters, digits and underscores, all of ASCII.
fn is_identifier(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl fmt::Debug for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_of_two_parts_names_a_service_and_a_method() {
        let method = Method::of_path("/myapp.v1.UserService/GetUser").unwrap();
        assert_eq!((method.service(), method.name()), ("myapp.v1.UserService", "GetUser"));
        assert_eq!(method.path(), "/myapp.v1.UserService/GetUser");
        assert_eq!(Method::of_path("/Plain/Call").unwrap().service(), "Plain");
    }

    #[test]
    fn every_other_form_names_none() {
        for path in [
            "",
            "/",
            "//",
            "*",
            "/a",
            "a/b",
            "//a/b",
            "/a//b",
            "/a/b/",
            "/a/b/c",
            "/a/b?c",
            "/a/b#c",
            "/a%2Eb/c",
            "/a/%62",
            "/a/./b",
            "/../a/b",
            "/.a/b",
            "/a./b",
            "/a..b/c",
            "/a /b",
            "/a/b ",
            "/a/b\0",
            "/a/b;c",
            "/a:b/c",
            "/é/b",
            "/a/1b",
            "/1.a/b",
            "https://host/a/b",
            "/a\\b/c",
        ] {
            assert_eq!(Method::of_path(path), None, "{path:?}");
        }
        assert_eq!(Method::of_path(&format!("/a/{}", "b".repeat(LONGEST))), None);
    }

    proptest! {
        #[test]
        fn what_names_a_method_is_made_of_its_two_parts(path in "[/a-zA-Z0-9_.%]{0,12}") {
            if let Some(method) = Method::of_path(&path) {
                prop_assert_eq!(format!("/{}/{}", method.service(), method.name()), path.as_str());
                prop_assert_eq!(path.matches('/').count(), 2);
            }
        }
    }
}
