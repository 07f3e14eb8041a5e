//! The real program: started, asked, signalled and stopped as an operator and a service manager do it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod agreement;
mod command_line;
mod home;
mod https;
mod metrics;
mod pairs;
mod pods;
mod reload;
mod service_manager;
mod sockets;
mod trust;
