//! Claims about a run, told event by event.
