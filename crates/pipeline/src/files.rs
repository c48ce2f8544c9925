//! Round 1: a message's files are fetched, kept, and looked at by every file inspector.

use crate::{Parts, RouteSettings, observe::Stages};
use futures_util::future::join_all;
use guarita_inspect::{Content, FileUnderScan};
use guarita_media::{BlobStore, FetchProblem, FetchedInMemory, MediaKey, MediaState, StoredMedia};
use guarita_message::{
    Channel, ContentHash, FileClass, FileReport, Gap, GapReason, Inspection, MediaRef, Message, Part, PartBody,
};
use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout_at;

/// A file part after round 1.
pub(crate) struct SeenFile {
    pub place: String,
    pub pointer: String,
    pub media: MediaRef,
    /// The id the backend looks it up by: Meta's, or one we minted; `None` for content that may not be stored.
    pub id: Option<String>,
    pub key: Option<MediaKey>,
    pub stored: Option<StoredMedia>,
    /// It was not fetched for a reason that passes by itself: worth another look soon.
    pub may_mend: bool,
}

/// What looking at a message's files takes.
pub(crate) struct Look<'a> {
    pub parts: &'a Parts,
    pub route: &'a RouteSettings,
    pub message: &'a Message,
    pub passwords: &'a [String],
    pub now_ms: u64,
    pub deadline: Instant,
    pub scan_deadline: Instant,
    pub stages: &'a Stages,
}

/// Fetches and scans the files of one message. What could not be fetched or scanned is a gap; nothing here fails but on
/// our own disk.
pub(crate) async fn inspect_files(look: &Look<'_>) -> Result<(Vec<SeenFile>, Inspection), guarita_media::IndexError> {
    let Look { parts, message, now_ms, .. } = *look;
    let mut files: Vec<SeenFile> = message.parts.iter().filter_map(|part| seen_file(parts, message, part)).collect();
    let keys: Vec<MediaKey> = files.iter().filter_map(|file| file.key).collect();
    let known = if keys.is_empty() {
        Vec::new()
    } else {
        parts.index.note_pending(now_ms, keys.clone()).await?;
        parts.index.lookup_all(keys).await?
    };
    let mut known = known.into_iter();
    for file in &mut files {
        if file.key.is_some() {
            file.stored = known.next().flatten().and_then(|state: MediaState| state.content().cloned());
        }
    }
    let looked = files.iter_mut().map(|file| inspect_file(look, file));
    let mut inspection = Inspection::default();
    for seen in join_all(looked).await {
        inspection.merge(seen?);
    }
    Ok((files, inspection))
}

fn seen_file(parts: &Parts, message: &Message, part: &Part) -> Option<SeenFile> {
    let PartBody::File(media) = &part.body else { return None };
    let id = match &media.id {
        _ if media.never_store => None,
        Some(id) => Some(id.clone()),
        None => Some(parts.index.minted_id(&[&message.account, &message.id, &part.place])),
    };
    let key = id.as_deref().map(|id| parts.index.key(id));
    Some(SeenFile {
        place: part.place.clone(),
        pointer: part.pointer.clone(),
        media: media.clone(),
        id,
        key,
        stored: None,
        may_mend: false,
    })
}

