//! RAR of every age: listed, unpacked member by member within the budget, tried with passwords of the message.

use crate::names;
use crate::walk::{Context, Thing};
use guarita_message::{FileClass, GapReason};
use rars::{
    ArchiveMember, ArchiveReadOptions, ArchiveReader, Error, ErrorKind, ExtractionDecision, ExtractionErrorAction,
};
use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

/// Headers read from one archive.
const HEADERS_MAX: u64 = 50_000;
const HEADER_BYTES_MAX: u64 = 16 << 20;
/// Dictionaries and models of the decoder.
const WORKSPACE_BYTES_MAX: u64 = 192 << 20;

pub(super) fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    match unpack(thing, None, ctx) {
        Seen::All => {}
        Seen::Encrypted { names } => try_passwords(thing, &names, ctx),
    }
}

enum Seen {
    All,
    /// Names that can be read without the password.
    Encrypted {
        names: Vec<String>,
    },
}

fn options<'a>(password: Option<&'a [u8]>, ctx: &Context<'_>) -> ArchiveReadOptions<'a> {
    ArchiveReadOptions::with_optional_password(password)
        .with_max_header_count(HEADERS_MAX)
        .with_max_header_bytes(HEADER_BYTES_MAX)
        .with_max_reader_workspace_bytes(WORKSPACE_BYTES_MAX)
        .with_rar50_dictionary_size_limit(WORKSPACE_BYTES_MAX)
        .with_max_member_output_bytes(ctx.limits().thing_bytes_max)
        .with_max_total_output_bytes(ctx.limits().unpacked_bytes_max)
}

/// A member's bytes as they come out; a writer gives them to the decoder, the next member takes them away.
type Buffer = Rc<RefCell<Option<(String, Vec<u8>)>>>;

fn unpack(thing: &Thing<'_>, password: Option<&[u8]>, ctx: &mut Context<'_>) -> Seen {
    let options = options(password, ctx);
    let archive = match ArchiveReader::read_with_options(thing.bytes, options) {
        Ok(archive) => archive,
        Err(error) if asks_for_password(&error) => return Seen::Encrypted { names: Vec::new() },
        Err(error) => {
            state_failure(&error, "", ctx);
            return Seen::All;
        }
    };
    let members: Vec<ArchiveMember> = archive.members().collect();
    let name_of = |member: &ArchiveMember| String::from_utf8_lossy(&member.meta.name).into_owned();
    if password.is_none() && members.iter().any(|member| member.meta.is_encrypted) {
        return Seen::Encrypted { names: members.iter().map(name_of).collect() };
    }
    for member in &members {
        let name = name_of(member);
        if member.meta.is_directory || member.meta.is_redirection {
            names::state(ctx, &name);
        }
        if member.meta.is_split_before || member.meta.is_split_after {
            ctx.gap_of(GapReason::Unsupported, "one part of a split archive", FileClass::Archive);
        }
    }
    let current: Buffer = Rc::default();
    let ctx_cell = RefCell::new(ctx);
    let deadline = ctx_cell.borrow().deadline();
    let flush = || {
        if let Some((name, bytes)) = current.borrow_mut().take() {
            let mut ctx = ctx_cell.borrow_mut();
            if ctx.spend(bytes.len() as u64) {
                ctx.child(&name, &bytes);
            }
        }
    };
    let result = archive.extract_with_control_and_errors(
        options,
        |member| {
            flush();
            if ctx_cell.borrow_mut().stop() {
                return Ok(ExtractionDecision::Stop);
            }
            if member.meta.is_directory || member.meta.is_redirection {
                return Ok(ExtractionDecision::Skip);
            }
            *current.borrow_mut() = Some((name_of(member), Vec::new()));
            Ok(ExtractionDecision::Extract(Box::new(Collector { buffer: current.clone(), deadline })))
        },
        |member, error| {
            state_failure(error, &name_of(member), &mut ctx_cell.borrow_mut());
            Ok(ExtractionErrorAction::Continue)
        },
    );
    flush();
    let ctx = ctx_cell.into_inner();
    match result {
        Err(error) if asks_for_password(&error) => {
            return Seen::Encrypted { names: members.iter().map(name_of).collect() };
        }
        Err(error) => state_failure(&error, "", ctx),
        Ok(_) => {}
    }
    Seen::All
}

fn try_passwords(thing: &Thing<'_>, names: &[String], ctx: &mut Context<'_>) {
    for word in ctx.passwords() {
        if ctx.stop() {
            return;
        }
        if opens(thing, word.as_bytes(), ctx) {
            ctx.fact("files/archive-password-found", "a word of the message opens it");
            unpack(thing, Some(word.as_bytes()), ctx);
            return;
        }
    }
    ctx.fact("files/archive-encrypted", if names.is_empty() { "its content and its names" } else { "its content" });
    ctx.gap_of(GapReason::Encrypted, "no password in the message opens it", FileClass::Archive);
    for name in names {
        names::state(ctx, name);
        names::state_unseen(ctx, name);
    }
}

/// Whether the first member with content unpacks.
fn opens(thing: &Thing<'_>, password: &[u8], ctx: &Context<'_>) -> bool {
    let options = options(Some(password), ctx);
    let Ok(archive) = ArchiveReader::read_with_options(thing.bytes, options) else { return false };
    let first = archive.members().position(|member| member.meta.is_encrypted && !member.meta.is_directory);
    match first {
        Some(index) => archive.read_member_at_with_options(index, options).is_ok(),
        None => true,
    }
}

fn asks_for_password(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::PasswordRequired | ErrorKind::BadPassword)
}

fn state_failure(error: &Error, name: &str, ctx: &mut Context<'_>) {
    let (reason, what) = match error.kind() {
        ErrorKind::ResourceLimit => (GapReason::Limits, "it asks for more than allowed"),
        ErrorKind::UnsupportedFeature | ErrorKind::UnsupportedFormat => {
            (GapReason::Unsupported, "a form that is not known")
        }
        ErrorKind::ChecksumMismatch => (GapReason::Corrupt, "a checksum is wrong"),
        _ => (GapReason::Corrupt, "it is damaged"),
    };
    let detail = format!("rar: {what}");
    if name.is_empty() {
        ctx.gap_of(reason, &detail, FileClass::Archive);
    } else {
        ctx.within(name, |ctx| ctx.gap_of(reason, &detail, FileClass::Archive));
    }
}

struct Collector {
    buffer: Buffer,
    deadline: std::time::Instant,
}

impl Write for Collector {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::time::Instant::now() >= self.deadline {
            return Err(io::Error::other("out of time"));
        }
        if let Some((_, buffer)) = self.buffer.borrow_mut().as_mut() {
            buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
