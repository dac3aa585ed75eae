//! Without a daemon.
