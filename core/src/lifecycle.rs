//! From what was read to what is published: without IO, with time as an argument.
