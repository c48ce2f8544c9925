//! Inspectors of single formats: what is dangerous inside a document, a page, an app, a picture.
//!
//! Each file here looks at one family and states facts through [`report::Report`]; what a fact means stands in
//! `rules/files/*.toml`. What being of a kind means by itself is said by `true_type`, not here. [`INSPECTORS`] is all there is: a new format is a file here, a line there, and a rule.

mod activemime;
mod apk;
mod axml;
pub(crate) mod bytes;
mod commands;
mod der;
mod html;
mod jpeg;
mod links;
mod lnk;
pub(crate) mod markup;
mod odf;
mod office_ole;
pub(crate) mod ole;
mod onenote;
mod ooxml;
mod pdf;
mod pdf_crypt;
mod pdf_filters;
pub(crate) mod pdf_syntax;
pub(crate) mod pixels;
pub(crate) mod qr;
mod report;
mod rtf;
mod samples;
mod script_text;
mod sealed;
mod shortcuts;
mod svg;
mod table;
mod vba;
mod vcard;
mod xls;
mod xml;
mod yara;
pub(crate) mod zip_parts;

pub use samples::{Failure, run_samples};

use crate::kind::{Kind, Nature};
use crate::walk::{Context, Inspector, Thing};
use guarita_rules::{RuleError, RuleSet};

/// Every format inspector, in the order they run.
pub const INSPECTORS: &[Inspector] = &[
    Inspector {
        name: "apk",
        wants: |thing| thing.kind == Kind::Apk,
        look: |thing, ctx| apk::inspect(thing.name, thing.bytes, &ctx.kit().rules.files.apps, ctx),
    },
    Inspector {
        name: "lnk",
        wants: |thing| thing.kind == Kind::Lnk,
        look: |thing, ctx| lnk::inspect(thing.bytes, ctx),
    },
    Inspector {
        name: "shortcuts",
        wants: |thing| is_shortcut(thing.kind),
        look: |thing, ctx| shortcuts::inspect(thing.kind, thing.bytes, ctx),
    },
    Inspector {
        name: "office-ole",
        wants: |thing| thing.kind.is_ole() && thing.kind != Kind::Msi && thing.kind != Kind::Msg,
        look: |thing, ctx| office_ole::inspect(thing.bytes, ctx),
    },
    Inspector {
        name: "ooxml",
        wants: |thing| thing.parent.is_some_and(Kind::is_ooxml),
        look: |thing, ctx| ooxml::inspect(thing.name, thing.bytes, ctx),
    },
    Inspector {
        name: "odf",
        wants: |thing| thing.parent == Some(Kind::OpenDocument),
        look: |thing, ctx| odf::inspect(thing.name, thing.bytes, ctx),
    },
    Inspector {
        name: "rtf",
        wants: |thing| thing.kind == Kind::Rtf,
        look: |thing, ctx| rtf::inspect(thing.bytes, ctx),
    },
    Inspector {
        name: "onenote",
        wants: |thing| thing.kind == Kind::OneNote,
        look: |thing, ctx| onenote::inspect(thing.bytes, ctx),
    },
    Inspector {
        name: "pdf",
        wants: |thing| thing.kind == Kind::Pdf,
        look: |thing, ctx| pdf::inspect(thing.bytes, ctx),
    },
    Inspector {
        name: "html",
        wants: |thing| matches!(thing.kind, Kind::Html | Kind::Mht | Kind::Hta),
        look: |thing, ctx| html::inspect(thing.bytes, ctx),
    },
    Inspector {
        name: "svg",
        wants: |thing| thing.kind == Kind::Svg,
        look: |thing, ctx| svg::inspect(thing.bytes, ctx),
    },
    Inspector {
        name: "xml",
        wants: |thing| matches!(thing.kind, Kind::Xml | Kind::Svg | Kind::Html) && !in_office(thing),
        look: |thing, ctx| xml::inspect(thing.bytes, ctx),
    },
    Inspector { name: "picture", wants: |thing| is_picture(thing.kind), look: look_picture },
    Inspector {
        name: "table",
        wants: |thing| matches!(thing.kind, Kind::Csv | Kind::Text) && !in_program(thing),
        look: |thing, ctx| table::inspect(&thing.extension(), thing.bytes, ctx),
    },
    Inspector {
        name: "sylk",
        wants: |thing| thing.kind == Kind::Sylk,
        look: |thing, ctx| table::inspect_sylk(thing.bytes, ctx),
    },
    Inspector {
        name: "sealed",
        wants: |thing| sealed::is_one(thing.bytes),
        look: |thing, ctx| sealed::inspect(thing.bytes, ctx),
    },
    Inspector {
        name: "activemime",
        wants: |thing| activemime::is_one(thing.bytes),
        look: |thing, ctx| activemime::inspect(thing.bytes, ctx),
    },
    Inspector {
        name: "text",
        wants: |thing| matches!(thing.kind, Kind::Text | Kind::Csv) && !in_office(thing),
        look: |thing, ctx| links::text(thing.bytes, ctx),
    },
    Inspector {
        name: "calendar",
        wants: |thing| thing.kind == Kind::Calendar,
        look: |thing, ctx| vcard::inspect_calendar(thing.bytes, ctx),
    },
    Inspector {
        name: "vcard",
        wants: |thing| thing.kind == Kind::Vcard,
        look: |thing, ctx| vcard::inspect(thing.bytes, ctx),
    },
    Inspector { name: "yara", wants: |thing| !thing.bytes.is_empty(), look: look_with_yara },
];

/// What format inspectors compile once from the rules, before the worker locks itself in.
pub struct Compiled {
    yara: yara::Yara,
}

impl Compiled {
    pub fn new(rules: &RuleSet) -> Result<Compiled, RuleError> {
        Ok(Compiled { yara: yara::Yara::new(&rules.yara)? })
    }
}

fn look_picture(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    pixels::judge_size(thing.bytes, ctx);
    qr::in_picture(thing.bytes, ctx);
}

fn look_with_yara(thing: &Thing<'_>, ctx: &mut Context<'_>) {
    let kit = ctx.kit();
    for finding in kit.compiled.yara.matches(thing.bytes, kit.rules.language, ctx) {
        ctx.finding(finding);
    }
}

fn is_picture(kind: Kind) -> bool {
    matches!(kind, Kind::Png | Kind::Jpeg | Kind::Webp | Kind::Gif | Kind::Bmp)
}

fn is_shortcut(kind: Kind) -> bool {
    use Kind::*;
    matches!(
        kind,
        UrlShortcut | DesktopEntry | Webloc | Scf | Inf | Reg | SettingContent | LibraryMs | Jnlp | Rdp | ClickOnce
    )
}

fn in_office(thing: &Thing<'_>) -> bool {
    thing.parent.is_some_and(|parent| parent.is_ooxml() || parent == Kind::OpenDocument)
}

fn in_program(thing: &Thing<'_>) -> bool {
    thing.parent.is_some_and(|parent| parent.nature() == Nature::Program)
}
