//! The Internet Computer HTTP interface
