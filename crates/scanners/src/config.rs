//! `[clamav]`: where clamd is, and every bound on asking it. Read by the binary; nothing here reads files.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

/// The table `[clamav]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `managed` (Guarita starts and watches its own clamd), `unix:/path`, `tcp:host:port`, or a list of the latter two:
    /// the first healthy one is asked.
    pub address: Addresses,
    /// Folder of the signature database. `managed` only: an outside clamd knows its own.
    pub database: PathBuf,
    /// Files larger than this are a gap `too_large` and are not sent. Meta's own limit for documents is 100 MB.
    pub file_bytes_max: u64,
    /// Longest wait for one answer, from the first byte sent; after it the gap `timeout`.
    pub scan_seconds_max: u64,
    /// Longest wait for a free place among `concurrent_scans`; after it the gap `scanner_unavailable`.
    pub queue_seconds_max: u64,
    /// Scans asked of clamd at a time; 0: one a core, at least two. Keep an outside clamd's `MaxThreads` above it.
    pub concurrent_scans: usize,
    /// Longest wait for a connection.
    pub connect_seconds_max: u64,
    /// A lost address is tried again after 1 second, then after growing waits up to this many.
    pub recheck_seconds_max: u64,
    /// How often a healthy address is asked for its version.
    pub version_seconds: u64,
    /// How often EICAR must be found and a clean buffer must be OK.
    pub self_test_minutes: u64,
    /// Scans in a row that may time out before the address counts as lost.
    pub timeouts_max: u32,
    pub managed: ManagedConfig,
    pub freshclam: FreshclamConfig,
}

/// The table `[clamav.managed]`: the clamd that Guarita starts itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ManagedConfig {
    /// Path of clamd; empty: looked for in the usual folders.
    pub clamd: PathBuf,
    /// When Guarita runs as root, clamd runs as this user (if it exists). Empty: as root, which is unwise.
    pub user: String,
    /// Bytes unpacked and looked at for one file, all levels together; at least `file_bytes_max`. So much room may be
    /// taken in the temporary folder for each scan.
    pub scan_bytes_max: u64,
    /// Depth of archives in archives.
    pub recursion_max: u32,
    /// Files looked at inside one archive.
    pub files_max: u32,
    /// Largest file on which regular expression signatures run (they are slow).
    pub pcre_bytes_max: u64,
    /// Load a new database beside the old one (scanning goes on, memory doubles for a while). Unset: if memory permits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_reload: Option<bool>,
    /// Longest wait between restarts of a clamd that keeps ending; the first wait is 1 second.
    pub restart_seconds_max: u64,
    /// How often the database folder is compared with what was loaded.
    pub database_check_seconds: u64,
}

/// The table `[clamav.freshclam]`: keeping the database fresh, `managed` only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FreshclamConfig {
    /// Run freshclam at start and then every `hours`, if it is installed and the database folder is writable.
    pub enabled: bool,
    /// Path of freshclam; empty: looked for in the usual folders.
    pub freshclam: PathBuf,
    pub hours: u64,
    /// A run longer than this is ended.
    pub run_minutes_max: u64,
    /// Mirror to ask.
    pub mirror: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            address: Addresses::Managed,
            database: PathBuf::from("/var/lib/clamav"),
            file_bytes_max: 100 << 20,
            scan_seconds_max: 60,
            queue_seconds_max: 60,
            concurrent_scans: 0,
            connect_seconds_max: 5,
            recheck_seconds_max: 5,
            version_seconds: 60,
            self_test_minutes: 5,
            timeouts_max: 3,
            managed: ManagedConfig::default(),
            freshclam: FreshclamConfig::default(),
        }
    }
}

impl Default for ManagedConfig {
    fn default() -> Self {
        ManagedConfig {
            clamd: PathBuf::new(),
            user: "clamav".into(),
            scan_bytes_max: 400 << 20,
            recursion_max: 32,
            files_max: 10_000,
            pcre_bytes_max: 100 << 20,
            concurrent_reload: None,
            restart_seconds_max: 60,
            database_check_seconds: 15,
        }
    }
}

impl Default for FreshclamConfig {
    fn default() -> Self {
        FreshclamConfig {
            enabled: true,
            freshclam: PathBuf::new(),
            hours: 2,
            run_minutes_max: 15,
            mirror: "database.clamav.net".into(),
        }
    }
}

/// A mistake in `[clamav]`; the operator mends it, a retry cannot help.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("clamav.{key}: {what}; {mend}")]
pub struct ConfigError {
    pub key: &'static str,
    pub what: String,
    pub mend: &'static str,
}

impl Config {
    /// Largest stream clamd itself can look at (it says so: 2 GB).
    const FILE_BYTES_CEILING: u64 = 2_000_000_000;

