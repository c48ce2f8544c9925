//! 7z: solid blocks, AES with passwords of the message, names hidden by header encryption.

use crate::names;
use crate::walk::{Context, Thing};
use guarita_message::{FileClass, GapReason};
use sevenz_rust2::{Archive, BlockDecoder, Error, Password};
use std::io::Cursor;

pub(super) fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let none = Password::empty();
    let mut source = Cursor::new(thing.bytes);
    match Archive::read(&mut source, &none) {
        Ok(archive) => {
            if !unpack(&archive, thing, &none, ctx) {
                try_passwords(thing, Some(&archive), ctx);
            }
        }
        Err(error) if asks_for_password(&error) => try_passwords(thing, None, ctx),
        Err(error) => ctx.gap_of(GapReason::Corrupt, &format!("7z: {}", kind_of(&error)), FileClass::Archive),
    }
}

/// Looks at every block; `false` as soon as one asks for a password.
fn unpack(archive: &Archive, thing: &Thing<'_>, password: &Password, ctx: &mut Context<'_>) -> bool {
    let mut source = Cursor::new(thing.bytes);
    for block in 0..archive.blocks.len() {
        if ctx.stop() {
            return true;
        }
        // One thread: the room has no more. Sizes of single entries in a solid block are not known: the whole file's is.
        let decoder = BlockDecoder::new(1, block, archive, password, &mut source);
        let result = decoder.for_each_entries(&mut |entry, reader| {
            ctx.unpack(entry.name(), thing.bytes.len() as u64, reader);
            // What an inspector left unread belongs to the stream all the same.
            std::io::copy(&mut std::io::Read::take(&mut *reader, ctx.limits().thing_bytes_max), &mut std::io::sink())
                .ok();
            Ok(!ctx.stop())
        });
        match result {
            Ok(_) => {}
            Err(error) if asks_for_password(&error) => return false,
            Err(Error::UnsupportedCompressionMethod(method)) => {
                ctx.gap_of(GapReason::Unsupported, &format!("7z: method {method} is not known"), FileClass::Archive);
            }
            Err(error) => ctx.gap_of(GapReason::Corrupt, &format!("7z: {}", kind_of(&error)), FileClass::Archive),
        }
    }
    archive.files.iter().filter(|entry| !entry.has_stream()).for_each(|entry| names::state(ctx, entry.name()));
    true
}

fn try_passwords(thing: &Thing<'_>, listed: Option<&Archive>, ctx: &mut Context<'_>) {
    for word in ctx.passwords() {
        if ctx.stop() {
            return;
        }
        let password = Password::new(word);
        let Ok(archive) = Archive::read(&mut Cursor::new(thing.bytes), &password) else { continue };
        if opens(&archive, thing, &password) {
            ctx.fact("files/archive-password-found", "a word of the message opens it");
            unpack(&archive, thing, &password, ctx);
            return;
        }
    }
    let evidence = if listed.is_some() { "its content" } else { "its content and its names" };
    ctx.fact("files/archive-encrypted", evidence);
    ctx.gap_of(GapReason::Encrypted, "no password in the message opens it", FileClass::Archive);
    for entry in listed.iter().flat_map(|archive| &archive.files) {
        names::state(ctx, entry.name());
        names::state_unseen(ctx, entry.name());
    }
}

/// Whether the first entry with content comes out with the right checksum.
fn opens(archive: &Archive, thing: &Thing<'_>, password: &Password) -> bool {
    if archive.blocks.is_empty() {
        return true;
    }
    let mut source = Cursor::new(thing.bytes);
    let mut right = false;
    let result = BlockDecoder::new(1, 0, archive, password, &mut source).for_each_entries(&mut |_, reader| {
        let mut limited = std::io::Read::take(reader, 16 << 20);
        right = std::io::copy(&mut limited, &mut std::io::sink()).is_ok();
        Ok(false)
    });
    right && result.is_ok()
}

fn asks_for_password(error: &Error) -> bool {
    matches!(error, Error::PasswordRequired | Error::MaybeBadPassword(_))
}

/// Without the error's own words, which may quote names.
fn kind_of(error: &Error) -> &'static str {
    match error {
        Error::ChecksumVerificationFailed | Error::NextHeaderCrcMismatch => "a checksum is wrong",
        Error::UnsupportedVersion { .. } | Error::Unsupported(_) | Error::ExternalUnsupported => {
            "a form that is not known"
        }
        Error::MaxMemLimited { .. } => "it asks for too much memory",
        _ => "it is damaged",
    }
}
