//! Runs one batch on one runtime, applies and seals
