//! Inspectors that unpack: each hands what it finds to [`Context::child`] or [`Context::unpack`] and says what it could
//! not open. Judging what comes out is the walk's and the format inspectors' business.
//!
//! [`Context::child`]: crate::walk::Context::child
//! [`Context::unpack`]: crate::walk::Context::unpack

use crate::walk::Inspector;

/// Every unpacker, in the order they run.
pub const INSPECTORS: &[Inspector] = &[];
