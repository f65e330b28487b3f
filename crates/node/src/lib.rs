//! Wiring: pool, committee worker, storage worker, commitment signing, queries
