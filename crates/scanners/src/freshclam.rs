//! Keeps the database fresh by running freshclam once in a while. It is a convenience: that it fails is a warning and a
//! line in the status, never a reason not to scan with what is there.

use crate::{
    Config,
    database::{now_seconds, replace_file},
    managed::home::{Home, Identity, find_program},
    status::FreshclamStatus,
};
use std::{io, path::Path, process::Stdio, time::Duration};
use tokio::{io::AsyncReadExt, process::Command, time::timeout};

/// Bytes of its output that are kept to say why it failed.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// Runs freshclam at start and then every `hours`; `report` hears of each step. Ends at once where it has no work.
pub(crate) async fn keep_fresh(config: Config, home: &Home, report: impl Fn(FreshclamStatus)) {
    let off = |why: &str| report(FreshclamStatus::Off { why: why.to_owned() });
    if !config.freshclam.enabled {
        return off("turned off by clamav.freshclam.enabled");
    }
    let Some(program) = find_program(&config.freshclam.freshclam, "freshclam") else {
        return off("freshclam is not installed: `apt install clamav-freshclam`");
    };
    if !config.database.is_dir() {
        return off("the folder clamav.database does not exist");
    }
    if !home.identity.can_write(&config.database) {
        return off("the folder clamav.database is not ours to write");
    }
    let settings = home.folder.join("freshclam.conf");
    let text = configuration(&config, &home.identity);
    let written = replace_file(&settings, text.as_bytes()).and_then(|()| home.identity.may_read(&settings));
    if let Err(error) = written {
        return off(&format!("its configuration cannot be written: {error}"));
    }
    loop {
        report(FreshclamStatus::Running);
        let limit = Duration::from_secs(config.freshclam.run_minutes_max * 60);
        let outcome = match timeout(limit, run(&program, &settings, &home.identity)).await {
            Ok(Ok(())) => FreshclamStatus::Updated { at: now_seconds() },
            Ok(Err(error)) => FreshclamStatus::Failed { at: now_seconds(), why: error.to_string() },
            Err(_) => {
                let why = "it did not finish within clamav.freshclam.run_minutes_max".to_owned();
                FreshclamStatus::Failed { at: now_seconds(), why }
            }
        };
        match &outcome {
            FreshclamStatus::Failed { why, .. } => tracing::warn!(%why, "freshclam could not update the signatures"),
            _ => tracing::info!("freshclam: the signatures are up to date"),
        }
        report(outcome);
        tokio::time::sleep(Duration::from_secs(config.freshclam.hours * 3600)).await;
    }
}

fn configuration(config: &Config, identity: &Identity) -> String {
    let mut text = format!(
        "# Written by guarita at each start; changes are lost.\n\
         DatabaseDirectory {}\nDatabaseMirror {}\nMaxAttempts 1\nConnectTimeout 10\nReceiveTimeout 120\n\
         ScriptedUpdates yes\nTestDatabases yes\nCompressLocalDatabase no\nLogSyslog no\n",
        config.database.display(),
        config.freshclam.mirror,
    );
    if let Identity::Lower { name, .. } = identity {
        text.push_str(&format!("DatabaseOwner {name}\n"));
    }
    text
}

/// One run; the child is killed if this is dropped.
async fn run(program: &Path, settings: &Path, identity: &Identity) -> io::Result<()> {
    let mut command = Command::new(program);
    command
        .arg(format!("--config-file={}", settings.display()))
        .arg("--stdout")
        .arg("--no-warnings")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .current_dir("/")
        .kill_on_drop(true);
    if let Identity::Lower { uid, gid, .. } = identity {
        command.uid(*uid).gid(*gid);
    }
    let mut child = command.spawn()?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = stdout;
        (&mut stdout).take(OUTPUT_BYTES_MAX).read_to_end(&mut output).await?;
        // What is beyond the bound is read and forgotten, so that the child does not block.
        tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await?;
    }
    let status = child.wait().await?;
    if status.success() {
        return Ok(());
    }
    Err(io::Error::other(why(&String::from_utf8_lossy(&output), status)))
}

/// Its own words for a failure, kept short: the first complaint is the cause, the rest follows from it.
fn why(output: &str, status: std::process::ExitStatus) -> String {
    let errors = output.lines().find(|line| line.contains("ERROR") || line.contains("Can't"));
    let line = errors.or_else(|| output.lines().rev().find(|line| !line.trim().is_empty()));
    let text: String = line.unwrap_or("it said nothing").chars().filter(|c| !c.is_control()).take(200).collect();
    if text.contains("locked by another process") {
        return "another freshclam keeps this database; turn clamav.freshclam.enabled off".into();
    }
    format!("{status}: {}", text.trim())
}
