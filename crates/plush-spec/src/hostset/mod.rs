//! Host sets: many hosts in a short text, in the grammar of ClusterShell's `nodeset`.
//!
//! Not the hosts themselves: a host set knows names (`user@name:port` at most), never addresses or states.
//!
//! ```
//! use plush_spec::hostset::{HostSet, StaticGroups};
//!
//! let groups = StaticGroups::new().with("web", "web[01-20]");
//! let set = HostSet::parse("@web,rack[1-2]n[1-3]!web[03-19]", &groups)?;
//! assert_eq!(set.to_string(), "rack[1-2]n[1-3],web[01-02,20]");
//! assert_eq!(set.len(), 9);
//! # Ok::<(), plush_spec::hostset::HostSetError>(())
//! ```

mod ansible;
mod error;
mod fold;
mod groups;
mod index;
mod parse;
mod product;
mod range;
mod range_text;
mod set;
mod set_text;
mod shape;
mod wildcard;

pub use ansible::from_ansible_pattern;
pub use error::HostSetError;
pub use groups::{Groups, NoGroups, StaticGroups};
pub use set::{HostSet, Hosts};
pub use set_text::Folding;

/// Most hosts that a host set's text may stand for.
pub const HOSTS_MAX: u64 = 1_000_000;

/// Longest text of a host set, in bytes.
pub const TEXT_MAX: usize = 1 << 20;
