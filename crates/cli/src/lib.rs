//! The trilith binary: dev, demo, sandbox roles
