//! Tar, old and new: ustar, GNU long names, pax paths and sizes, links and devices.

use crate::walk::{Context, Thing};
use guarita_message::{FileClass, GapReason};

const BLOCK: usize = 512;
/// What may follow the last entry: a tape's record.
const END_BYTES_MAX: usize = 10_240;
/// A long name or a pax header that is read.
const HEADER_BYTES_MAX: usize = 64 << 10;

pub(super) fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let mut rest = thing.bytes;
    let mut long_name: Option<String> = None;
    let mut long_link: Option<String> = None;
    let mut pax_size: Option<u64> = None;
    while let Some((header, after)) = rest.split_at_checked(BLOCK) {
        if ctx.stop() {
            return;
        }
        if header.iter().all(|byte| *byte == 0) {
            // Two empty blocks end a tar; what follows one is looked for all the same.
            rest = after;
            continue;
        }
        if !checksum_fits(header) {
            // Padding with anything is common behind the end; in the middle it is a gap.
            if rest.len() != thing.bytes.len() && rest.len() > END_BYTES_MAX {
                ctx.gap_of(GapReason::Corrupt, "the tar breaks off", FileClass::Archive);
            }
            return;
        }
        let size = pax_size.take().or_else(|| number(&header[124..136])).unwrap_or(u64::MAX);
        let padded = size.checked_next_multiple_of(BLOCK as u64).and_then(|size| usize::try_from(size).ok());
        let length = usize::try_from(size).unwrap_or(usize::MAX).min(after.len());
        let flag = header[156];
        // A file with holes: lists of where its pieces go stand between header and body, each of which says if another follows.
        let (mut after, mut lists) = (after, flag == b'S' && header[482] == 1);
        while lists && let Some((list, behind)) = after.split_at_checked(BLOCK) {
            lists = list[504] == 1;
            after = behind;
        }
        let length = length.min(after.len());
        let body = &after[..length];
        match flag {
            b'L' => long_name = Some(text(&body[..body.len().min(HEADER_BYTES_MAX)])),
            b'K' => long_link = Some(text(&body[..body.len().min(HEADER_BYTES_MAX)])),
            b'x' | b'g' => {
                let pax = Pax::read(&body[..body.len().min(HEADER_BYTES_MAX)]);
                long_name = pax.path.or(long_name);
                long_link = pax.link.or(long_link);
                pax_size = pax.size;
            }
            _ => {
                let name = long_name.take().unwrap_or_else(|| ustar_name(header));
                let link = long_link.take().unwrap_or_else(|| text(&header[157..257]));
                crate::names::state(ctx, &name);
                match flag {
                    b'1' | b'2' => crate::names::state_link(ctx, &name, &link),
                    b'3' | b'4' | b'6' => {
                        ctx.within(&name, |ctx| ctx.fact("files/archive-device", "a device or a pipe"))
                    }
                    b'5' => {}
                    _ => {
                        // What lies behind the file's end reaches nobody; a claim beyond all measure is an attack on
                        // whoever believes it.
                        let absurd = (thing.bytes.len() as u64).saturating_mul(1024).max(1 << 36);
                        if size > length as u64 && size > absurd {
                            ctx.within(&name, |ctx| {
                                ctx.fact("files/archive-bomb", "claims to be far larger than the archive");
                            });
                        }
                        ctx.child(&name, body);
                    }
                }
            }
        }
        rest = padded.and_then(|padded| after.get(padded..)).unwrap_or_default();
    }
}

/// What a pax header overrides.
#[derive(Default)]
struct Pax {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl Pax {
    /// Records of the form `27 path=name\n`.
    fn read(mut records: &[u8]) -> Pax {
        let mut pax = Pax::default();
        while let Some(space) = memchr::memchr(b' ', records) {
            let Some(length) = std::str::from_utf8(&records[..space]).ok().and_then(|n| n.parse::<usize>().ok()) else {
                break;
            };
            let Some(record) = records.get(space + 1..length).filter(|_| length > space) else { break };
            let record = text(record);
            match record.trim_end_matches('\n').split_once('=') {
                Some(("path", value)) => pax.path = Some(value.to_owned()),
                Some(("linkpath", value)) => pax.link = Some(value.to_owned()),
                Some(("size", value)) => pax.size = value.parse().ok(),
                _ => {}
            }
            records = &records[length..];
        }
        pax
    }
}

fn ustar_name(header: &[u8]) -> String {
    let (name, prefix) = (text(&header[..100]), text(&header[345..500]));
    let is_ustar = &header[257..262] == b"ustar" && header[263] == b'0';
    if is_ustar && !prefix.is_empty() { format!("{prefix}/{name}") } else { name }
}

fn text(field: &[u8]) -> String {
    let end = memchr::memchr(0, field).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// Octal digits, or GNU's binary form with the first bit set.
fn number(field: &[u8]) -> Option<u64> {
    if field.first()? & 0x80 != 0 {
        let low = field.get(field.len() - 8..)?;
        let high = &field[1..field.len() - 8];
        return if high.iter().all(|b| *b == 0) { Some(u64::from_be_bytes(low.try_into().ok()?)) } else { None };
    }
    let digits: String = field.iter().filter(|b| b.is_ascii_digit()).map(|b| char::from(*b)).collect();
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(&digits, 8).ok() }
}

fn checksum_fits(header: &[u8]) -> bool {
    let stated = number(&header[148..156]);
    let sum: u64 =
        header.iter().enumerate().map(|(i, byte)| if (148..156).contains(&i) { 32 } else { u64::from(*byte) }).sum();
    stated == Some(sum)
}
