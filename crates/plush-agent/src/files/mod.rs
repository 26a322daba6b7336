//! Files on a host: fetched, checked, unpacked, installed, listed for collection, removed.
//!
//! Not here: which software a host needs (the core decides) and how bytes travel to the controller (the
//! driver). Everything in this module is plain blocking code for a thread of its own; long work reports
//! through [`Progress`] and stops when told.

use std::ops::ControlFlow;

pub mod digest;
pub mod external;
pub mod fetch;
pub mod glob;
pub mod http;
pub mod install;
pub mod pack;
pub mod removal;
pub mod root;
pub mod shown;
pub mod store;
pub mod unpack;

/// Told how far a long operation is, as (done, total if known) in bytes, or in entries for removals and
/// listings; answers whether to go on.
pub type Progress<'a> = dyn FnMut(u64, Option<u64>) -> ControlFlow<()> + 'a;

/// How many bytes are moved at a time by copying loops: large enough that system calls do not show.
pub(crate) const CHUNK_BYTES: usize = 128 * 1024;
