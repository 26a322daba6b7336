//! Emulated hosts on one Linux machine: namespaces, real sshd, a user-space wide-area network.
