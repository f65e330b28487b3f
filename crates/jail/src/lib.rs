//! Starts a child process in an empty world
