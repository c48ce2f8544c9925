//! Compressed streams that hold one thing: gzip, bzip2, xz, lzma, lzip, zstd, lz4, zlib.

use super::decoders;
use crate::kind::Kind;
use crate::walk::{Context, Thing};
use guarita_message::{FileClass, GapReason};

/// A stream's header, and nothing behind it.
const HEAD_ONLY_BYTES_MAX: usize = 18;

pub(super) fn wants(thing: &Thing<'_>) -> bool {
    use Kind::*;
    matches!(thing.kind, Gzip | Bzip2 | Xz | Lzma | Lzip | Zstd | Lz4 | Zlib)
}

pub(super) fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let bytes = thing.bytes;
    let name = inner_name(thing);
    let reader = match thing.kind {
        Kind::Gzip => Ok(decoders::gzip(bytes)),
        Kind::Bzip2 => Ok(decoders::bzip2(bytes)),
        Kind::Xz => Ok(Box::new(decoders::xz(bytes)) as Box<dyn std::io::Read>),
        Kind::Lzip => Ok(decoders::lzip(bytes)),
        Kind::Lz4 => Ok(decoders::lz4(bytes)),
        Kind::Zlib => Ok(decoders::zlib(bytes)),
        Kind::Zstd => decoders::zstd(bytes),
        _ => decoders::lzma(bytes).map_err(|error| error.to_string()),
    };
    match reader {
        Ok(mut reader) => ctx.unpack(&name, bytes.len() as u64, &mut *reader),
        // Packed against a dictionary that is not in the file: whoever gets it cannot unpack it either.
        Err(_) if thing.kind == Kind::Zstd && zstd_needs_dictionary(bytes) => {}
        // Broken off before its first block: nothing comes out of it for anybody.
        Err(_) if bytes.len() <= HEAD_ONLY_BYTES_MAX => {}
        Err(detail) => ctx.gap_of(GapReason::Corrupt, &detail, FileClass::Archive),
    }
}

/// The frame header's dictionary flag.
fn zstd_needs_dictionary(bytes: &[u8]) -> bool {
    bytes.get(4).is_some_and(|descriptor| descriptor & 3 != 0)
}

/// The name the content would get: gzip may carry it, else the stream's own name without its last extension.
fn inner_name(thing: &Thing<'_>) -> String {
    if thing.kind == Kind::Gzip
        && let Some(name) = gzip_name(thing.bytes)
    {
        return name;
    }
    let base = thing.name.rsplit(['/', '\\']).next().unwrap_or_default();
    let extension = thing.extension();
    let stem = if extension.is_empty() { base } else { base.rsplit_once('.').map_or(base, |(stem, _)| stem) };
    match extension.as_str() {
        "tgz" | "tbz" | "tbz2" | "txz" | "tlz" | "tzst" | "taz" => format!("{stem}.tar"),
        "svgz" => format!("{stem}.svg"),
        "emz" => format!("{stem}.emf"),
        _ if stem.is_empty() => "content".to_owned(),
        _ => stem.to_owned(),
    }
}

/// FNAME of a gzip header.
fn gzip_name(bytes: &[u8]) -> Option<String> {
    let flags = *bytes.get(3)?;
    if flags & 0x08 == 0 {
        return None;
    }
    let mut at = 10;
    if flags & 0x04 != 0 {
        at += 2 + usize::from(u16::from_le_bytes([*bytes.get(10)?, *bytes.get(11)?]));
    }
    let rest = bytes.get(at..)?;
    let end = memchr::memchr(0, &rest[..rest.len().min(1024)])?;
    let name: String = match std::str::from_utf8(&rest[..end]) {
        Ok(name) => name.to_owned(),
        Err(_) => rest[..end].iter().map(|byte| char::from(*byte)).collect(),
    };
    (!name.is_empty()).then_some(name)
}
