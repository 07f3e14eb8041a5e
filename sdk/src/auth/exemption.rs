//! What is not held to a policy.

/// The methods that anybody may call: probes come without credentials (grpc.health.v1).
pub(super) const HEALTH: [&str; 2] = ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];

/// A service that is held otherwise than others are, by what its paths begin with, and its methods that there are.
#[derive(Debug)]
pub(super) struct Exempt {
    pub(super) prefix: &'static str,
    pub(super) paths: &'static [&'static str],
}

/// The service of health checks, of which those two are exempt.
pub(super) const SERVICE_OF_HEALTH: Exempt = Exempt { prefix: "/grpc.health.v1.Health/", paths: &HEALTH };

/// gRPC's server reflection, in its two versions.
pub(super) const SERVICES_OF_REFLECTION: [Exempt; 2] = [
    Exempt {
        prefix: "/grpc.reflection.v1.ServerReflection/",
        paths: &["/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"],
    },
    Exempt {
        prefix: "/grpc.reflection.v1alpha.ServerReflection/",
        paths: &["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"],
    },
];

/// Who may ask a server for its descriptors (gRPC Server Reflection). They name every method and message there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Reflection {
    /// Nobody: the answer is that of a server without reflection.
    #[default]
    Off,
    /// Everybody who is authenticated, whatever the policy.
    Authenticated,
    /// Whom the policy lets, as with other methods.
    ByPolicy,
}

impl Reflection {
    /// Whether it is what this method is for.
    pub(super) fn is_asked_by(method: &str) -> bool {
        SERVICES_OF_REFLECTION.iter().any(|service| method.starts_with(service.prefix))
    }
}

/// How a call is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exemption {
    /// It goes to its handler, whoever makes it.
    Anybody,
    /// It goes to its handler for whoever is authenticated.
    Authenticated,
    /// There is no such method.
    Absent,
    /// It is not exempt.
    None,
}

impl Exemption {
    /// By the path as it is on the wire, byte by byte.
    pub(super) fn of(path: &str, reflection: Reflection) -> Self {
        // All exempt services have names that begin so; most calls end here.
        if !path.starts_with("/grpc.") {
            return Self::None;
        }
        if HEALTH.contains(&path) {
            return Self::Anybody;
        }
        if !Reflection::is_asked_by(path) {
            return Self::None;
        }
        match reflection {
            Reflection::Off => Self::Absent,
            Reflection::Authenticated => Self::Authenticated,
            Reflection::ByPolicy => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_two_methods_are_anybodys() {
        for path in HEALTH {
            assert_eq!(Exemption::of(path, Reflection::Off), Exemption::Anybody);
        }
        for path in [
            "/grpc.health.v1.Health/List",
            "/grpc.health.v1.Health/check",
            "/grpc.health.v1.Health/Check/",
            "//grpc.health.v1.Health/Check",
            "grpc.health.v1.Health/Check",
            "/grpc.health.v1.Health/Check?",
            "/grpc.health.v1.Health/%43heck",
            "/grpc.health.v2.Health/Check",
            "/grpc.health.v1.HealthX/Check",
            "/grpc.health.v1.Health/",
            "/x.health.v1.Health/Check",
        ] {
            assert_eq!(Exemption::of(path, Reflection::Authenticated), Exemption::None, "{path}");
        }
    }

    #[test]
    fn reflection_is_absent_unless_it_was_asked_for() {
        for path in [
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ] {
            assert_eq!(Exemption::of(path, Reflection::default()), Exemption::Absent);
            assert_eq!(Exemption::of(path, Reflection::Authenticated), Exemption::Authenticated);
            assert_eq!(Exemption::of(path, Reflection::ByPolicy), Exemption::None);
        }
    }
}
