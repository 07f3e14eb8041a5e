//! Which identities a configuration asks for.
