//! A preview as a page shows it: a picture of our own making, text as text, a list. None of it is a link, none is markup.

use super::{evidence, show, words::Words};
use crate::picture;
use guarita_message::{Member, Preview, Shown};
use maud::{Markup, html};

/// Steps that a list is set in; deeper ones stand as deep.
const DEPTH_SHOWN_MAX: u32 = 6;

pub fn preview(words: &Words, preview: &Preview) -> Markup {
    html! {
        div class="stack" role="group" aria-label=(words.t("preview.title")) {
            @match &preview.shown {
                Shown::Picture { width, height, pixels } => {
                    img class="preview" width=(width) height=(height) alt=(words.t("preview.picture"))
                        src={ "data:image/png;base64," (picture::png_base64(*width, *height, pixels)) };
                    p class="small muted" { (words.t("preview.drawn")) }
                }
                Shown::Text { text, .. } if text.trim().is_empty() => p class="muted" { (words.t("preview.empty")) },
                Shown::Text { text, cut } => {
                    pre class="preview-text" tabindex="0" role="region" aria-label=(words.t("preview.title")) dir="auto" { (evidence::plain(words, text)) }
                    @if *cut { p class="small muted" { (words.t("preview.cut")) } }
                }
                Shown::Members { members, cut } => {
                    p class="small muted" { (words.count("preview.members", members.len() as u64)) @if *cut { " · " (words.t("preview.cut")) } }
                    ol class="members" { @for one in members { (member(words, one)) } }
                }
                Shown::Nothing { why } => p class="row" { (show::mark("warn", words.t("preview.none"))) span { (words.of("no_preview", why.as_str())) } },
            }
        }
    }
}

fn member(words: &Words, member: &Member) -> Markup {
    html! {
        li class={ "d" (member.depth.min(DEPTH_SHOWN_MAX)) } {
            bdi { (evidence::visible(&member.name)) }
            span class="small muted nowrap" { (words.bytes(member.bytes)) }
            @match member.closed {
                Some(why) => (show::mark("warn", &words.of("gap", why.as_str()))),
                None => code class="small" { (evidence::visible(&member.true_type)) },
            }
        }
    }
}
