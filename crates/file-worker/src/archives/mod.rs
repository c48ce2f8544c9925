//! Inspectors that unpack: each hands what it finds to [`Context::child`] or [`Context::unpack`] and says what it could
//! not open. Judging what comes out is the walk's and the format inspectors' business.
//!
//! [`Context::child`]: crate::walk::Context::child
//! [`Context::unpack`]: crate::walk::Context::unpack

pub mod decoders;
mod streams;
mod tar;
pub mod zip;

use crate::kind::Kind;
use crate::walk::Inspector;

/// Every unpacker, in the order they run.
pub const INSPECTORS: &[Inspector] = &[
    Inspector { name: "zip", wants: |thing| thing.kind.is_zip(), look: zip::look },
    Inspector { name: "tar", wants: |thing| thing.kind == Kind::Tar, look: tar::look },
    Inspector { name: "streams", wants: streams::wants, look: streams::look },
];
