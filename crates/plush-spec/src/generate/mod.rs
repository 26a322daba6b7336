//! What is generated from the vocabulary: the reference and both schemas.
//! The files in the documentation are these texts; a test holds them equal.

mod json_schema;
mod reference;
mod xsd;

pub use json_schema::json_schema;
pub use reference::reference;
pub use xsd::xsd;
