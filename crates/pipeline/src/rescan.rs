//! Looks again at the attachments that were let through: when signatures, rules or lists changed, once a day, and when a
//! person asks. What is worse than it was thought to be is taken from the media door, and told.
//!
//! It walks over the ids that are served, in the order of their keys, and remembers its place, so it goes on after a
//! restart. When what it looks with changes on the way, it goes on to the end and then over the part before, so that
//! changes every hour do not keep it at the beginning. One file at a time by default, with a pause after each as long as
//! the look took, and it waits while live traffic needs the scanners. What could not be looked at is no news: a gap never
//! makes a verdict worse here, and the next walk tries again.

mod origin;

use crate::{
    Pipeline, VerdictChanged,
    file_lists::{listed_file, silence_allowed},
    files::on_disk,
    texts::{FollowedLinks, inspect_texts},
};
use futures_util::future::join_all;
use guarita_inspect::FileUnderScan;
use guarita_media::{IndexError, MediaKey, MediaState, Served, ServedMedia};
use guarita_message::{ContentHash, Finding, Inspection, Severity, Verdict};
use guarita_policy::{Circumstances, decide};
use guarita_spool::SpoolError;
use origin::Origin;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// `[rescan]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RescanConfig {
    pub enabled: bool,
    /// A walk begins at least this often; 0: only when something changed or a person asks.
    pub hours: u64,
    /// Files looked at together.
    pub files_at_once: usize,
    /// Shortest pause between files; it is at least as long as the look before it took.
    pub pause_ms: u64,
    /// Longest wait of one file for live traffic.
    pub yield_seconds_max: u64,
    /// How often it is asked whether signatures, rules or lists changed.
    pub check_seconds: u64,
}

/// What files are looked at with: signatures, rules, lists. `None`: a scanner is not ready, so nothing is begun.
pub type Stamp = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// How it stands, for the console.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RescanStatus {
    pub running: bool,
    pub began_ms: u64,
    /// 0: never.
    pub finished_ms: u64,
    /// Of this walk, or the last one.
    pub files: u64,
    pub worse: u64,
}

pub struct Rescan {
    pipeline: Arc<Pipeline>,
    served: Arc<dyn Served>,
    config: RescanConfig,
    stamp: Stamp,
    asked: AtomicBool,
    wake: Notify,
    status: Mutex<RescanStatus>,
}

/// The walk's place, kept in the index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Progress {
    stamp: String,
    running: bool,
    /// Looked at up to here.
    after: Option<String>,
    /// After the end, go over the beginning again up to here: it was looked at with an older stamp.
    again_until: Option<String>,
    /// On the way over the beginning.
    wrapped: bool,
    began_ms: u64,
    finished_ms: u64,
    files: u64,
    worse: u64,
}

/// What a look came to; the label `outcome` of `guarita_rescan_files_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Unchanged,
    Worse,
    /// Known to be worse from a walk before; nobody is told twice.
    Known,
    /// Could not be looked at now.
    Gap,
    /// Its retention is over.
    Gone,
}

const OUTCOMES: [Outcome; 5] = [Outcome::Unchanged, Outcome::Worse, Outcome::Known, Outcome::Gap, Outcome::Gone];

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Unchanged => "unchanged",
            Outcome::Worse => "worse",
            Outcome::Known => "known",
            Outcome::Gap => "gap",
            Outcome::Gone => "gone",
        }
    }
}

/// A fault of our own disk; the walk waits and goes on.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("{0}")]
    Told(String),
}

const NOTE: &str = "rescan";
/// Ids of the index looked at in one step; after each the place is kept.
const STEP: usize = 64;
/// Ids of one content that are taken from the door together.
const REVOKED_AT_ONCE: usize = 256;
/// Findings told of one file.
const FINDINGS_TOLD_MAX: usize = 20;
const AFTER_FAULT: Duration = Duration::from_secs(30);

impl Rescan {
    pub fn new(pipeline: Arc<Pipeline>, served: Arc<dyn Served>, config: RescanConfig, stamp: Stamp) -> Self {
        for outcome in OUTCOMES {
            metrics::counter!("guarita_rescan_files_total", "outcome" => outcome.as_str()).increment(0);
        }
        metrics::gauge!("guarita_rescan_running").set(0);
        metrics::gauge!("guarita_rescan_finished_timestamp_seconds").set(0);
        Rescan {
            pipeline,
            served,
            config,
            stamp,
            asked: AtomicBool::new(false),
            wake: Notify::new(),
            status: Mutex::default(),
        }
    }

