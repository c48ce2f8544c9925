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
    let (prefix, side) = match args.side {
        Side::Allow => ("allow", ListSide::Allow),
        Side::Deny => ("deny", ListSide::Deny),
        Side::Malware => ("malware", ListSide::DenyMalware),
    };
    let parsed = parse_feed(Feed::detect(&bytes), side, &bytes);
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
