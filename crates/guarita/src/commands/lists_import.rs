//! `guarita lists import`: a feed in one of the usual formats becomes a plain list in the lists folder, whole or not at all.

use crate::{config::Settings, lists};
use clap::{Args, ValueEnum};
use guarita_inspect::links::{Feed, ListKind, ListSide, parse_feed};
use std::{io::Write as _, path::PathBuf};

#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The feed: URLhaus CSV, OpenPhish text, PhishTank JSON or CSV, a hosts file, MISP, adblock, or plain lines.
    pub feed: PathBuf,
    /// Which way its entries speak.
    #[arg(long = "as", value_enum, default_value_t = Side::Deny)]
    pub side: Side,
    /// Name of the list; the feed's file name by default.
    #[arg(long)]
    pub name: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Side {
    Allow,
    Deny,
    Malware,
}

pub fn import(args: &ImportArgs, settings: &Settings) -> u8 {
    let folder = &settings.policy.lists;
    if folder.as_os_str().is_empty() {
        eprintln!("guarita lists import: policy.lists is empty\n  mend: in [policy]: lists = \"/etc/guarita/lists\"");
        return 64;
    }
    match write(args, folder) {
        Ok((path, entries, skipped)) => {
            println!(
                "{}: {entries} entries, {skipped} lines left out; a running gateway takes them within 15 s",
                path.display()
            );
            0
        }
        Err(error) => {
            eprintln!("guarita lists import: {error}");
            1
        }
    }
}

fn write(args: &ImportArgs, folder: &std::path::Path) -> std::io::Result<(PathBuf, usize, usize)> {
    let bytes = std::fs::read(&args.feed)?;
    let side = match args.side {
        Side::Allow => ListSide::Allow,
        Side::Deny => ListSide::Deny,
        Side::Malware => ListSide::DenyMalware,
    };
    let parsed = parse_feed(Feed::detect(&bytes), side, &bytes);
    // What a feed says of itself counts: everything in URLhaus spreads malware, and no allow entry outweighs that.
    let prefix = match parsed.entries.first().map_or(side, |entry| entry.side) {
        ListSide::Allow => "allow",
        ListSide::Deny => "deny",
        ListSide::DenyMalware => "malware",
    };
    if parsed.entries.is_empty() {
        return Err(std::io::Error::other("no entry was found in it; is it one of the formats that --help names?"));
    }
    let stem =
        args.name.clone().unwrap_or_else(|| args.feed.file_stem().unwrap_or_default().to_string_lossy().into_owned());
    let stem: String = stem.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).take(60).collect();
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{prefix}-{stem}.txt"));
    debug_assert!(lists::side_of(&format!("{prefix}-{stem}.txt")).is_some());
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    for entry in &parsed.entries {
        let kind = match entry.kind {
            ListKind::Domain => "domain",
            ListKind::Host => "host",
            ListKind::UrlPrefix => "url",
            ListKind::Hash => "sha256",
        };
        writeln!(file, "{kind} {}", entry.value)?;
    }
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok((path, parsed.entries.len(), parsed.skipped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use guarita_inspect::{Lists, links::ListHit};

    /// Imports `feed` and an allow entry for the same host, and says what the lists then make of `url`.
    fn imported(name: &str, feed: &str, url: &str) -> (String, ListHit) {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join(name);
        std::fs::write(&source, feed).unwrap();
        let lists = folder.path().join("lists");
        let args = ImportArgs { feed: source, side: Side::Deny, name: None };
        let (path, ..) = write(&args, &lists).unwrap();
        std::fs::write(lists.join("allow-ours.txt"), "host evil.example.com\n").unwrap();
        let loaded = crate::lists::load(&lists, &[]).unwrap().map(|loaded| loaded.lists);
        let hit = loaded.as_deref().unwrap_or(&Lists::default()).look_up_url(url);
        (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), hit)
    }

    #[test]
    fn an_allow_list_outweighs_a_feed_of_phishing_but_not_one_of_malware() {
        let url = "http://evil.example.com/a.exe";
        let urlhaus = "# urlhaus\n# id,dateadded,url\n\"1\",\"2026-01-01\",\"http://evil.example.com/a.exe\"\n";
        assert_eq!(imported("urlhaus.csv", urlhaus, url), ("malware-urlhaus.txt".into(), ListHit::DeniedMalware));
        assert_eq!(
            imported("feed.txt", "http://evil.example.com/a.exe\n", url),
            ("deny-feed.txt".into(), ListHit::Allowed)
        );
        assert_eq!(imported("feed.txt", "http://other.example.com/a\n", url).1, ListHit::Allowed);
    }
}
