//! The root runtime: elections, commitments, finalisation
