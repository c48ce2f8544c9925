//! Inspectors that unpack: each hands what it finds to [`Context::child`] or [`Context::unpack`] and says what it could
//! not open. Judging what comes out is the walk's and the format inspectors' business.
//!
//! [`Context::child`]: crate::walk::Context::child
//! [`Context::unpack`]: crate::walk::Context::unpack

mod cabinet;
pub mod decoders;
mod disks;
mod mail;
mod old;
mod rar;
mod sevenz;
mod streams;
mod tar;
pub mod zip;

use crate::kind::Kind;
use crate::walk::{Context, Inspector, Thing};
use guarita_message::{FileClass, GapReason};

/// Every unpacker.
pub const INSPECTORS: &[Inspector] = &[
    Inspector { name: "zip", wants: |thing| thing.kind.is_zip(), look: zip::look },
    Inspector { name: "tar", wants: |thing| thing.kind == Kind::Tar, look: tar::look },
    Inspector { name: "streams", wants: streams::wants, look: streams::look },
    Inspector { name: "7z", wants: |thing| thing.kind == Kind::SevenZip, look: sevenz::look },
    Inspector { name: "rar", wants: |thing| thing.kind == Kind::Rar, look: rar::look },
    Inspector { name: "cab", wants: |thing| thing.kind == Kind::Cab, look: cabinet::look },
    Inspector { name: "lzh", wants: |thing| thing.kind == Kind::Lzh, look: old::look_at_lzh },
    Inspector { name: "arj", wants: |thing| thing.kind == Kind::Arj, look: old::look_at_arj },
    Inspector { name: "cpio", wants: |thing| thing.kind == Kind::Cpio, look: old::look_at_cpio },
    Inspector { name: "ar", wants: |thing| matches!(thing.kind, Kind::Ar | Kind::Deb), look: old::look_at_ar },
    Inspector { name: "rpm", wants: |thing| thing.kind == Kind::Rpm, look: old::look_at_rpm },
    Inspector { name: "disks", wants: disks::wants, look: disks::look },
    Inspector { name: "eml", wants: |thing| mail::is_mail(thing.kind), look: mail::look_at_eml },
    Inspector { name: "msg", wants: |thing| thing.kind == Kind::Msg, look: mail::look_at_msg },
    Inspector { name: "tnef", wants: |thing| thing.kind == Kind::Tnef, look: mail::look_at_tnef },
    Inspector { name: "uu", wants: |thing| thing.kind == Kind::Uu, look: mail::look_at_uu },
    Inspector { name: "crx", wants: |thing| thing.kind == Kind::ChromeExtension, look: look_at_crx },
    Inspector { name: "closed", wants: is_closed, look: look_at_closed },
];

/// A Chrome extension is a zip behind a signature.
fn look_at_crx(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    if let Some(at) = memchr::memmem::find(thing.bytes, b"PK\x03\x04") {
        ctx.child("extension.zip", &thing.bytes[at..]);
    }
}

/// Archives that nobody here opens.
fn is_closed(thing: &Thing<'_>) -> bool {
    use Kind::*;
    matches!(thing.kind, Ace | Alz | Zoo | Compress | Szdd | Snappy | Brotli | Yenc | BinHex)
}

fn look_at_closed(_: &Thing<'_>, ctx: &mut Context<'_>) {
    ctx.gap_of(GapReason::Unsupported, "an archive of a form nobody here reads", FileClass::Archive);
}