    /// A person asks for a walk, now.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }

    pub fn status(&self) -> RescanStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs until `shutdown` ends. What it was at is looked at again after the next start.
    pub async fn run(self: Arc<Self>, shutdown: impl Future<Output = ()>) {
        if !self.config.enabled {
            return;
        }
        let working = async {
            loop {
                let wait = match self.turn().await {
                    Ok(true) => continue,
                    Ok(false) => Duration::from_secs(self.config.check_seconds.max(1)),
                    Err(error) => {
                        tracing::warn!(%error, "the rescan waits for a moment");
                        AFTER_FAULT
                    }
                };
                let _ = tokio::time::timeout(wait, self.wake.notified()).await;
            }
        };
        tokio::select! {
            () = working => {}
            () = shutdown => {}
        }
    }

    /// One step, or nothing to do.
    async fn turn(&self) -> Result<bool, Fault> {
        let Some(stamp) = (self.stamp)() else { return Ok(false) };
        let kept = self.served.recall(NOTE).await?;
        let mut progress: Progress = kept.and_then(|kept| serde_json::from_slice(&kept).ok()).unwrap_or_default();
        let asked = self.asked.swap(false, Ordering::Relaxed);
        let before = progress.clone();
        if !begin(&mut progress, &stamp, self.pipeline.parts().now_ms(), self.config.hours, asked) {
            self.show(&progress);
            return Ok(false);
        }
        if progress.running && !before.running {
            tracing::info!("a rescan of what is served begins");
        }
        self.step(&mut progress).await?;
        if !progress.running {
            progress.finished_ms = self.pipeline.parts().now_ms();
            tracing::info!(files = progress.files, worse = progress.worse, "the rescan is done");
        }
        self.served.remember(NOTE, serde_json::to_vec(&progress).unwrap_or_default()).await?;
        self.show(&progress);
        Ok(true)
    }

    fn show(&self, progress: &Progress) {
        metrics::gauge!("guarita_rescan_running").set(if progress.running { 1.0 } else { 0.0 });
        metrics::gauge!("guarita_rescan_finished_timestamp_seconds").set((progress.finished_ms / 1000) as f64);
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = RescanStatus {
            running: progress.running,
            began_ms: progress.began_ms,
            finished_ms: progress.finished_ms,
            files: progress.files,
            worse: progress.worse,
        };
    }

    async fn step(&self, progress: &mut Progress) -> Result<(), Fault> {
        let after = progress.after.as_deref().and_then(MediaKey::from_hex);
        let (mut served, last) = self.served.walk(after, STEP).await?;
        let end = progress.again_until.as_deref().and_then(MediaKey::from_hex).filter(|_| progress.wrapped);
        if let Some(end) = end {
            served.retain(|one| one.key <= end);
        }
        for together in served.chunks(self.config.files_at_once.max(1)) {
            self.yield_to_live_traffic().await;
            let began = Instant::now();
            for outcome in join_all(together.iter().map(|one| self.look(one))).await {
                let outcome = outcome?;
                metrics::counter!("guarita_rescan_files_total", "outcome" => outcome.as_str()).increment(1);
                progress.files += 1;
                progress.worse += u64::from(outcome == Outcome::Worse);
            }
            tokio::time::sleep(began.elapsed().max(Duration::from_millis(self.config.pause_ms))).await;
        }
        go_on(progress, last, end);
        Ok(())
    }

