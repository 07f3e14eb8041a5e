//! What the process gives up before it reads a key.
