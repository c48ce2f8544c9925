//! What an alert is, and how it reads. Ids and words of the lexicon only: no text of a customer's, no number, no name.

use crate::Millis;
use guarita_message::Language;
use serde::{Deserialize, Serialize};

/// What an alert is about; the words of `alerts.kinds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    MalwareHeld,
    ScannerBlind,
    SignaturesOld,
    QueueGrowing,
    BackendDown,
    VerdictChanged,
    DiskNearlyFull,
    /// The test button.
    Test,
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Something happened, or a condition began.
    Raised,
    /// A condition that lasts.
    Ongoing,
    Recovered,
}

/// What is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub kind: Kind,
    pub phase: Phase,
    /// Which one, where there are several: a route's name. Empty otherwise.
    pub subject: String,
    /// How often it happened in this group; 1 for conditions.
    pub count: u64,
    /// Delivery ids of some of them, to look up in the console.
    pub ids: Vec<String>,
    /// One line of what was seen, written by us; never by a customer.
    pub detail: String,
    pub since: Millis,
    pub at: Millis,
}

impl Kind {
    pub const ALL: [Kind; 8] = [
        Kind::MalwareHeld,
        Kind::ScannerBlind,
        Kind::SignaturesOld,
        Kind::QueueGrowing,
        Kind::BackendDown,
        Kind::VerdictChanged,
        Kind::DiskNearlyFull,
        Kind::Test,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::MalwareHeld => "malware_held",
            Kind::ScannerBlind => "scanner_blind",
            Kind::SignaturesOld => "signatures_old",
            Kind::QueueGrowing => "queue_growing",
            Kind::BackendDown => "backend_down",
            Kind::VerdictChanged => "verdict_changed",
            Kind::DiskNearlyFull => "disk_nearly_full",
            Kind::Test => "test",
        }
    }

    /// Begins and ends; the others happen.
    pub fn is_condition(self) -> bool {
        !matches!(self, Kind::MalwareHeld | Kind::VerdictChanged | Kind::Test)
    }

    /// As people know it from syslog: 2 critical, 3 error, 4 warning, 5 notice.
    pub(crate) fn syslog_severity(self) -> u8 {
        match self {
            Kind::ScannerBlind | Kind::DiskNearlyFull | Kind::VerdictChanged => 2,
            Kind::BackendDown | Kind::QueueGrowing => 3,
            Kind::MalwareHeld | Kind::SignaturesOld => 4,
            Kind::Test => 5,
        }
    }

    fn title(self, language: Language) -> &'static str {
        let [portuguese, english, spanish] = match self {
            Kind::MalwareHeld => ["Arquivo malicioso retido", "Malware held", "Archivo malicioso retenido"],
            Kind::ScannerBlind => [
                "O antivírus não responde: arquivos ficam retidos",
                "The scanner is blind: files are held",
                "El antivirus no responde: los archivos quedan retenidos",
            ],
            Kind::SignaturesOld => {
                ["Assinaturas do antivírus velhas", "Signatures are old", "Firmas del antivirus antiguas"]
            }
            Kind::QueueGrowing => ["A fila está crescendo", "The queue is growing", "La cola está creciendo"],
            Kind::BackendDown => ["O backend não responde", "The backend is down", "El backend no responde"],
            Kind::VerdictChanged => [
                "Um arquivo já entregue é malicioso",
                "A file that was delivered is malicious",
                "Un archivo ya entregado es malicioso",
            ],
            Kind::DiskNearlyFull => ["Disco quase cheio", "The disk is nearly full", "Disco casi lleno"],
            Kind::Test => ["Alerta de teste", "Test alert", "Alerta de prueba"],
        };
        match language {
            Language::Portuguese => portuguese,
            Language::English => english,
            Language::Spanish => spanish,
        }
    }
}

impl Alert {
    pub(crate) fn test(at: Millis) -> Alert {
        Alert {
            kind: Kind::Test,
            phase: Phase::Raised,
            subject: String::new(),
            count: 1,
            ids: Vec::new(),
            detail: String::new(),
            since: at,
            at,
        }
    }

    /// One line: what a phone shows.
    pub fn title(&self, language: Language) -> String {
        let mut title = self.kind.title(language).to_owned();
        if !self.subject.is_empty() {
            title = format!("{title} ({})", self.subject);
        }
        if self.count > 1 {
            title = format!("{title} × {}", self.count);
        }
        let prefix = match (self.phase, language) {
            (Phase::Raised, _) => return title,
            (Phase::Ongoing, Language::Portuguese) => "Continua",
            (Phase::Ongoing, Language::English) => "Still",
            (Phase::Ongoing, Language::Spanish) => "Continúa",
            (Phase::Recovered, Language::Portuguese) => "Resolvido",
            (Phase::Recovered, Language::English) => "Recovered",
            (Phase::Recovered, Language::Spanish) => "Resuelto",
        };
        format!("{prefix}: {title}")
    }

    /// The lines below the title.
    pub(crate) fn lines(&self, console: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.detail.is_empty() {
            lines.push(self.detail.clone());
        }
        for id in &self.ids {
            lines.push(message_link(console, id));
        }
        let more = self.count.saturating_sub(self.ids.len() as u64);
        if !self.ids.is_empty() && more > 0 {
            lines.push(format!("… + {more}"));
        }
        if self.ids.is_empty() && !console.is_empty() {
            lines.push(console.to_owned());
        }
        lines
    }
}

/// Where the console shows a message; the bare id where no console's address is known.
pub(crate) fn message_link(console: &str, id: &str) -> String {
    if console.is_empty() { id.to_owned() } else { format!("{}/messages/{id}", console.trim_end_matches('/')) }
}
