//! Every decision at both ends, without I/O, clock or randomness.
