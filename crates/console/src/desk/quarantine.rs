//! What was held back: let it go, delete it, carry its files away. Each with a reason, each in the audit first.

use super::{Desk, DeskError, Done, checked_reason, now_ms};
use crate::{
    actor::{Actor, Scope},
    archive,
    audit::Action,
    desk::{ExceptionKind, NewException, Side},
    store::random,
};
use bytes::Bytes;
use guarita_message::ContentHash;
use guarita_spool::State;
use serde::Deserialize;
use std::{
    io::{self, Write},
    time::Duration,
};
use tokio::sync::mpsc;

/// How a held message is let go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Release {
    pub reason: String,
    /// Let the same files pass from now on, too; an exception by hash for each of them.
    pub exception: bool,
    /// Days that the exception holds; `None`: until it is removed.
    pub exception_days: Option<u32>,
}

/// A file as a zip with the password [`archive::PASSWORD`], streamed.
#[derive(Debug)]
pub struct Archive {
    /// Plain ASCII: fit for a header.
    pub name: String,
    pub content: mpsc::Receiver<io::Result<Bytes>>,
}

impl Desk {
    /// Lets a held message go as it came. The pipeline takes it from here: one road to the backend.
    pub async fn release(&self, actor: &Actor, id: &str, release: &Release) -> Done<()> {
        self.need(actor, Scope::Review)?;
        let reason = checked_reason(&release.reason)?;
        let record = self.record(id).await?;
        if !record.quarantine || record.released_by.is_some() {
            return Err(DeskError::Conflict("this message is not held back, or was released before".into()));
        }
        let report = self.report(&record.id).await?;
        let hashes = if release.exception { report.hashes() } else { Vec::new() };
        let malware = report.messages.iter().any(|message| {
            message.inspection.findings.iter().any(|finding| finding.category == guarita_message::Category::Malware)
        });
        if release.exception {
            if hashes.is_empty() {
                return Err(DeskError::Wrong { field: "exception", problem: "there is no file to except".into() });
            }
            if malware {
                self.need(actor, Scope::Admin)?;
            }
        }
        self.note(actor, Action::Released, &record.id.0, &reason).await?;
        self.spool.release(now_ms(), &record.id, &actor.name).await?;
        for hash in hashes {
            let exception = NewException {
                side: Side::Allow,
                kind: ExceptionKind::Hash,
                value: hash.to_string(),
                covers_malware: malware,
                reason: reason.clone(),
                days: release.exception_days,
            };
            self.add_exception(actor, &exception).await?;
        }
        Ok(())
    }

    /// Removes an entry's contents and its files for good; the record of what was decided stays.
    pub async fn delete(&self, actor: &Actor, id: &str, reason: &str) -> Done<()> {
        self.need(actor, Scope::Review)?;
        let reason = checked_reason(reason)?;
        let record = self.record(id).await?;
        if matches!(record.state, State::Received | State::Decided) {
            let what = "this message is still on its way; let it end, or let the backend refuse it";
            return Err(DeskError::Conflict(what.into()));
        }
        self.note(actor, Action::Deleted, &record.id.0, &reason).await?;
        let report = self.report(&record.id).await?;
        // The entry first: if it was put back in line meanwhile it is refused, and must keep its files.
        self.spool.erase_entry(&record.id).await?;
        self.erase_files(report.media_ids().map(str::to_owned).collect()).await.map(drop)
    }

    /// One of an entry's files, by its hash.
    pub async fn download(&self, actor: &Actor, id: &str, hash: &str, reason: &str) -> Done<Archive> {
        self.need(actor, Scope::Content)?;
        self.need(actor, Scope::Review)?;
        let reason = checked_reason(reason)?;
        let record = self.record(id).await?;
        let report = self.report(&record.id).await?;
        // Only a file of this very entry: a hash alone opens nothing.
        let mut files = report.messages.iter().flat_map(|message| &message.inspection.files);
        let file = files
            .find(|file| file.sha256.is_some_and(|known| known.to_string() == hash))
            .ok_or(DeskError::NotFound("file"))?;
        let hash: ContentHash = hash.parse().map_err(|_| DeskError::NotFound("file"))?;
        let place =
            self.downloads.clone().try_acquire_owned().map_err(|_| {
                DeskError::Busy("too many downloads are in progress; try again when one has ended".into())
            })?;
        let member = archive::member_name(&file.name);
        let blobs = self.blobs.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let mut content = blobs.open(&hash)?;
            let measured = archive::measure(&mut *content)?;
            content.seek_to(0)?;
            io::Result::Ok((content, measured))
        });
        let (mut content, measured) = match opened.await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Err(DeskError::NotFound("file")),
            Ok(Err(error)) => return Err(DeskError::Failed(error.to_string())),
            Err(_) => return Err(DeskError::Failed("reading the file crashed; please report this".into())),
        };
        if measured.1 > archive::BYTES_MAX {
            return Err(DeskError::Conflict("the file is too large to be downloaded this way".into()));
        }
        self.note(actor, Action::Downloaded, &record.id.0, &reason).await?;
        let salt = random::<11>()?;
        let (sender, receiver) = mpsc::channel(4);
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let mut out = Channel { to: sender, runtime };
            if let Err(error) = archive::write(&mut out, &member, &mut *content, measured, salt) {
                // The reader went away, or gets a body that ends too soon and says so.
                let _ = out.to.try_send(Err(error));
            }
            drop(place);
        });
        let name = format!("guarita-{}-{}.zip", record.id, &hash.to_string()[..12]);
        Ok(Archive { name, content: receiver })
    }
}

/// Where a blocking writer hands its bytes to a response.
struct Channel {
    to: mpsc::Sender<io::Result<Bytes>>,
    runtime: tokio::runtime::Handle,
}

/// A reader that takes nothing for so long has gone; its place is another's.
const STALL_MAX: Duration = Duration::from_secs(60);

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.to.send(Ok(Bytes::copy_from_slice(bytes)));
        match self.runtime.block_on(async { tokio::time::timeout(STALL_MAX, sent).await }) {
            Ok(Ok(())) => Ok(bytes.len()),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
