//! Nothing: this package only chooses how the `kryoptic` crate is built. ci/kryoptic builds it.
