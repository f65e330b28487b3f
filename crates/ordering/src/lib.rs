//! The only adapter to the ordering engine; threshold shares, beacon, certificates
