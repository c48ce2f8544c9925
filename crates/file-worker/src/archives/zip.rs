//! Zip, all of it: what its central directory says, what its local headers say, and where the two disagree.
//!
//! [`Zip`] only reads headers; an entry's bytes come through [`Zip::read`] or [`Zip::unpack`], within the walk's budget.

mod crypt;
mod directory;

pub use directory::{Entry, Oddity, Zip};

use super::decoders;
use crate::kind::{Kind, Nature};
use crate::walk::{Context, Thing};
use guarita_message::{FileClass, GapReason};
use std::io::{Cursor, Read};

/// No path is longer.
const LINK_BYTES_MAX: usize = 4096;
/// One packed thing of an encrypted archive that is decrypted whole, at most.
const DECRYPTED_BYTES_MAX: u64 = 128 << 20;

/// Walks every entry of a zip, of whatever kind the zip is.
pub(super) fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let zip = Zip::open(thing.bytes);
    state_oddities(&zip, thing, ctx);
    let mut tried = Passwords::default();
    for index in 0..zip.entries().len() {
        if ctx.stop() {
            return;
        }
        let entry = &zip.entries()[index];
        if entry.is_folder() {
            crate::names::state(ctx, &entry.name);
            continue;
        }
        if entry.is_link {
            let target = zip.read_at(ctx, index).unwrap_or_default();
            let target = String::from_utf8_lossy(&target[..target.len().min(LINK_BYTES_MAX)]).into_owned();
            crate::names::state(ctx, &entry.name);
            crate::names::state_link(ctx, &entry.name, &target);
            continue;
        }
        if thing.kind == Kind::Apk && !is_worth_looking_in_app(&entry.name) {
            continue;
        }
        zip.unpack(ctx, index, &mut tried);
    }
}

/// An app is judged by its manifest and by what it hides; its thousands of resources are pictures and layouts.
fn is_worth_looking_in_app(name: &str) -> bool {
    let extension = crate::kind::extension_of(name);
    let resource = name.starts_with("res/") || name.starts_with("META-INF/") || name.starts_with("kotlin/");
    !resource || matches!(extension.as_str(), "apk" | "zip" | "dex" | "jar" | "html" | "js")
}

fn state_oddities(zip: &Zip<'_>, thing: &Thing<'_>, ctx: &mut Context<'_>) {
    for oddity in zip.oddities() {
        match oddity {
            Oddity::Overlap => ctx.fact("files/archive-bomb", "entries share their compressed bytes"),
            Oddity::HeadersDisagree(name) => ctx.fact("files/zip-headers-disagree", name),
            Oddity::Hidden(name) => ctx.fact("files/zip-hidden-entry", name),
            Oddity::Split => ctx.gap_of(GapReason::Unsupported, "one part of a split archive", FileClass::Archive),
            Oddity::TooMany => ctx.stopped(crate::walk::Stop::Entries),
            // Cut off: the entries that are there are found by their own headers.
            Oddity::NoDirectory if thing.bytes.len() > 22 && zip.entries().is_empty() => {
                ctx.gap_of(GapReason::Corrupt, "the zip has no readable directory", FileClass::Archive);
            }
            Oddity::NoDirectory => {}
        }
    }
}

/// The password that opened an entry opens the others as a rule.
#[derive(Default)]
pub struct Passwords {
    worked: Option<String>,
}

impl<'a> Zip<'a> {
    /// Unpacks entry `index` and has it looked at; states what cannot be opened.
    pub fn unpack(&self, ctx: &mut Context<'_>, index: usize, tried: &mut Passwords) {
        let entry = &self.entries()[index];
        if let Some(bytes) = self.stored_bytes(index) {
            return ctx.child(&entry.name, bytes);
        }
        if let Some(mut reader) = self.reader(ctx, index, tried) {
            ctx.unpack(&entry.name, entry.packed, &mut *reader);
        }
    }

    /// Bytes of the first entry called `name` (as stored, upper or lower case), without looking into them.
    pub fn read(&self, ctx: &mut Context<'_>, name: &str) -> Option<Vec<u8>> {
        let index = self.entries().iter().position(|entry| entry.name.eq_ignore_ascii_case(name))?;
        self.read_at(ctx, index)
    }

    /// Bytes of entry `index`, without looking into them.
    pub fn read_at(&self, ctx: &mut Context<'_>, index: usize) -> Option<Vec<u8>> {
        if let Some(bytes) = self.stored_bytes(index) {
            return Some(bytes.to_vec());
        }
        let entry = &self.entries()[index];
        let mut reader = self.reader(ctx, index, &mut Passwords::default())?;
        ctx.read(&entry.name, entry.packed, &mut *reader)
    }

