//! The application description: text in, project and all problems out; host sets. A crate of its
//! own so that the compiler keeps it free of runtimes, clocks and randomness.
//!
//! ```
//! # #[cfg(feature = "parse")] {
//! let text = "project: hello\nhosts: node[01-50]\nrun: ./hello --rank ${rank}\n";
//! let parsed = plush_spec::parse(text, "hello.yaml", None);
//! let project = parsed.project.expect("the description is good");
//! assert_eq!(project.clusters[0].name.as_str(), "hello");
//! # }
//! ```

pub mod hostset;
pub mod model;
mod not_yet;
pub mod shell_line;
pub mod substitute;

#[cfg(feature = "parse")]
mod check;
#[cfg(feature = "parse")]
mod cross;
#[cfg(feature = "parse")]
mod directory;
#[cfg(feature = "parse")]
mod generate;
#[cfg(feature = "parse")]
mod lower;
#[cfg(feature = "parse")]
mod parse;
#[cfg(feature = "parse")]
mod problem;
#[cfg(feature = "parse")]
mod quoting;
#[cfg(feature = "parse")]
mod raise;
#[cfg(feature = "parse")]
mod report;
#[cfg(feature = "parse")]
mod source;
#[cfg(feature = "parse")]
mod tree;
#[cfg(feature = "parse")]
mod value;
#[cfg(feature = "parse")]
mod vocabulary;
#[cfg(feature = "parse")]
mod write;

pub use not_yet::{NOT_YET, NotYet, PROVIDERS, Refused, refused};

#[cfg(feature = "parse")]
pub use directory::{Directory, DirectoryHost, ParsedDirectory, parse_directory};
#[cfg(feature = "parse")]
pub use generate::{json_schema, reference, xsd};
#[cfg(feature = "parse")]
pub(crate) use parse::accept_size;
#[cfg(feature = "parse")]
pub use parse::{Format, Parsed, convert, parse, parse_with, to_xml, to_yaml};
#[cfg(feature = "parse")]
pub use problem::{Problem, Severity, render, to_json};
#[cfg(feature = "parse")]
pub use tree::{DEPTH_MAX, NODES_MAX, TEXT_BYTES_MAX};
#[cfg(feature = "parse")]
pub use value::nearest;
