//! What the learned score is trained on: reads links, a line each, from standard input and writes, into the folder
//! named first, `counts.u32`, `channels.u8`, `hashes.u32` (n-grams of all links, one after the other), `features.f32`
//! (a row a link) and `bands.u8` (what the rules alone make of it: the worst severity, 5 for a program and nothing worse). Prints the names of the features. `training/links/train.py` runs it, so that
//! training and judging share one piece of code.

use guarita_inspect::links::{FEATURES, learning_input};
use guarita_inspect::{LinkContext, inspect_link};
use guarita_message::{Category, Severity};
use guarita_rules::{Language, RuleFile, RuleSet};
use std::io::{BufRead, BufWriter, Write};
use std::{fs::File, path::Path};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let out = args.next().ok_or("usage: link_features OUT-FOLDER RULES-FOLDER < links")?;
    let rules = args.next().ok_or("usage: link_features OUT-FOLDER RULES-FOLDER < links")?;
    let mut files = Vec::new();
    for folder in ["links", "lists"] {
        for entry in std::fs::read_dir(Path::new(&rules).join(folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // The weights are what is being learned.
            if name != "model.bin" {
                files.push(RuleFile { path: format!("{folder}/{name}"), bytes: std::fs::read(entry.path())? });
            }
        }
    }
    let rules = RuleSet::compile(files, Language::English)?;
    let open = |name: &str| File::create(Path::new(&out).join(name)).map(BufWriter::new);
    let (mut counts, mut channels, mut hashes, mut rows, mut bands) =
        (open("counts.u32")?, open("channels.u8")?, open("hashes.u32")?, open("features.f32")?, open("bands.u8")?);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        bands.write_all(&[band(&line, &rules)])?;
        let (grams, row) = learning_input(&line, &rules);
        counts.write_all(&u32::try_from(grams.len())?.to_le_bytes())?;
        for (channel, hash) in grams {
            channels.write_all(&[u8::try_from(channel)?])?;
            hashes.write_all(&hash.to_le_bytes())?;
        }
        for value in row {
            rows.write_all(&value.to_le_bytes())?;
        }
    }
    for mut file in [counts, channels, hashes, rows, bands] {
        file.flush()?;
    }
    let mut names = std::io::stdout().lock();
    writeln!(names, "{}", FEATURES.join("\n"))?;
    Ok(())
}

fn band(url: &str, rules: &RuleSet) -> u8 {
    let seen = inspect_link(url, "", None, &LinkContext::default(), rules, None);
    let spoken = || seen.findings.iter().filter(|f| !f.shadow);
    let worst = spoken().map(|f| f.severity).max();
    let only_a_program =
        spoken().filter(|f| f.severity == Severity::High).all(|f| f.category == Category::ExecutableLink);
    match worst {
        None | Some(Severity::Info) => 0,
        Some(Severity::Low) => 1,
        Some(Severity::Medium) => 2,
        Some(Severity::High) if only_a_program => 5,
        Some(Severity::High) => 3,
        Some(Severity::Critical) => 4,
    }
}
