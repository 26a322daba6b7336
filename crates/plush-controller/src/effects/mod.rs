//! Effects that are more than a message: each an ordinary async function about one host, one file each.
//! Nothing here decides; outcomes go back as events.

pub mod callback;
pub mod collect;
pub mod probing;
pub mod program;