    fn reader(&self, ctx: &mut Context<'_>, index: usize, tried: &mut Passwords) -> Option<Box<dyn Read + 'a>> {
        let entry = &self.entries()[index];
        let Some(packed) = self.packed_bytes(index) else {
            let class = class_by_name(&entry.name);
            crate::names::state(ctx, &entry.name);
            crate::names::state_unseen(ctx, &entry.name);
            ctx.within(&entry.name, |ctx| ctx.gap_of(GapReason::Corrupt, "its bytes are missing", class));
            return None;
        };
        if !entry.is_encrypted() {
            if (1..=6).contains(&entry.method)
                && let Some(bytes) = self.unpack_old(index, ctx.limits().thing_bytes_max)
            {
                return Some(Box::new(Cursor::new(bytes)));
            }
            return self.decoder(ctx, entry, entry.method, Box::new(packed));
        }
        let method = entry.aes.map_or(entry.method, |aes| aes.method);
        match decrypt(ctx, entry, packed, tried) {
            Some(plain) => {
                ctx.fact("files/archive-password-found", "a word of the message opens it");
                self.decoder(ctx, entry, method, Box::new(Cursor::new(plain)))
            }
            None => {
                crate::names::state(ctx, &entry.name);
                crate::names::state_unseen(ctx, &entry.name);
                ctx.fact("files/archive-encrypted", &entry.name);
                ctx.gap_of(GapReason::Encrypted, "no password in the message opens it", FileClass::Archive);
                None
            }
        }
    }

    /// Shrunk, reduced and imploded entries, by the `zip` crate.
    fn unpack_old(&self, index: usize, bytes_max: u64) -> Option<Vec<u8>> {
        let mut archive = zip::ZipArchive::new(Cursor::new(self.bytes())).ok()?;
        let mut bytes = Vec::new();
        archive.by_index(index).ok()?.take(bytes_max).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn decoder(
        &self,
        ctx: &mut Context<'_>,
        entry: &Entry,
        method: u16,
        packed: Box<dyn Read + 'a>,
    ) -> Option<Box<dyn Read + 'a>> {
        match decoders::zip_method(method, packed, entry.unpacked) {
            Ok(reader) => Some(reader),
            Err(detail) => {
                let class = class_by_name(&entry.name);
                crate::names::state(ctx, &entry.name);
                crate::names::state_unseen(ctx, &entry.name);
                ctx.within(&entry.name, |ctx| ctx.gap_of(GapReason::Unsupported, &detail, class));
                None
            }
        }
    }
}

fn decrypt(ctx: &mut Context<'_>, entry: &Entry, packed: &[u8], tried: &mut Passwords) -> Option<Vec<u8>> {
    if entry.packed > DECRYPTED_BYTES_MAX || entry.is_strongly_encrypted() {
        return None;
    }
    let first = tried.worked.clone();
    for password in first.iter().chain(ctx.passwords()) {
        let plain = match entry.aes {
            Some(aes) => crypt::aes(packed, aes.strength, password.as_bytes()),
            None => {
                crypt::zip_crypto(packed, entry.check_byte, password.as_bytes()).filter(|plain| opens(entry, plain))
            }
        };
        if plain.is_some() {
            tried.worked = Some(password.clone());
            return plain;
        }
        if ctx.stop() {
            return None;
        }
    }
    None
}

/// The old cipher accepts one wrong password in 256; the content's checksum tells.
fn opens(entry: &Entry, plain: &[u8]) -> bool {
    let mut limited = match decoders::zip_method(entry.method, Box::new(plain), entry.unpacked) {
        Ok(reader) => reader.take(DECRYPTED_BYTES_MAX),
        Err(_) => return true,
    };
    let mut crc = flate2::Crc::new();
    let mut block = vec![0; 64 << 10];
    loop {
        match limited.read(&mut block) {
            Ok(0) => return crc.sum() == entry.crc,
            Ok(count) => crc.update(&block[..count]),
            Err(_) => return false,
        }
    }
}

fn class_by_name(name: &str) -> FileClass {
    let extension = crate::kind::extension_of(name);
    match crate::kind::nature_of_extension(&extension) {
        Some(Nature::Program) => FileClass::Executable,
        Some(Nature::Document | Nature::Mail) => FileClass::Document,
        Some(Nature::Archive | Nature::DiskImage) => FileClass::Archive,
        _ => FileClass::Other,
    }
}
