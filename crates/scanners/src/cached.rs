//! [`Cached`]: remembers what an inspector said of a content, so that a forwarded file is scanned once. Keyed by content
//! and by the inspector's version; only inspections without a gap are kept, in bounded memory and for a bounded time.

use guarita_inspect::{FileInspector, FileUnderScan, Pending};
use guarita_message::{ContentHash, FileReport, Inspection};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Bounds of one cache.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// Inspections kept; 0 turns the cache off.
    pub entries_max: usize,
    /// Memory for them, roughly.
    pub bytes_max: usize,
    /// An inspection older than this is made anew, whatever the version says.
    pub minutes_max: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        CacheConfig { entries_max: 20_000, bytes_max: 8 << 20, minutes_max: 24 * 60 }
    }
}

/// What of a file, besides its bytes, the inspector's answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keyed {
    /// Nothing (clamd).
    ByContent,
    /// Its name, declared type and possible passwords (the file worker).
    ByFile,
}

/// An inspector and its memory.
pub struct Cached<I> {
    inner: I,
    keyed: Keyed,
    config: CacheConfig,
    kept: Mutex<Kept>,
}

type Key = [u8; 32];

#[derive(Default)]
struct Kept {
    version: String,
    entries: HashMap<Key, Entry>,
    /// Oldest use first.
    order: BTreeMap<u64, Key>,
    next_use: u64,
    bytes: usize,
}

struct Entry {
    inspection: Inspection,
    place: String,
    made: Instant,
    last_use: u64,
    bytes: usize,
}

impl<I: FileInspector> Cached<I> {
    pub fn new(inner: I, keyed: Keyed, config: CacheConfig) -> Self {
        Cached { inner, keyed, config, kept: Mutex::default() }
    }

    pub fn inner(&self) -> &I {
        &self.inner
    }

    /// Inspections kept, and their bytes.
    pub fn kept(&self) -> (usize, usize) {
        let kept = self.lock();
        (kept.entries.len(), kept.bytes)
    }

    async fn look(&self, file: &FileUnderScan) -> Inspection {
        let Some(version) = self.inner.version().filter(|_| self.config.entries_max > 0) else {
            return self.inner.inspect(file).await;
        };
        let key = self.key(file);
        let lasts = Duration::from_secs(self.config.minutes_max.saturating_mul(60));
        let hit = self.lock().get(&key, &version, lasts);
        if let Some((inspection, place)) = hit {
            return moved(inspection, &place, file);
        }
        let inspection = self.inner.inspect(file).await;
        // A version that changed meanwhile (a reload) does not say which one looked.
        if inspection.gaps.is_empty() && self.inner.version().as_deref() == Some(&version) {
            self.lock().put(key, &version, &inspection, &file.place, &self.config);
        }
        inspection
    }

