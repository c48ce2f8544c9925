//! What an archive holds: walked as a look walks it, with the unpackers alone and one more inspector that takes notes.

use crate::archives;
use crate::archives::zip::Zip;
use crate::kind::{self, Kind, Nature};
use crate::walk::{Context, Inspector, Thing};
use crate::{Job, Kit};
use guarita_message::{Finding, GapReason, Member, Preview, Shown};

const LISTS: &[&[Inspector]] = &[&[Inspector { name: "note", wants: is_noted, look: note }], archives::INSPECTORS];

/// Archives, disk images, mail with attachments, and programs that are a zip: all that has members worth naming.
pub(super) fn is_tree(kind: Kind) -> bool {
    kind.is_zip()
        || matches!(kind, Kind::Msg | Kind::Tnef | Kind::Deb | Kind::Rpm | Kind::Xar | Kind::ChromeExtension)
        || matches!(kind.nature(), Nature::Archive | Nature::DiskImage)
}

/// Documents and programs are named; what they are packed of says nothing to a person.
fn is_noted(thing: &Thing<'_>) -> bool {
    thing.depth > 0
        && thing.parent.is_none_or(|parent| {
            thing.depth == 1 || !parent.is_zip() || matches!(parent, Kind::Zip | Kind::Ipa | Kind::MacApp)
        })
}

fn note(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    if ctx.members.len() <= Preview::MEMBERS_MAX {
        ctx.members.push(Member {
            name: name(thing.name),
            depth: u32::try_from(thing.depth.saturating_sub(1)).unwrap_or(u32::MAX),
            true_type: thing.kind.mime().to_owned(),
            bytes: thing.bytes.len() as u64,
            closed: None,
        });
    }
}

pub(super) fn list(input: &[u8], job: &Job, kit: &Kit) -> Result<Shown, GapReason> {
    let mut context = Context::new(job, kit, LISTS, input.len() as u64);
    let kind = context.walk(&job.name, &job.declared_type, input);
    let seen = context.finish(kind);
    let mut members = seen.members;
    if kind.is_zip() {
        name_the_closed(input, &mut members);
    }
    let cut = members.len() > Preview::MEMBERS_MAX || seen.gaps.iter().any(|gap| gap.reason == GapReason::Limits);
    members.truncate(Preview::MEMBERS_MAX);
    match (members.is_empty(), seen.gaps.first()) {
        (true, Some(gap)) => Err(gap.reason),
        _ => Ok(Shown::Members { members, cut }),
    }
}

/// A zip names its entries in plain, also those that no password opened.
fn name_the_closed(input: &[u8], members: &mut Vec<Member>) {
    let zip = Zip::open(input);
    let closed = zip.entries().iter().filter(|entry| entry.is_encrypted() && !entry.is_folder());
    for entry in closed.take(Preview::MEMBERS_MAX + 1) {
        let name = name(&entry.name);
        if !members.iter().any(|member| member.depth == 0 && member.name == name) {
            let (true_type, closed) = (String::new(), Some(GapReason::Encrypted));
            members.push(Member { name, depth: 0, true_type, bytes: entry.unpacked, closed });
        }
    }
}

fn name(name: &str) -> String {
    let shown = Finding::evidence_of(name);
    let name: String = shown.chars().take(Preview::NAME_CHARS_MAX).collect();
    if name.is_empty() { format!("({})", kind::Kind::Unknown.mime()) } else { name }
}
