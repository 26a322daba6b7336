//! The application description: text in, project and all problems out; host sets. A crate of its
//! own so that the compiler keeps it free of runtimes, clocks and randomness.

pub mod hostset;
pub mod model;
pub mod substitute;
