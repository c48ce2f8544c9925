//! What stands around every page: head, side bar, messages of what was just done, the help on keys.

use super::{
    assets, show,
    words::{Spoken, Words},
};
use crate::actor::{Actor, Role, Scope};
use guarita_message::Language;
use maud::{DOCTYPE, Markup, html};

/// Light, dark, or as the system has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub const ALL: [Theme; 3] = [Theme::System, Theme::Light, Theme::Dark];

    pub fn as_str(self) -> &'static str {
        match self {
            Theme::System => "system",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    pub fn from_word(word: &str) -> Theme {
        Theme::ALL.into_iter().find(|theme| theme.as_str() == word).unwrap_or_default()
    }
}

/// What each page needs to know of who looks at it and how.
pub struct Look {
    pub words: &'static Words,
    pub theme: Theme,
    pub actor: Actor,
    pub role: Role,
    /// Goes into every form.
    pub csrf: String,
    pub now_ms: u64,
    /// Shown in the side bar: what wants a person.
    pub held: u64,
    pub dead: u64,
    /// What was just done; a name in the word list's `done`.
    pub done: Option<String>,
    /// What went wrong with what was just tried.
    pub problem: Option<String>,
}

impl Look {
    pub fn may(&self, scope: Scope) -> bool {
        self.actor.may(scope)
    }

    /// The hidden field that shows a form to be ours.
    pub fn token(&self) -> Markup {
        html! { input type="hidden" name="csrf" value=(self.csrf); }
    }
}

/// The places of the side bar: name of icon and words, address, what one needs for it.
const PLACES: &[(&str, &str, Scope)] = &[
    ("overview", "/", Scope::Read),
    ("messages", "/messages", Scope::Read),
    ("quarantine", "/quarantine", Scope::Read),
    ("deliveries", "/deliveries", Scope::Read),
    ("rules", "/rules", Scope::Read),
    ("lists", "/lists", Scope::Read),
    ("health", "/health", Scope::Read),
    ("audit", "/audit", Scope::Admin),
    ("people", "/people", Scope::Admin),
];

/// The whole page. `place` is one of the side bar's.
pub fn page(look: &Look, place: &str, title: &str, body: Markup) -> Markup {
    let words = look.words;
    document(
        words,
        look.theme,
        title,
        html! {
            a class="skip" href="#page" { (words.t("nav.skip")) }
            div class="house" {
                header class="side" { div class="side-in" {
                    a class="brand" href="/" { (show::icon("brand")) "Guarita" }
                    button class="menu-button" type="button" popovertarget="nav" { (show::icon("menu")) (words.t("nav.menu")) }
                    (navigation(look, place))
                } }
                main class="page" id="page" tabindex="-1" {
                    @if let Some(done) = &look.done {
                        div class="banner good" role="status" { (show::icon("ok")) p { (words.of("done", done)) } }
                    }
                    @if let Some(problem) = &look.problem {
                        div class="banner bad" role="alert" { (show::icon("bad")) p { (problem) } }
                    }
                    (body)
                }
            }
            (keys(words))
        },
    )
}

fn navigation(look: &Look, place: &str) -> Markup {
    let words = look.words;
    html! {
        nav class="nav" id="nav" popover="auto" aria-label=(words.t("nav.main")) {
            ul {
                @for (name, address, _) in PLACES.iter().filter(|(_, _, scope)| look.may(*scope)) {
                    @if *name == "health" { li class="break" aria-hidden="true" {} }
                    li { a href=(address) aria-current=[(*name == place).then_some("page")] data-place=(name) {
                        (show::icon(name)) (words.of("nav", name))
                        @match *name {
                            "quarantine" if look.held > 0 => (count(words, look.held, "nav.held")),
                            "deliveries" if look.dead > 0 => (count(words, look.dead, "nav.dead")),
                            _ => {}
                        }
                    } }
                }
            }
            div class="who" {
                ul { li { a href="/account" aria-current=[(place == "account").then_some("page")] data-place="account" {
                    (show::icon("account")) span class="grow" { (look.actor.name) br; small class="muted" { (words.of("role", look.role.as_str())) } }
                } } }
                div class="row apart" {
                    form method="post" action="/logout" { (look.token()) button class="link" { (words.t("nav.log_out")) } }
                    button type="button" class="link" popovertarget="keys" { (words.t("nav.keys")) " " kbd { "?" } }
                }
            }
        }
    }
}

fn count(words: &Words, n: u64, key: &str) -> Markup {
    html! { span class="count wants" { (words.number(n)) span class="hidden-visually" { " " (words.of("nav", key.trim_start_matches("nav."))) } } }
}

/// A page without a side bar: log-in, set-up, an error.
pub fn door(words: &Words, theme: Theme, title: &str, body: Markup) -> Markup {
    document(
        words,
        theme,
        title,
        html! {
            main class="door" id="page" {
                p class="brand" { (show::icon("brand")) "Guarita" }
                (body)
                nav class="row small" aria-label=(words.t("nav.language")) {
                    @for language in Language::ALL.iter().copied() {
                        a href={ "?lang=" (language.as_str()) } lang=(language.as_str()) hreflang=(language.as_str())
                            aria-current=[(language == words.language).then_some("true")] { (language.name()) }
                    }
                }
            }
        },
    )
}

fn document(words: &Words, theme: Theme, title: &str, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang=(words.language.as_str()) data-theme=[(theme != Theme::System).then_some(theme.as_str())] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Some phones make links of numbers and addresses by themselves.
                meta name="format-detection" content="telephone=no, date=no, email=no, address=no";
                meta name="robots" content="noindex, nofollow";
                title { (title) " · Guarita" }
                link rel="icon" href=(assets::ICON.url()) type="image/svg+xml";
                link rel="stylesheet" href=(assets::STYLE.url());
                script src=(assets::SCRIPT.url()) defer {}
            }
            body { (body) }
        }
    }
}

/// Every key there is; the script knows the same ones.
fn keys(words: &Words) -> Markup {
    let all: [(&[&str], &str); 10] = [
        (&["?"], words.t("keys.help")),
        (&["/"], words.t("keys.search")),
        (&["j", "k"], words.t("keys.move")),
        (&["Enter"], words.t("keys.open")),
        (&["u"], words.t("keys.up")),
        (&["r"], words.t("keys.release")),
        (&["c"], words.t("keys.contents")),
        (&["n"], words.t("keys.older")),
        (&["g", "o m q d"], words.t("keys.go")),
        (&["Esc"], words.t("keys.close")),
    ];
    show::dialog(
        words,
        "keys",
        words.t("keys.title"),
        html! {
            dl class="keys stack" {
                @for (keys, meaning) in all {
                    dt { @for key in keys { kbd { (key) } " " } }
                    dd { (meaning) }
                }
            }
        },
    )
}
