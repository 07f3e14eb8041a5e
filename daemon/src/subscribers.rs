//! Who watches which identity, and what they acknowledged.
