//! Every consensus number of Trilith: value, unit, source, version