    fn key(&self, file: &FileUnderScan) -> Key {
        let mut hasher = Sha256::new();
        hasher.update(file.hash.0);
        hasher.update(file.content.bytes().to_le_bytes());
        if self.keyed == Keyed::ByFile {
            for text in [&file.name, &file.declared_type].into_iter().chain(&file.passwords) {
                hasher.update((text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        hasher.finalize().into()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<I: FileInspector> FileInspector for Cached<I> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn version(&self) -> Option<String> {
        self.inner.version()
    }

    fn inspect<'a>(&'a self, file: &'a FileUnderScan) -> Pending<'a, Inspection> {
        Box::pin(self.look(file))
    }
}

/// What was seen there, said of `file`: its place, and its name in its own report.
fn moved(mut inspection: Inspection, place: &str, file: &FileUnderScan) -> Inspection {
    let put = |old: &mut String| {
        if old == place {
            old.clone_from(&file.place);
        }
    };
    inspection.findings.iter_mut().for_each(|finding| put(&mut finding.place));
    inspection.found.iter_mut().for_each(|found| put(&mut found.place));
    for report in &mut inspection.files {
        put(&mut report.place);
        if is_of(report, file.hash) {
            report.name.clone_from(&file.name);
            report.declared_type.clone_from(&file.declared_type);
        }
    }
    inspection
}

fn is_of(report: &FileReport, hash: ContentHash) -> bool {
    report.sha256 == Some(hash)
}

impl Kept {
    fn get(&mut self, key: &Key, version: &str, lasts: Duration) -> Option<(Inspection, String)> {
        if self.version != version {
            *self = Kept { version: version.to_owned(), ..Kept::default() };
        }
        if self.entries.get(key)?.made.elapsed() > lasts {
            self.remove(key);
            return None;
        }
        let now = self.tick();
        let entry = self.entries.get_mut(key)?;
        self.order.remove(&std::mem::replace(&mut entry.last_use, now));
        self.order.insert(now, *key);
        Some((entry.inspection.clone(), entry.place.clone()))
    }

    fn put(&mut self, key: Key, version: &str, inspection: &Inspection, place: &str, config: &CacheConfig) {
        if self.version != version {
            return;
        }
        let bytes = weight(inspection);
        if bytes > config.bytes_max / 4 {
            return;
        }
        self.remove(&key);
        while self.entries.len() >= config.entries_max || self.bytes + bytes > config.bytes_max {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.remove(&oldest);
        }
        let last_use = self.tick();
        self.order.insert(last_use, key);
        self.bytes += bytes;
        let entry =
            Entry { inspection: inspection.clone(), place: place.to_owned(), made: Instant::now(), last_use, bytes };
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
            self.order.remove(&entry.last_use);
        }
    }

    fn tick(&mut self) -> u64 {
        self.next_use += 1;
        self.next_use
    }
}

/// Bytes an entry takes, roughly: its texts and a fixed part for each piece.
fn weight(inspection: &Inspection) -> usize {
    use guarita_message::FoundParts;
    const PIECE: usize = 256;
    let findings = inspection.findings.iter().map(|f| {
        PIECE + f.rule.len() + f.place.len() + f.inside.len() + f.title.len() + f.why.len() + f.evidence.len()
    });
    let files = inspection.files.iter().map(|f| {
        let by: usize = f.scanned_by.iter().map(String::len).sum();
        PIECE + f.place.len() + f.name.len() + f.true_type.len() + f.declared_type.len() + by
    });
    let found = inspection.found.iter().map(|f| {
        let (FoundParts::Link(text) | FoundParts::Text(text)) = &f.what;
        PIECE + f.place.len() + f.inside.len() + text.len()
    });
    PIECE + findings.chain(files).chain(found).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selftest::Buffer;
    use guarita_message::{FileClass, Gap, GapReason};
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    /// Says what it is told to, and counts.
    struct Parrot {
        asked: AtomicUsize,
        version: Mutex<Option<String>>,
        gap: bool,
    }

    impl Parrot {
        fn new() -> Self {
            Parrot { asked: AtomicUsize::new(0), version: Mutex::new(Some("1".into())), gap: false }
        }
        fn asked(&self) -> usize {
            self.asked.load(Ordering::Relaxed)
        }
    }

    impl FileInspector for Parrot {
        fn name(&self) -> &'static str {
            "parrot"
        }
        fn version(&self) -> Option<String> {
            self.version.lock().unwrap().clone()
        }
        fn inspect<'a>(&'a self, file: &'a FileUnderScan) -> Pending<'a, Inspection> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let judged = crate::judge::judge("Sig.X", &file.place, &crate::Titles::default());
            let crate::judge::Judged::Finding(finding) = judged else { unreachable!() };
            let gap = Gap {
                reason: GapReason::Timeout,
                place: file.place.clone(),
                inside: String::new(),
                scanner: "parrot".into(),
                detail: String::new(),
                class: FileClass::Other,
            };
            let report = FileReport {
                place: file.place.clone(),
                name: file.name.clone(),
                true_type: String::new(),
                declared_type: file.declared_type.clone(),
                bytes: 1,
                sha256: Some(file.hash),
                scanned_by: vec!["parrot 1".into()],
            };
            let gaps = if self.gap { vec![gap] } else { vec![] };
            let inspection =
                Inspection { findings: vec![*finding], gaps, files: vec![report], ..Inspection::default() };
            Box::pin(async move { inspection })
        }
    }

    fn file(hash: u8, place: &str, name: &str) -> FileUnderScan {
        FileUnderScan {
            place: place.into(),
            name: name.into(),
            declared_type: "text/plain".into(),
            hash: ContentHash([hash; 32]),
            content: Arc::new(Buffer(vec![hash])),
            passwords: vec![],
        }
    }

    #[tokio::test]
    async fn a_hit_is_said_of_the_file_at_hand() {
        let cached = Cached::new(Parrot::new(), Keyed::ByContent, CacheConfig::default());
        cached.inspect(&file(1, "/document", "a.pdf")).await;
        let again = cached.inspect(&file(1, "/image", "b.jpg")).await;
        assert_eq!(cached.inner().asked(), 1);
        assert_eq!((again.findings[0].place.as_str(), again.files[0].place.as_str()), ("/image", "/image"));
        assert_eq!(again.files[0].name, "b.jpg");
        cached.inspect(&file(2, "/image", "b.jpg")).await;
        assert_eq!(cached.inner().asked(), 2, "another content is another question");
    }

    #[tokio::test]
    async fn by_file_the_name_matters() {
        let cached = Cached::new(Parrot::new(), Keyed::ByFile, CacheConfig::default());
        cached.inspect(&file(1, "/document", "a.pdf")).await;
        cached.inspect(&file(1, "/document", "a.exe")).await;
        assert_eq!(cached.inner().asked(), 2);
    }

    #[tokio::test]
    async fn gaps_unknown_versions_and_new_versions_are_not_served_from_memory() {
        let gappy = Cached::new(Parrot { gap: true, ..Parrot::new() }, Keyed::ByContent, CacheConfig::default());
        let unknown = Cached::new(
            Parrot { version: Mutex::new(None), ..Parrot::new() },
            Keyed::ByContent,
            CacheConfig::default(),
        );
        for cached in [gappy, unknown] {
            cached.inspect(&file(1, "/a", "a")).await;
            cached.inspect(&file(1, "/a", "a")).await;
            assert_eq!((cached.inner().asked(), cached.kept().0), (2, 0));
        }
        let renewed = Cached::new(Parrot::new(), Keyed::ByContent, CacheConfig::default());
        renewed.inspect(&file(1, "/a", "a")).await;
        *renewed.inner().version.lock().unwrap() = Some("2".into());
        renewed.inspect(&file(1, "/a", "a")).await;
        assert_eq!(renewed.inner().asked(), 2);
    }

    #[tokio::test]
    async fn old_ones_are_made_anew_and_zero_turns_it_off() {
        for config in [
            CacheConfig { minutes_max: 0, ..CacheConfig::default() },
            CacheConfig { entries_max: 0, ..CacheConfig::default() },
        ] {
            let cached = Cached::new(Parrot::new(), Keyed::ByContent, config);
            cached.inspect(&file(1, "/a", "a")).await;
            cached.inspect(&file(1, "/a", "a")).await;
            assert_eq!(cached.inner().asked(), 2);
        }
    }

    #[tokio::test]
    async fn memory_is_bounded_and_the_least_used_goes_first() {
        let config = CacheConfig { entries_max: 3, ..CacheConfig::default() };
        let cached = Cached::new(Parrot::new(), Keyed::ByContent, config);
        for hash in [1, 2, 3, 1, 4] {
            cached.inspect(&file(hash, "/a", "a")).await;
        }
        assert_eq!((cached.inner().asked(), cached.kept().0), (4, 3));
        cached.inspect(&file(1, "/a", "a")).await;
        assert_eq!(cached.inner().asked(), 4, "1 was used after 2, so 2 went");
        cached.inspect(&file(2, "/a", "a")).await;
        assert_eq!(cached.inner().asked(), 5);

        let small = CacheConfig { bytes_max: 8000, ..CacheConfig::default() };
        let cached = Cached::new(Parrot::new(), Keyed::ByContent, small);
        for hash in 0..200 {
            cached.inspect(&file(hash, "/a", "a")).await;
        }
        let (entries, bytes) = cached.kept();
        assert!(bytes <= 8000 && entries > 2 && entries < 20, "{entries} entries, {bytes} bytes");
    }
}
