pub(crate) mod other;
mod parties;
mod processes;

use std::fs::{self, Permissions as Mode};
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