async fn inspect_file(look: &Look<'_>, file: &mut SeenFile) -> Result<Inspection, guarita_media::IndexError> {
    let Look { parts, passwords, stages, scan_deadline, .. } = *look;
    let name = file.media.name.clone().unwrap_or_default();
    let declared_type = file.media.declared_type.clone().unwrap_or_default();
    let mut report = FileReport {
        place: file.place.clone(),
        name: name.clone(),
        true_type: String::new(),
        declared_type: declared_type.clone(),
        bytes: file.media.declared_bytes.unwrap_or(0),
        sha256: None,
        scanned_by: Vec::new(),
    };
    let began = stages.begin();
    let fetched = fetch(look, file).await?;
    stages.end("fetch", began, fetched.is_err(), &[]);
    let (hash, content) = match fetched {
        Ok(fetched) => fetched,
        Err(problem) => {
            file.may_mend = problem.retry_can_help;
            let gap = Gap {
                reason: problem.reason,
                place: file.place.clone(),
                inside: String::new(),
                scanner: "fetch".into(),
                detail: problem.detail.to_string(),
                class: FileClass::Other,
            };
            return Ok(Inspection { files: vec![report], ..Inspection::with_gap(gap) });
        }
    };
    report.bytes = content.bytes();
    report.sha256 = Some(hash);
    let under_scan =
        FileUnderScan { place: file.place.clone(), name, declared_type, hash, content, passwords: passwords.to_vec() };
    let mut inspection = Inspection { files: vec![report], ..Inspection::default() };
    let end = scan_deadline.max(instant_now() + SCAN_MIN);
    let looked = parts.file_inspectors.iter().map(async |inspector| {
        let began = stages.begin();
        // A scanner that hangs must not hold the message beyond the deadline: what it did not say is a gap.
        let seen = match timeout_at(end.into(), inspector.inspect(&under_scan)).await {
            Ok(seen) => seen,
            Err(_) => Inspection::with_gap(not_in_time(&under_scan, inspector.name())),
        };
        stages.end("scan", began, !seen.gaps.is_empty(), &[("scanner", inspector.name())]);
        seen
    });
    for seen in join_all(looked).await {
        inspection.merge(seen);
    }
    if let Some(stored) = &mut file.stored
        && let Some(report) = inspection.files.first()
        && !report.true_type.is_empty()
        && report.true_type != "application/octet-stream"
    {
        stored.mime_type.clone_from(&report.true_type);
    }
    Ok(inspection)
}

type Fetched = (ContentHash, Arc<dyn Content>);

async fn fetch(
    look: &Look<'_>,
    file: &mut SeenFile,
) -> Result<Result<Fetched, FetchProblem>, guarita_media::IndexError> {
    let Look { parts, route, message, now_ms, deadline, .. } = *look;
    let Some(key) = file.key else {
        let fetched = parts.fetcher.fetch_in_memory(&file.media, &message.account, &route.graph_token, deadline).await;
        return Ok(fetched.map(|fetched| {
            let hash = fetched.hash;
            // It holds its share of the memory bound until the last scanner is done with it.
            let content: Arc<dyn Content> = Arc::new(InMemory(fetched));
            (hash, content)
        }));
    };
    // Fetched by an earlier look, or before a crash; a webhook that names another digest than what we have is another file.
    if let Some(stored) = &file.stored
        && file.media.declared_hash.is_none_or(|declared| declared == stored.hash)
        && let Ok(reader) = parts.blobs.open(&stored.hash)
    {
        drop(reader);
        return Ok(Ok((stored.hash, on_disk(parts, stored))));
    }
    let fetched = if message.channel == Channel::Telegram {
        parts.fetcher.fetch_of_bot(&file.media, &route.graph_token, deadline).await
    } else {
        parts.fetcher.fetch(&file.media, &message.account, &route.graph_token, deadline).await
    };
    match fetched {
        Err(problem) => {
            file.stored = None;
            Ok(Err(problem))
        }
        Ok(fetched) => {
            let stored = StoredMedia {
                hash: fetched.hash,
                bytes: fetched.bytes,
                mime_type: file.media.declared_type.clone().or(fetched.content_type).unwrap_or_default(),
                name: file.media.name.clone(),
            };
            parts.index.note_fetched(now_ms, key, stored.clone()).await?;
            let content = on_disk(parts, &stored);
            let hash = stored.hash;
            file.stored = Some(stored);
            Ok(Ok((hash, content)))
        }
    }
}

pub(crate) fn on_disk(parts: &Parts, stored: &StoredMedia) -> Arc<dyn Content> {
    Arc::new(OnDisk { blobs: parts.blobs.clone(), hash: stored.hash, bytes: stored.bytes })
}

struct OnDisk {
    blobs: Arc<dyn BlobStore>,
    hash: ContentHash,
    bytes: u64,
}

impl Content for OnDisk {
    fn bytes(&self) -> u64 {
        self.bytes
    }
    fn open(&self) -> io::Result<Box<dyn io::Read + Send>> {
        Ok(Box::new(self.blobs.open(&self.hash)?))
    }
}

struct InMemory(FetchedInMemory);

