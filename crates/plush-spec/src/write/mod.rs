//! Trees to text, in either syntax.

pub(crate) mod xml;
pub(crate) mod yaml;
