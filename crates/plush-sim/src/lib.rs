//! Both ends of a run in one thread on virtual time: world, faults, checkers.
