//! The methods that there are, by descriptors.

use std::collections::{BTreeMap, BTreeSet};

use evercert_core::document::nearest;
use prost::{DecodeError, Message as _};
use prost_types::FileDescriptorSet;

use crate::auth::method::Method;

use super::a43::Pattern;
use super::error::{Problem, named};
use super::pattern::MethodPattern;

/// Services that a server may have without anybody's descriptors, with their methods. They are known where they are named, and not
/// missed where they are not.
const WELL_KNOWN: [(&str, &[&str]); 3] = [
    ("grpc.health.v1.Health", &["Check", "List", "Watch"]),
    ("grpc.reflection.v1.ServerReflection", &["ServerReflectionInfo"]),
    ("grpc.reflection.v1alpha.ServerReflection", &["ServerReflectionInfo"]),
];

/// The methods of a server, by service.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    paths: BTreeSet<String>,
    services: BTreeMap<String, Vec<String>>,
}

impl Descriptors {
    /// The methods of all these `FileDescriptorSet`s.
    ///
    /// # Errors
    ///
    /// One is no `FileDescriptorSet`.
    pub(super) fn decode<'a>(sets: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, DecodeError> {
        let mut descriptors = Self::default();
        for set in sets {
            for file in FileDescriptorSet::decode(set)?.file {
                for service in &file.service {
                    let name = match file.package() {
                        "" => service.name().to_owned(),
                        package => format!("{package}.{}", service.name()),
                    };
                    let paths = service.method.iter().map(|method| format!("/{name}/{}", method.name())).collect();
                    descriptors.add(name, paths);
                }
            }
        }
        Ok(descriptors)
    }

    fn add(&mut self, service: String, paths: Vec<String>) {
        self.paths.extend(paths.iter().cloned());
        self.services.insert(service, paths);
    }

    /// The problem of a pattern that stands for no method.
    pub(super) fn unknown(&self, pattern: &MethodPattern) -> Option<Problem> {
        let (kind, name) = match pattern {
            MethodPattern::All => return None,
            MethodPattern::Method(path) if self.paths.contains(&**path) || is_well_known(path) => return None,
            MethodPattern::Service(service)
                if self.services.contains_key(&**service)
                    || WELL_KNOWN.iter().any(|(known, _)| **known == **service) =>
            {
                return None;
            }
            MethodPattern::Method(path) => ("method", path),
            MethodPattern::Service(service) => ("service", service),
        };
        let nearest = match pattern {
            MethodPattern::Method(path) => self.nearest_method(path),
            _ => nearest(name, self.services.keys().map(String::as_str)).map(ToOwned::to_owned),
        };
        Some(Problem::Unknown { kind, name: name.to_string(), nearest })
    }

    /// The problem of a pattern of gRPC's own policies that fits no method.
    pub(super) fn unknown_path(&self, pattern: &Pattern) -> Option<Problem> {
        let text = pattern.to_string();
        if let Ok(pattern) = text.parse::<MethodPattern>() {
            return self.unknown(&pattern);
        }
        let well_known = WELL_KNOWN
            .iter()
            .flat_map(|(service, methods)| methods.iter().map(move |method| format!("/{service}/{method}")));
        let fits = |path: &str| pattern.fits(path.as_bytes());
        if self.paths.iter().any(|path| fits(path)) || well_known.into_iter().any(|path| fits(&path)) {
            return None;
        }
        let nearest = nearest(&text, self.paths.iter().map(String::as_str)).map(ToOwned::to_owned);
        Some(Problem::Unknown { kind: "method for the path", name: named(&text), nearest })
    }

    /// The method that was meant: of a service that is there it is one of its own.
    fn nearest_method(&self, path: &str) -> Option<String> {
        let method = Method::of_path(path)?;
        let own = self.services.get(method.service()).filter(|own| !own.is_empty());
        let Some(own) = own else { return nearest(path, self.paths.iter().map(String::as_str)).map(ToOwned::to_owned) };
        let names = own.iter().filter_map(|path| Method::of_path(path)).map(Method::name);
        nearest(method.name(), names).map(|name| format!("/{}/{name}", method.service()))
    }

    /// The paths of all methods.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str).filter(|path| !is_well_known(path))
    }
}

fn is_well_known(path: &str) -> bool {
    Method::of_path(path).is_some_and(|method| {
        WELL_KNOWN.iter().any(|(service, methods)| *service == method.service() && methods.contains(&method.name()))
    })
}
