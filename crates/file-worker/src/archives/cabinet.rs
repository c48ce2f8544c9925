//! Microsoft cabinets; a split or InstallShield one is said to be such.

use crate::walk::{Context, Thing};
use guarita_message::{FileClass, GapReason};
use std::io::Cursor;

pub(super) fn look(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    if !thing.bytes.starts_with(b"MSCF") {
        return ctx.gap_of(GapReason::Unsupported, "an InstallShield cabinet", FileClass::Archive);
    }
    let mut cabinet = match cab::Cabinet::new(Cursor::new(thing.bytes)) {
        Ok(cabinet) => cabinet,
        Err(_) => return ctx.gap_of(GapReason::Corrupt, "the cabinet's header is damaged", FileClass::Archive),
    };
    let names: Vec<String> = cabinet
        .folder_entries()
        .flat_map(|folder| folder.file_entries().map(|file| file.name().to_owned()).collect::<Vec<_>>())
        .take(ctx.limits().entries_max + 1)
        .collect();
    for name in names {
        if ctx.stop() {
            return;
        }
        match cabinet.read_file(&name) {
            Ok(mut reader) => ctx.unpack(&name, thing.bytes.len() as u64, &mut reader),
            Err(_) => {
                crate::names::state(ctx, &name);
                ctx.within(&name, |ctx| ctx.gap_of(GapReason::Corrupt, "cannot be unpacked", FileClass::Archive));
            }
        }
    }
}