    /// Live files first; but a gateway that is never idle gets its rescan, too.
    async fn yield_to_live_traffic(&self) {
        let end = Instant::now() + Duration::from_secs(self.config.yield_seconds_max);
        while self.pipeline.is_busy_with_files() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn look(&self, one: &ServedMedia) -> Result<Outcome, Fault> {
        let parts = self.pipeline.parts();
        let (blobs, hash) = (parts.blobs.clone(), one.content.hash);
        let bytes = tokio::task::spawn_blocking(move || blobs.bytes(&hash)).await;
        if !matches!(bytes, Ok(Ok(Some(_)))) {
            return Ok(Outcome::Gone);
        }
        let origin = Origin::find(&self.pipeline, &*self.served, one).await?;
        let now = self.inspect(one, origin.as_ref()).await;
        let before = origin.as_ref().map(|origin| &origin.before[..]).unwrap_or_default();
        if badness(&now.findings) <= badness(before) {
            return Ok(if now.gaps.is_empty() { Outcome::Unchanged } else { Outcome::Gap });
        }
        let revoke = self.would_be_withheld(origin.as_ref(), &now);
        self.tell(one, origin, &now, revoke).await
    }

    /// Both rounds, for this file alone.
    async fn inspect(&self, one: &ServedMedia, origin: Option<&Origin>) -> Inspection {
        let parts = self.pipeline.parts();
        let place = origin.map_or_else(|| "/file".to_owned(), |origin| origin.place.clone());
        let report = origin.and_then(|origin| origin.report.as_ref());
        let file = FileUnderScan {
            place: place.clone(),
            name: report.map(|report| report.name.clone()).or_else(|| one.content.name.clone()).unwrap_or_default(),
            declared_type: report.map_or_else(|| one.content.mime_type.clone(), |report| report.declared_type.clone()),
            hash: one.content.hash,
            content: on_disk(parts, &one.content),
            passwords: origin.map(|origin| origin.passwords.clone()).unwrap_or_default(),
        };
        let mut inspection = Inspection::default();
        for seen in join_all(parts.file_inspectors.iter().map(|inspector| inspector.inspect(&file))).await {
            inspection.merge(seen);
        }
        if let Some(origin) = origin {
            let (message, brains) = (origin.file_alone(), self.pipeline.brains());
            let seen = inspection.clone();
            // Our own text inspection, off the event loop; what it does not see is as if it had not been asked.
            let judged = tokio::task::spawn_blocking(move || {
                let mut seen = seen;
                inspect_texts(&message, &mut seen, &brains, &FollowedLinks::default());
                seen
            });
            if let Ok(judged) = judged.await {
                inspection = judged;
            }
        }
        let brains = self.pipeline.brains();
        inspection.findings.extend(listed_file(&brains, &one.content.hash, &place));
        silence_allowed(&mut inspection, &brains, &one.content.hash, &place);
        let excepted = |finding: &Finding| brains.exceptions.for_file(finding, Some(&one.content.hash)).is_some();
        inspection.findings.retain(|finding| finding.place == place && !finding.shadow && !excepted(finding));
        inspection
    }

    /// What today's policy would do with it. Gaps say nothing here.
    fn would_be_withheld(&self, origin: Option<&Origin>, now: &Inspection) -> bool {
        let seen = Inspection { gaps: Vec::new(), ..now.clone() };
        let route = origin.and_then(|origin| self.pipeline.route(&origin.route));
        match (origin, route) {
            (Some(origin), Some(route)) => {
                let over = Circumstances { deadline_passed: true };
                let decision = decide(&origin.message, &seen, &route.policy, over);
                decision.withheld.contains(&origin.place) || decision.not_served.contains(&origin.place)
            }
            // Nobody knows any more what it came with: as the default policy has it.
            _ => badness(&seen.findings) == 2,
        }
    }

    /// First the news, on disk; then the door. A crash between the two looks at the file again, and the news has one id.
    async fn tell(
        &self,
        one: &ServedMedia,
        origin: Option<Origin>,
        now: &Inspection,
        revoke: bool,
    ) -> Result<Outcome, Fault> {
        let at = self.pipeline.parts().now_ms();
        if !revoke {
            let news = self.news(one, origin.as_ref(), now, false, at);
            return Ok(if self.note(&news).await? { Outcome::Worse } else { Outcome::Known });
        }
        let hash = one.content.hash;
        let route = origin.as_ref().and_then(|origin| self.pipeline.route(&origin.route));
        let keep = route.and_then(|route| route.keep).unwrap_or(self.pipeline.parts().config.keep);
        self.served.keep_until(at.saturating_add(keep.quarantine), vec![hash]).await?;
        // The same bytes may have been sent by others as well.
        loop {
            let all = self.served.serving(hash, REVOKED_AT_ONCE).await?;
            if all.is_empty() {
                return Ok(Outcome::Worse);
            }
            for other in &all {
                let theirs = Origin::find(&self.pipeline, &*self.served, other).await?;
                self.note(&self.news(other, theirs.as_ref(), now, true, at)).await?;
            }
            let withheld = all.into_iter().map(|one| (one.key, MediaState::Withheld(Some(one.content)))).collect();
            self.served.decide(at, withheld).await?;
        }
    }

    async fn note(&self, news: &VerdictChanged) -> Result<bool, Fault> {
        let first = self.pipeline.observer().verdict_changed(news).await.map_err(Fault::Told)?;
        if first {
            let delivery = news.delivery.as_ref().map_or("", |id| &id.0);
            tracing::warn!(
                delivery, before = %news.before, after = %news.after, revoked = news.revoked,
                "a file that was let through is worse than it was thought to be"
            );
        }
        Ok(first)
    }

    fn news(
        &self,
        one: &ServedMedia,
        origin: Option<&Origin>,
        now: &Inspection,
        revoked: bool,
        at: u64,
    ) -> VerdictChanged {
        let place = origin.map_or_else(|| "/file".to_owned(), |origin| origin.place.clone());
        let mut findings = now.findings.clone();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        findings.truncate(FINDINGS_TOLD_MAX);
        findings.iter_mut().for_each(|finding| finding.place.clone_from(&place));
        VerdictChanged {
            id: news_id(&one.key, &one.content.hash, revoked, &findings),
            at_ms: at,
            route: origin.map(|origin| origin.route.clone()),
            delivery: origin.map(|origin| origin.delivery.clone()),
            message: origin.map(|origin| origin.message.id.clone()),
            media: origin.and_then(|origin| origin.media.clone()),
            place,
            sha256: one.content.hash,
            before: verdict(origin.map(|origin| &origin.before[..]).unwrap_or_default()),
            after: verdict(&now.findings),
            revoked,
            findings,
            scanned_by: now.files.iter().flat_map(|file| file.scanned_by.clone()).collect(),
        }
    }
}

/// Whether there is a walk to go on with; begins one if it is time.
fn begin(progress: &mut Progress, stamp: &str, now: u64, hours: u64, asked: bool) -> bool {
    let changed = progress.stamp != stamp;
    if progress.running {
        if changed || asked {
            // What lies behind was looked at with what is old now.
            progress.again_until = progress.after.clone();
            progress.wrapped = false;
            progress.stamp = stamp.to_owned();
        }
        return true;
    }
    let over = hours > 0 && now.saturating_sub(progress.began_ms) >= hours * 3_600_000;
    // A clock that went back must not put the next walk off for years.
    let over = over || progress.began_ms > now;
    if !(changed || asked || over) {
        return false;
    }
    *progress = Progress {
        stamp: stamp.to_owned(),
        running: true,
        began_ms: now,
        finished_ms: progress.finished_ms,
        ..Progress::default()
    };
    true
}

/// Moves on behind `last`, round once if need be, or ends the walk.
fn go_on(progress: &mut Progress, last: Option<MediaKey>, end: Option<MediaKey>) {
    match last {
        Some(last) if end.is_none_or(|end| last < end) => progress.after = Some(last.to_hex()),
        None if !progress.wrapped && progress.again_until.is_some() => {
            progress.wrapped = true;
            progress.after = None;
        }
        _ => {
            progress.running = false;
            progress.after = None;
            progress.again_until = None;
            progress.wrapped = false;
        }
    }
}

/// 0 nothing to speak of, 1 suspicious, 2 malicious. Gaps are not asked.
fn badness(findings: &[Finding]) -> u8 {
    let worst = findings.iter().filter(|finding| !finding.shadow).map(|finding| finding.severity).max();
    match worst {
        Some(Severity::High | Severity::Critical) => 2,
        Some(Severity::Medium) => 1,
        _ => 0,
    }
}

fn verdict(findings: &[Finding]) -> Verdict {
    [Verdict::Clean, Verdict::Suspicious, Verdict::Malicious][usize::from(badness(findings))]
}

/// The same news has the same id, whenever it is found.
fn news_id(key: &MediaKey, hash: &ContentHash, revoked: bool, findings: &[Finding]) -> String {
    let mut rules: Vec<&str> = findings.iter().map(|finding| finding.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let mut hasher = Sha256::new();
    for piece in [key.to_hex(), hash.to_string(), revoked.to_string()].iter().map(String::as_str).chain(rules) {
        hasher.update(piece.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
