//! The names of users, groups and hosts, which the C library looks up where nsswitch.conf says; a static build, in files and in DNS.
#![cfg_attr(
    all(target_env = "gnu", target_feature = "crt-static"),
    expect(unsafe_code, reason = "no crate wraps __nss_configure_lookup")
)]

/// Whether users and groups are known from /etc/passwd and /etc/group alone.
pub(crate) const FILES_ONLY: bool = cfg!(target_feature = "crt-static");

/// Keeps the C library that is linked in from loading the modules that nsswitch.conf names: they are made for the C library of the
/// system, which is another, and loading them may crash. Call it before any thread is started.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
pub(crate) fn confine() {
    use std::ffi::{c_char, c_int};

    unsafe extern "C" {
        /// See nss.h: the services that are asked for `database` from now on, in the syntax of nsswitch.conf.
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }
    for (database, services) in [(c"passwd", c"files"), (c"group", c"files"), (c"hosts", c"files dns")] {
        // SAFETY: both are strings that end with NUL and live forever; no other thread looks a name up yet.
        let result = unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
        debug_assert_eq!(result, 0, "{database:?} is no database");
    }
}

/// Leaves the C library of the system alone: it knows its own modules.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
pub(crate) fn confine() {}
