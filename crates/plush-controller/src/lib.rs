//! Performs the effects of one run: journal, transports, providers, operator socket.

pub mod transport;