    /// What types cannot say.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key, what: String, mend| Err(ConfigError { key, what, mend });
        if self.file_bytes_max == 0 || self.file_bytes_max > Self::FILE_BYTES_CEILING {
            return wrong("file_bytes_max", format!("{} is out of range", self.file_bytes_max), "use 1 to 2000000000");
        }
        for (key, seconds) in [
            ("scan_seconds_max", self.scan_seconds_max),
            ("queue_seconds_max", self.queue_seconds_max),
            ("connect_seconds_max", self.connect_seconds_max),
            ("recheck_seconds_max", self.recheck_seconds_max),
            ("version_seconds", self.version_seconds),
            ("self_test_minutes", self.self_test_minutes),
            ("managed.restart_seconds_max", self.managed.restart_seconds_max),
            ("managed.database_check_seconds", self.managed.database_check_seconds),
            ("freshclam.hours", self.freshclam.hours),
            ("freshclam.run_minutes_max", self.freshclam.run_minutes_max),
        ] {
            if seconds == 0 || seconds > 86_400 {
                return wrong(key, format!("{seconds} is out of range"), "use 1 to 86400");
            }
        }
        if self.managed.scan_bytes_max > Self::FILE_BYTES_CEILING {
            let what = format!("{} is out of range", self.managed.scan_bytes_max);
            return wrong("managed.scan_bytes_max", what, "use at most 2000000000");
        }
        if self.concurrent_scans > 256 {
            return wrong("concurrent_scans", format!("{} is out of range", self.concurrent_scans), "use 0 to 256");
        }
        if matches!(&self.address, Addresses::Several(list) if list.is_empty()) {
            return wrong("address", "the list is empty".into(), "write `managed`, `unix:/path` or `tcp:host:port`");
        }
        for (key, text) in
            [("database", self.database.to_string_lossy()), ("freshclam.mirror", self.freshclam.mirror.as_str().into())]
        {
            if text.is_empty() || text.chars().any(|c| c.is_control() || c == '"' || c == '#') {
                return wrong(key, "it is empty or holds characters clamd's configuration cannot".into(), "rename it");
            }
        }
        Ok(())
    }

    pub(crate) fn slots(&self) -> usize {
        match self.concurrent_scans {
            0 => std::thread::available_parallelism().map_or(2, NonZeroUsize::get).max(2),
            some => some,
        }
    }

    pub(crate) fn scan_wait(&self) -> Duration {
        Duration::from_secs(self.scan_seconds_max)
    }

    pub(crate) fn connect_wait(&self) -> Duration {
        Duration::from_secs(self.connect_seconds_max)
    }
}

/// Where one clamd listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    Unix(PathBuf),
    /// Host (name or address, without brackets) and port.
    Tcp(String, u16),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp(host, port) if host.contains(':') => write!(f, "tcp:[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "tcp:{host}:{port}"),
        }
    }
}

impl FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address of clamd; write `managed`, `unix:/path` or `tcp:host:port`");
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Address::Unix(path.into())) } else { Err(wrong()) };
        }
        let (host, port) = text.strip_prefix("tcp:").and_then(|rest| rest.rsplit_once(':')).ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        if host.is_empty() || host.contains(['/', ' ', '[', ']']) {
            return Err(wrong());
        }
        Ok(Address::Tcp(host.to_owned(), port))
    }
}

/// The value of `clamav.address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    Managed,
    Several(Vec<Address>),
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "`managed`, `unix:/path`, `tcp:host:port`, or a list of the latter two")]
        enum Written {
            One(String),
            List(Vec<String>),
        }
        let list = match Written::deserialize(deserializer)? {
            // From the environment a list comes as one string.
            Written::One(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
            Written::List(list) => list,
        };
        if list == ["managed"] {
            return Ok(Addresses::Managed);
        }
        let parsed: Result<Vec<Address>, String> = list.iter().map(|text| text.parse()).collect();
        parsed.map(Addresses::Several).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Addresses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Addresses::Managed => serializer.serialize_str("managed"),
            Addresses::Several(list) if list.len() == 1 => serializer.collect_str(&list[0]),
            Addresses::Several(list) => serializer.collect_seq(list.iter().map(Address::to_string)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(written: &str, expect: Result<&str, &str>) {
        let read: Result<Config, _> = serde_json::from_str(&format!(r#"{{"address": {written}}}"#));
        match (read, expect) {
            (Ok(config), Ok(shown)) => assert_eq!(serde_json::to_string(&config.address).unwrap(), shown),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (read, _) => panic!("{written}: {read:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn addresses_as_operators_write_them() {
        check(r#""managed""#, Ok(r#""managed""#));
        check(r#""unix:/run/clamav/clamd.ctl""#, Ok(r#""unix:/run/clamav/clamd.ctl""#));
        check(r#""tcp:clamd.internal:3310""#, Ok(r#""tcp:clamd.internal:3310""#));
        check(r#"["tcp:[::1]:3310", "unix:/a"]"#, Ok(r#"["tcp:[::1]:3310","unix:/a"]"#));
        check(r#""tcp:a:1, tcp:b:2""#, Ok(r#"["tcp:a:1","tcp:b:2"]"#));
        check(r#""/run/clamav/clamd.ctl""#, Err("write `managed`, `unix:/path` or `tcp:host:port`"));
        check(r#""unix:relative""#, Err("is no address of clamd"));
        check(r#""tcp:host""#, Err("is no address of clamd"));
        check(r#""tcp:host:0""#, Err("is no address of clamd"));
        check(r#""tcp:host:99999""#, Err("is no address of clamd"));
        check(r#"["managed", "tcp:a:1"]"#, Err("is no address of clamd"));
        check("7", Err("`managed`, `unix:/path`, `tcp:host:port`, or a list"));
    }

    #[test]
    fn bounds_are_checked_and_named() {
        assert_eq!(Config::default().check(), Ok(()));
        let zero = Config { scan_seconds_max: 0, ..Config::default() };
        assert!(zero.check().unwrap_err().to_string().contains("clamav.scan_seconds_max"));
        let huge = Config { file_bytes_max: u64::MAX, ..Config::default() };
        assert!(huge.check().unwrap_err().to_string().contains("clamav.file_bytes_max"));
        let newline = Config { database: "/tmp/a\nUser root".into(), ..Config::default() };
        assert!(newline.check().unwrap_err().to_string().contains("clamav.database"));
        let none = Config { address: Addresses::Several(vec![]), ..Config::default() };
        assert!(none.check().is_err());
        assert!(serde_json::from_str::<Config>(r#"{"adress": "managed"}"#).is_err(), "unknown keys are refused");
    }
}
