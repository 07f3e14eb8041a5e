//! Whether the way to a file lets a caller read it: the way by which it was read, and that which there is now.

use std::path::Path;

use evercert_core::keeper::IdentityState;
use evercert_core::mount::{Directory, KeyAccess, ReadError, Route, Sight};

use super::denial::RuleMismatch;
use super::filesystem::Filesystem;
use super::permissions::{Permissions, Wish};
use crate::callers::Caller;

/// Whether `caller`, who is not root, could have read what `state` tells of by the way it was read, and can read it by the way that
/// there is now. Its answer stops at the first directory that does not let it search: it learns nothing of what is behind that.
///
/// # Errors
///
/// It could or can not.
pub(super) fn decide(caller: &Caller, now: &Sight, state: &IdentityState) -> Result<(), RuleMismatch> {
    let record = state.key_access.as_deref();
    let routes_then = record.map(|record| &record.route).into_iter().chain([&state.route]);
    search(caller, &now.route, |path, permissions| not_a_reader(caller, Wish::Search, path, permissions))?;
    for route in routes_then.clone() {
        search(caller, route, |path, permissions| RuleMismatch::NotAReaderThen {
            caller: caller.clone().into(),
            wish: Wish::Search,
            path: path.to_owned(),
            permissions: permissions.into(),
        })?;
    }
    if routes_then.into_iter().any(|route| !route.is_whole()) {
        return Err(RuleMismatch::NoRecord { file: now.file.clone() });
    }
    for route in record.map(|record| &record.route).into_iter().chain([&now.own]) {
        local(route)?;
    }
    let access = match &now.access {
        Ok(access) => access,
        Err(ReadError::Missing | ReadError::NotADirectory) => {
            return Err(RuleMismatch::Missing { file: now.file.clone() });
        }
        Err(error) => return Err(RuleMismatch::Unreadable { file: now.file.clone(), error: error.to_string() }),
    };
    read(caller, &now.file, access, |permissions| not_a_reader(caller, Wish::Read, &now.file, permissions))?;
    match record {
        Some(record) => read(caller, &now.file, record, |permissions| RuleMismatch::NotAReaderThen {
            caller: caller.clone().into(),
            wish: Wish::Read,
            path: now.file.clone(),
            permissions: permissions.into(),
        }),
        None if state.snapshot.is_none() => Ok(()),
        None => Err(RuleMismatch::NoRecord { file: now.file.clone() }),
    }
}

fn not_a_reader(caller: &Caller, wish: Wish, path: &Path, permissions: Permissions) -> RuleMismatch {
    RuleMismatch::NotAReader {
        caller: caller.clone().into(),
        wish,
        path: path.to_owned(),
        permissions: permissions.into(),
    }
}

/// Checks that every directory lets the caller search.
fn search(
    caller: &Caller,
    route: &Route,
    mismatch: impl Fn(&Path, Permissions) -> RuleMismatch,
) -> Result<(), RuleMismatch> {
    for directory in route.directories() {
        let permissions = Permissions::of(directory.access());
        if !permissions.grant(caller, Wish::Search) {
            return Err(mismatch(&directory.path(), permissions));
        }
    }
    Ok(())
}

/// Checks that the permissions of every directory decide.
fn local(route: &Route) -> Result<(), RuleMismatch> {
    let is_foreign = |directory: &&Directory| !Filesystem::numbered(directory.filesystem()).is_local();
    match route.directories().find(is_foreign) {
        Some(directory) => Err(RuleMismatch::FileSystem {
            path: directory.path(),
            filesystem: Filesystem::numbered(directory.filesystem()),
        }),
        None => Ok(()),
    }
}

/// Checks that a file lets the caller read.
fn read(
    caller: &Caller,
    file: &Path,
    access: &KeyAccess,
    mismatch: impl Fn(Permissions) -> RuleMismatch,
) -> Result<(), RuleMismatch> {
    let filesystem = Filesystem::numbered(access.filesystem);
    if !filesystem.is_local() {
        return Err(RuleMismatch::FileSystem { path: file.to_owned(), filesystem });
    }
    let permissions = Permissions::of(&access.access);
    if permissions.grant(caller, Wish::Read) { Ok(()) } else { Err(mismatch(permissions)) }
}
