//! The greeter, served and called over the SDK.
