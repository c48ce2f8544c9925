//! `guarita check-config` and `print-config`.

use crate::{
    config::{ConfigError, DEFAULT, Settings},
    rules,
};

/// Says whether the gateway would start with this configuration, and what goes where.
pub fn check_config(settings: Result<Settings, ConfigError>, file: &str) -> u8 {
    let checked = settings.and_then(|settings| {
        settings.check_for_run(file)?;
        let rules = rules::load(Some(&settings.policy.rules), settings.policy.notice_language)?;
        let policy = rules::policy(&settings)?;
        if let Some(tls) = &settings.receive.tls {
            guarita_receive::acceptor(tls).map_err(|error| ConfigError {
                at: file.to_owned(),
                problem: error.to_string(),
                mend: String::new(),
            })?;
        }
        Ok((settings, rules, policy))
    });
    match checked {
        Err(error) => {
            eprintln!("{error}");
            1
        }
        Ok((settings, rules, policy)) => {
            let tls = if settings.receive.tls.is_some() { "https" } else { "http" };
            println!("{file}: the configuration is right");
            println!("  receives   {tls}://{}{}", settings.receive.listen, settings.receive.path);
            println!("  delivers   to {}", without_secrets(&settings.backend.url));
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
            if settings.graph.access_token.is_empty() {
                println!("  note       graph.access_token is empty: attachments cannot be fetched");
            }
            0
        }
    }
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
