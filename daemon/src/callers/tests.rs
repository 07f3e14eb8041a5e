pub(crate) mod other;
mod parties;
mod processes;

use std::io;
use std::sync::Arc;

use super::*;
