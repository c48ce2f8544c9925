//! Findings for a SIEM: OCSF lines into a file, to syslog, or both. The file is bounded: when full it becomes `<name>.1`
//! and a new one begins. A disk or collector that does not take a line costs that line, never a delivery.

use crate::{Detection, detections, syslog, time::now_ms};
use serde::Deserialize;
use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Lines that may wait.
const LINE_MAX: usize = 4096;
/// How often a failing way is complained of.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// `[log.findings]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FindingsConfig {
    /// OCSF lines are appended here; empty: off.
    pub file: PathBuf,
    /// Then it becomes `<file>.1`, in place of the one before.
    pub file_bytes_max: u64,
    /// `udp:host:514`, `tcp:host:601`, `unix:/dev/log`; empty: off.
    pub syslog: String,
    pub syslog_facility: u8,
    /// Evidence, file names and message ids, too.
    pub personal_data: bool,
}

impl FindingsConfig {
    pub fn check(&self) -> Result<(), crate::ConfigError> {
        if !self.syslog.is_empty() {
            syslog::Address::read("log.findings.syslog", &self.syslog)?;
        }
        if self.syslog_facility > 23 {
            return Err(crate::ConfigError::new(
                "log.findings.syslog_facility",
                "must be 0 to 23",
                "syslog_facility = 16",
            ));
        }
        if self.file_bytes_max == 0 {
            return Err(crate::ConfigError::new(
                "log.findings.file_bytes_max",
                "must not be 0",
                "file_bytes_max = 104857600",
            ));
        }
        Ok(())
    }
}

/// A line into the log; cheap to clone.
#[derive(Clone)]
pub struct FindingsLog {
    line: mpsc::Sender<(u8, String)>,
    console: String,
    personal: bool,
}

impl FindingsLog {
    /// `None`: neither a file nor syslog is configured. Needs a tokio runtime.
    pub fn start(config: &FindingsConfig, console: &str) -> Result<Option<Self>, String> {
        let syslog = match config.syslog.is_empty() {
            true => None,
            false => {
                let address = syslog::Address::read("log.findings.syslog", &config.syslog);
                Some(syslog::Sender::new(address.map_err(|error| error.to_string())?, config.syslog_facility))
            }
        };
        let file = match config.file.as_os_str().is_empty() {
            true => None,
            false => Some(LogFile::open(config.file.clone(), config.file_bytes_max)?),
        };
        if syslog.is_none() && file.is_none() {
            return Ok(None);
        }
        let (line, waiting) = mpsc::channel(LINE_MAX);
        tokio::spawn(serve(waiting, file, syslog));
        Ok(Some(FindingsLog { line, console: console.to_owned(), personal: config.personal_data }))
    }

    /// Returns at once.
    pub fn note(&self, seen: &Detection<'_>) {
        for object in detections(seen, &self.console, self.personal) {
            // OCSF's 1 (informational) to 5 (critical) as syslog's 6 to 2.
            let severity = 7u8.saturating_sub(object["severity_id"].as_u64().unwrap_or(1) as u8);
            if self.line.try_send((severity, object.to_string())).is_err() {
                count("dropped");
            }
        }
    }
}

async fn serve(mut waiting: mpsc::Receiver<(u8, String)>, mut file: Option<LogFile>, syslog: Option<syslog::Sender>) {
    let mut complained: Option<Instant> = None;
    while let Some((severity, text)) = waiting.recv().await {
        let mut trouble = None;
        if let Some(kept) = file.take() {
            let line = text.clone();
            // The disk may be slow; the task may not hold up the runtime.
            let written = tokio::task::spawn_blocking(move || {
                let mut kept = kept;
                let outcome = kept.append(&line);
                (kept, outcome)
            });
            match written.await {
                Ok((kept, outcome)) => {
                    file = Some(kept);
                    trouble = outcome.err().map(|error| error.to_string());
                }
                Err(_) => return,
            }
        }
        if let Some(syslog) = &syslog
            && let Err(error) = syslog.send(severity, now_ms(), "finding", &text).await
        {
            trouble = Some(error);
        }
        count(if trouble.is_none() { "written" } else { "failed" });
        if let Some(error) = trouble
            && complained.is_none_or(|at| at.elapsed() > COMPLAIN_EVERY)
        {
            tracing::error!(error, "findings do not reach the SIEM; mend log.findings.file or log.findings.syslog");
            complained = Some(Instant::now());
        }
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("guarita_findings_log_total", "outcome" => outcome).increment(1);
}

struct LogFile {
    path: PathBuf,
    bytes_max: u64,
    open: Option<(File, u64)>,
}

impl LogFile {
    fn open(path: PathBuf, bytes_max: u64) -> Result<Self, String> {
        let mut file = LogFile { path, bytes_max, open: None };
        let opened = file.ready().map(drop);
        opened.map_err(|error| format!("log.findings.file {}: {error}", file.path.display()))?;
        Ok(file)
    }

    fn ready(&mut self) -> std::io::Result<&mut (File, u64)> {
        if self.open.is_none() {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
            let bytes = file.metadata()?.len();
            self.open = Some((file, bytes));
        }
        Ok(self.open.as_mut().expect("it was just opened"))
    }

    fn append(&mut self, line: &str) -> std::io::Result<()> {
        let bytes = line.len() as u64 + 1;
        let max = self.bytes_max;
        if self.ready()?.1 + bytes > max {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            std::fs::rename(&self.path, old)?;
            self.open = None;
        }
        let (file, written) = self.ready()?;
        // Line and end in one write, so that a reader never sees half a line of ours behind another's.
        if let Err(error) = file.write_all(format!("{line}\n").as_bytes()) {
            self.open = None;
            return Err(error);
        }
        *written += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_bounded_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("findings.jsonl");
        let mut file = LogFile::open(path.clone(), 50).unwrap();
        for number in 0..10 {
            file.append(&format!("{{\"number\":{number:04}}}")).unwrap();
        }
        let newest = std::fs::read_to_string(&path).unwrap();
        let older = std::fs::read_to_string(folder.path().join("findings.jsonl.1")).unwrap();
        assert!(newest.len() <= 50 && older.len() <= 50 && newest.ends_with("{\"number\":0009}\n"), "{newest}{older}");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(LogFile::open(folder.path().join("no/such/folder"), 50).is_err());
    }
}
