//! The clamd.conf of our own clamd: its limits follow ours, and what it skips it must say.

use super::home::{Home, Identity};
use crate::Config;
use std::path::Path;

/// clamd answers with `MaxScanTime` this long before we would stop waiting: an answer says more than a time-out.
const ANSWER_AHEAD_MILLIS: u64 = 2_000;
/// Threads beside the scans: the self-test, VERSION, RELOAD.
const EXTRA_THREADS: usize = 2;
/// Loading a second database beside the first takes about 1.3 GB with the official one.
const CONCURRENT_RELOAD_BYTES: u64 = 4 << 30;

/// The whole file.
pub(crate) fn settings(config: &Config, home: &Home, database: &Path) -> String {
    let managed = &config.managed;
    let threads = config.slots() + EXTRA_THREADS;
    let queue = threads * 2 + 16;
    let scan_millis = (config.scan_seconds_max * 1000).saturating_sub(ANSWER_AHEAD_MILLIS).max(1000);
    let concurrent = managed.concurrent_reload.unwrap_or_else(|| memory_available() > CONCURRENT_RELOAD_BYTES);
    let yes_no = |yes| if yes { "yes" } else { "no" };
    format!(
        "# Written by guarita at each start; changes are lost. See the tables [clamav] and [clamav.managed].
LocalSocket {socket}
LocalSocketMode 600
FixStaleSocket yes
DatabaseDirectory {database}
TemporaryDirectory {temporary}
Foreground yes
LogSyslog no
LogClean no
# Guarita watches the folder and sends RELOAD, so that it knows which signatures looked at what.
SelfCheck 0
ConcurrentDatabaseReload {concurrent}
{idle}ExitOnOOM yes
MaxThreads {threads}
MaxQueue {queue}
CommandReadTimeout 10
ReadTimeout 30
# Our limits. What exceeds them is told (AlertExceedsMax) and becomes a gap, never \"clean\".
StreamMaxLength {file_bytes}
# A zip member larger than MaxFileSize is cut there and called clean if nothing matches. As large as MaxScanSize, what is
# cut exceeds that too, which is told.
MaxFileSize {scan_bytes}
MaxScanSize {scan_bytes}
MaxRecursion {recursion}
MaxFiles {files}
MaxScanTime {scan_millis}
PCREMaxFileSize {pcre}
AlertExceedsMax yes
# What cannot be opened is told and becomes a gap `encrypted`.
AlertEncryptedArchive yes
AlertEncryptedDoc yes
# Macros and broken files are judged by Guarita's own inspectors; clamd reports one name a file, and \"it has macros\"
# would stand where a limit or an encrypted member should be told.
AlertOLE2Macros no
AlertBrokenExecutables no
AlertBrokenMedia no
DetectPUA no
# Real malware is reported before any heuristic.
HeuristicAlerts yes
HeuristicScanPrecedence no
Bytecode yes
BytecodeSecurity TrustSigned
AllowAllMatchScan no
",
        socket = home.socket().display(),
        database = database.display(),
        temporary = home.temporary().display(),
        concurrent = yes_no(concurrent),
        // Loading in place waits until every idle thread has ended, and no scan is answered meanwhile.
        idle = if concurrent { "" } else { "IdleTimeout 1\n" },
        file_bytes = config.file_bytes_max,
        scan_bytes = managed.scan_bytes_max.max(config.file_bytes_max),
        recursion = managed.recursion_max,
        files = managed.files_max,
        pcre = managed.pcre_bytes_max,
    )
}

/// Writes it where clamd reads it.
pub(crate) fn write(config: &Config, home: &Home, database: &Path) -> std::io::Result<()> {
    crate::database::replace_file(&home.settings(), settings(config, home, database).as_bytes())?;
    home.identity.may_read(&home.settings())
}

/// Writes the bundled test set where clamd reads it.
pub(crate) fn write_test_signatures(home: &Home) -> std::io::Result<()> {
    let folder = home.test_signatures();
    crate::test_set::write(&folder)?;
    if home.identity != Identity::Ours {
        home.identity.may_read(&folder)?;
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            // What is linked is the operator's, and stays as it is.
            if entry.file_type()?.is_file() {
                home.identity.may_read(&entry.path())?;
            }
        }
    }
    Ok(())
}

/// Puts links to an operator's own signatures beside the test set, and takes away those whose file is gone.
pub(crate) fn link_signatures(home: &Home, database: &Path) -> std::io::Result<()> {
    let folder = home.test_signatures();
    let database = std::fs::canonicalize(database)?;
    let wanted = crate::database::loadable(&database);
    for entry in std::fs::read_dir(&folder)? {
        let entry = entry?;
        let stays = entry.file_name().to_str().is_some_and(|name| wanted.iter().any(|wanted| wanted == name));
        if entry.file_type()?.is_symlink() && !stays {
            std::fs::remove_file(entry.path())?;
        }
    }
    for name in wanted {
        match std::os::unix::fs::symlink(database.join(&name), folder.join(&name)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What the machine, or the container, has left; 0 where it is not known.
fn memory_available() -> u64 {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let machine = read("/proc/meminfo");
    let line = machine.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kilobytes: u64 = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    let number = |path| read(path).trim().parse::<u64>().ok();
    let group = match (number("/sys/fs/cgroup/memory.max"), number("/sys/fs/cgroup/memory.current")) {
        (Some(max), Some(used)) => max.saturating_sub(used),
        _ => u64::MAX,
    };
    (kilobytes * 1024).min(group)
}
