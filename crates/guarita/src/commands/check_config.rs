//! `guarita check-config` and `print-config`.

use crate::{
    config::{ConfigError, DEFAULT, Settings},
    routes::{Backends, Plan},
    rules,
};
use guarita_receive::Proof;

/// Says whether the gateway would start with this configuration, and what goes where.
pub fn check_config(settings: Result<Settings, ConfigError>, file: &str) -> u8 {
    let checked = settings.and_then(|settings| {
        settings.check_for_run(file)?;
        let rules = rules::load(Some(&settings.policy.rules), settings.policy.notice_language)?;
        let policy = rules::policy(&settings)?;
        let plan = Plan::of(&settings, file)?;
        plan.settings(&Backends::default())?;
        if let Some(tls) = &settings.receive.tls {
            guarita_receive::acceptor(tls).map_err(|error| ConfigError {
                at: file.to_owned(),
                problem: error.to_string(),
                mend: String::new(),
            })?;
        }
        Ok((settings, rules, policy, plan))
    });
    match checked {
        Err(error) => {
            eprintln!("{error}");
            1
        }
        Ok((settings, rules, policy, plan)) => {
            let tls = if settings.receive.tls.is_some() { "https" } else { "http" };
            println!("{file}: the configuration is right");
            println!("  receives   {tls}://{}{}", settings.receive.listen, settings.receive.path);
            if settings.routes.is_empty() {
                println!("  delivers   to {}", without_secrets(&settings.backend.url));
            }
            println!(
                "  media      {}",
                if settings.media.enabled { settings.media.public_url.as_str() } else { "off" }
            );
            println!("  console    http://{}", settings.console.listen);
            println!("  storage    {}", settings.storage.path.display());
            let clamav = match &settings.clamav.address {
                guarita_scanners::Addresses::Managed => "managed: a clamd of our own".to_owned(),
                guarita_scanners::Addresses::Several(list) => {
                    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", then ")
                }
            };
            println!("  clamav     {clamav}");
            println!("  rules      {} rules, version {}", rules.all().len(), rules.version);
            println!("  policy     {} lines", policy.lines.len());
            if settings.routes.is_empty() && settings.graph.access_token.is_empty() {
                println!("  note       graph.access_token is empty: attachments cannot be fetched");
            }
            if !settings.routes.is_empty() {
                print!("{}", what_goes_where(&settings, &plan));
            }
            0
        }
    }
}

/// The routes in the order in which they are asked, each with what it takes and where that goes.
fn what_goes_where(settings: &Settings, plan: &Plan) -> String {
    use std::fmt::Write as _;
    let mut text = format!("\n  {} routes; the first that fits takes the update:\n", plan.routes.len());
    if plan.routes.iter().any(|route| route.telegram.is_some()) {
        let telegram = &settings.telegram;
        let kept = if telegram.keep_webhook { "kept" } else { "may be set by bots" };
        let _ = writeln!(text, "  (bots at {}; their webhook is {kept})", without_secrets(&telegram.api_url));
    }
    for (number, route) in plan.routes.iter().enumerate() {
        let door = &route.door;
        let mut wishes = Vec::new();
        for (name, values) in [
            ("object", &door.wishes.object),
            ("number", &door.wishes.account),
            ("account", &door.wishes.entry_id),
            ("field", &door.wishes.field),
        ] {
            if !values.is_empty() {
                wishes.push(format!("{name} {}", values.join("|")));
            }
        }
        let proof = match (&door.proof, &route.telegram) {
            (Proof::TelegramToken(_), _) => format!("bot {}", door.account),
            (Proof::AppSecret(_), _) => {
                // Not the secret: which of the path's apps it is.
                let mut secrets: Vec<&Proof> = Vec::new();
                for other in plan.routes.iter().filter(|other| other.door.path == door.path) {
                    if matches!(other.door.proof, Proof::AppSecret(_)) && !secrets.contains(&&other.door.proof) {
                        secrets.push(&other.door.proof);
                    }
                }
                let at = secrets.iter().position(|proof| **proof == door.proof).map_or(0, |at| at + 1);
                format!("app {at} of {}", secrets.len())
            }
        };
        let wishes = if wishes.is_empty() { "everything".to_owned() } else { wishes.join(", ") };
        let _ = writeln!(text, "  {:>4}. {:<16} {} ({proof}): {wishes}", number + 1, door.name, door.path);
        for backend in &route.backends {
            let split = if backend.split { "one message a POST" } else { "a conversation's messages together" };
            let _ = writeln!(
                text,
                "        {:<16} -> {}  ({split}; annotation {:?}, withheld as {:?})",
                "",
                without_secrets(&backend.url),
                backend.annotate,
                backend.withheld_as
            );
        }
        if let Some(keep) = route.keep {
            let days = |millis: u64| millis / (24 * 3600 * 1000);
            let (content, quarantine) = (days(keep.content), days(keep.quarantine));
            let _ = writeln!(text, "        {:<16}    kept {content} days, quarantined {quarantine} days", "");
        }
        let media = route.telegram.as_ref().map_or(&route.graph_token, |bot| &bot.token);
        if media.is_empty() && !door.wishes.object.iter().all(|object| matches!(object.as_str(), "page" | "instagram"))
        {
            let _ =
                writeln!(text, "        {:<16}    note: no access_token: WhatsApp's attachments cannot be fetched", "");
        }
    }
    let rest = match settings.receive.unmatched {
        guarita_receive::Unmatched::Refuse => {
            "refused: answered 200, counted, not stored (receive.unmatched = \"park\" keeps it)"
        }
        guarita_receive::Unmatched::Park => "parked: quarantined, for a person to look at",
    };
    let _ = writeln!(text, "     *. anything else    {rest}");
    text
}

pub fn print_config() -> u8 {
    print!("{DEFAULT}");
    0
}

/// A url without user info and query, which may hold tokens.
pub fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}
