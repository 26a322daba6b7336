//! Text to a tree with places: the same tree for both syntaxes.
//! What the keys mean is not known here, except to the part that gives XML its shape.

pub(crate) mod early;
pub(crate) mod element;
mod legal;
pub(crate) mod node;
pub(crate) mod shape;
pub(crate) mod shorthand;
mod sword;
pub(crate) mod yaml;

/// Larger texts are refused.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
/// Deeper texts are refused.
pub const DEPTH_MAX: usize = 64;
/// Lists and maps with more items are refused.
pub const ITEMS_MAX: usize = 50_000;
/// Texts with more nodes are refused.
pub const NODES_MAX: usize = 1_000_000;
