//! [`ClamAv`]: `[clamav]` as one inspector, whether the clamd is ours or somebody else's. What the binary wires.

use crate::{
    Clamd, Config, ConfigError, ManagedClamd, Titles,
    config::Addresses,
    database::now_seconds,
    status::{ChildState, Signatures, Status},
};
use guarita_inspect::{FileInspector, FileUnderScan, Pending};
use guarita_message::Inspection;
use std::{path::Path, time::Duration};

/// clamd as configured.
pub struct ClamAv {
    runs: Runs,
}

enum Runs {
    Outside(Clamd),
    Managed(ManagedClamd),
}

impl ClamAv {
    /// Starts watching (and, for `managed`, running) clamd. Needs a tokio runtime. Only a wrong configuration is an
    /// error: a clamd that is missing, dead or not ready is a gap in each scan and a line in [`Self::status`].
    pub fn start(config: &Config, storage: &Path, titles: Titles) -> Result<Self, ConfigError> {
        config.check()?;
        let runs = match &config.address {
            Addresses::Managed => Runs::Managed(ManagedClamd::start(config, storage, titles)),
            Addresses::Several(list) => Runs::Outside(Clamd::connect(config, list.clone(), titles)),
        };
        Ok(ClamAv { runs })
    }

    /// Files are scanned now.
    pub fn ready(&self) -> bool {
        self.clamd().ready()
    }

    /// Waits until files are scanned, at most `wait`; says whether they are. Does not wait for a clamd that is not
    /// installed.
    pub async fn wait_ready(&self, wait: Duration) -> bool {
        let missing = async {
            while !self.missing() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            ready = self.clamd().wait_ready(wait) => ready,
            () = missing => false,
        }
    }

    pub fn status(&self) -> Status {
        let clamd = self.clamd();
        let ready = clamd.ready();
        let version = clamd.first_version();
        let (scans_running, scans_waiting) = clamd.load();
        let (managed, signatures, age) = match &self.runs {
            Runs::Managed(managed) => (Some(managed.status()), managed.signatures(), managed.signature_age_seconds()),
            Runs::Outside(_) => {
                let built = version.as_ref().and_then(|version| version.built);
                let signatures = built.map_or(Signatures::Unknown, |_| Signatures::Database);
                (None, signatures, built.map(|built| now_seconds().saturating_sub(built)))
            }
        };
        let trouble = (!ready).then(|| {
            let own = managed.as_ref().and_then(|m| Some((m.why.clone()?, m.mend.clone()?)));
            own.unwrap_or_else(|| {
                let trouble = clamd.trouble();
                (trouble.why, trouble.mend)
            })
        });
        let (why, mend) = trouble.unzip();
        Status {
            ready,
            why,
            mend,
            engine: version.as_ref().map(|version| version.engine.clone()),
            database: version.map(|version| version.database),
            signature_age_seconds: age,
            signatures,
            addresses: clamd.addresses(),
            scans_running,
            scans_waiting,
            managed,
        }
    }

    /// Ends a clamd of our own and waits for its end.
    pub async fn stop(&self) {
        if let Runs::Managed(managed) = &self.runs {
            managed.stop().await;
        }
    }

    fn clamd(&self) -> &Clamd {
        match &self.runs {
            Runs::Outside(clamd) => clamd,
            Runs::Managed(managed) => managed.clamd(),
        }
    }

    fn missing(&self) -> bool {
        matches!(&self.runs, Runs::Managed(managed) if managed.status().state == ChildState::Missing)
    }
}

impl FileInspector for ClamAv {
    fn name(&self) -> &'static str {
        self.clamd().name()
    }

    fn version(&self) -> Option<String> {
        self.clamd().version()
    }

    fn inspect<'a>(&'a self, file: &'a FileUnderScan) -> Pending<'a, Inspection> {
        self.clamd().inspect(file)
    }
}