impl Content for InMemory {
    fn bytes(&self) -> u64 {
        self.0.content.len() as u64
    }
    fn open(&self) -> io::Result<Box<dyn io::Read + Send>> {
        Ok(Box::new(io::Cursor::new(self.0.content.clone())))
    }
}

/// Words of `texts` that may be a password: short, without spaces, the likeliest (after "senha", "password" …) first.
pub(crate) fn password_candidates<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    const CANDIDATES_MAX: usize = 24;
    const CUES: [&str; 8] = ["senha", "password", "pass", "clave", "contraseña", "contrasena", "pwd", "code"];
    let (mut likely, mut others) = (Vec::new(), Vec::new());
    for text in texts {
        let mut after_cue = 0;
        for word in text.split_whitespace().take(400) {
            let bare = word.trim_matches(|c: char| {
                matches!(c, '"' | '\'' | '`' | '*' | '_' | '(' | ')' | ',' | ';' | ':' | '“' | '”')
            });
            let lower = bare.to_lowercase();
            let (head, tail) =
                lower.split_once([':', '=']).map_or((lower.as_str(), 0), |(head, _)| (head, head.len() + 1));
            if CUES.contains(&head) {
                after_cue = 3;
                if let Some(glued) = bare.get(tail..).filter(|glued| tail > 0 && !glued.is_empty()) {
                    likely.push(glued.to_owned());
                }
                continue;
            }
            let fits = (3..=32).contains(&bare.chars().count());
            if fits && after_cue > 0 {
                likely.push(bare.to_owned());
                likely.push(bare.trim_end_matches(['.', '!', '?']).to_owned());
            } else if fits && bare.chars().any(|c| c.is_ascii_digit()) {
                others.push(bare.to_owned());
            }
            after_cue = i32::max(after_cue - 1, 0);
        }
    }
    let mut all: Vec<String> = Vec::new();
    for candidate in likely.into_iter().chain(others) {
        if all.len() < CANDIDATES_MAX && !all.contains(&candidate) {
            all.push(candidate);
        }
    }
    all
}

/// A fetch gets as long as this even where the scan deadline is near.
const FETCH_MIN_MILLIS: u64 = 5_000;
/// A scan gets as long as this after a fetch that took its time.
const SCAN_MIN: Duration = Duration::from_secs(2);
/// A look that begins behind the deadline (the message waited behind another one) is the first or the last chance for its
/// file: it gets as long as this.
const LATE_LOOK_MILLIS: u64 = 60_000;

/// How long a fetch may take: until the scan deadline, but never less than a few seconds.
pub(crate) fn fetch_deadline(deadline_ms: u64, now_ms: u64) -> Instant {
    instant_now() + Duration::from_millis(deadline_ms.saturating_sub(now_ms).max(FETCH_MIN_MILLIS))
}

/// How long the scanners of one look may take: until the scan deadline.
pub(crate) fn scan_deadline(deadline_ms: u64, now_ms: u64) -> Instant {
    let left = deadline_ms.saturating_sub(now_ms);
    instant_now() + Duration::from_millis(if left == 0 { LATE_LOOK_MILLIS } else { left })
}

/// As the runtime tells it, so that a simulation's hours pass here, too.
fn instant_now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn not_in_time(file: &FileUnderScan, scanner: &str) -> Gap {
    Gap {
        reason: GapReason::Timeout,
        place: file.place.clone(),
        inside: String::new(),
        scanner: scanner.to_owned(),
        detail: "it had said nothing when policy.scan_deadline_seconds were over".into(),
        class: FileClass::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_looked_for_where_people_write_them() {
        for (text, expect) in [
            ("segue a nota fiscal em anexo, senha 123", "123"),
            ("Senha: nf2026!", "nf2026!"),
            ("senha:4455", "4455"),
            ("the password is \"infected\"", "infected"),
            ("clave = Abc123.", "Abc123"),
        ] {
            let found = password_candidates([text].into_iter());
            assert!(found.iter().any(|word| word == expect), "{text}: {found:?}");
        }
        assert!(password_candidates(["bom dia, tudo bem com a senhora?"].into_iter()).is_empty());
    }
}
