//! Is this clamd worth asking? It must name its version, find EICAR, and call a clean buffer clean. An address is asked
//! about files only after that, and the test is repeated; while it fails, scans are gaps.

use crate::{
    clamd::{Asked, Peer, Shared, Trouble, ask, ask_version},
    judge::{Judged, judge},
    reply::{EngineVersion, Reply},
    status::SelfTestStatus,
    test_set::eicar,
    titles::Titles,
};
use guarita_inspect::Content;
use std::{
    io::{self, Cursor, Read},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::time::sleep;

/// The first wait before a lost address is tried again.
const RECHECK_FIRST: Duration = Duration::from_millis(250);

/// Watches one address as long as the scanner lives.
pub(crate) async fn watch(shared: Arc<Shared>, index: usize) {
    let peer = &shared.peers[index];
    let mut recheck = RECHECK_FIRST;
    loop {
        match test(peer, &shared).await {
            Ok((version, detail)) => {
                peer.set_up(version, self_test(true, detail), &shared);
                recheck = RECHECK_FIRST;
                stay_with(peer, &shared).await;
            }
            Err(trouble) => {
                peer.set_self_test(self_test(false, trouble.why.clone()));
                peer.set_down(trouble, &shared);
                tokio::select! {
                    () = sleep(recheck) => {}
                    () = peer.kick.notified() => {}
                }
                recheck = (recheck * 2).min(Duration::from_secs(shared.config.recheck_seconds_max));
            }
        }
    }
}

/// Returns when the self-test is due again, or something happened to the address.
async fn stay_with(peer: &Peer, shared: &Shared) {
    let due = Instant::now() + Duration::from_secs(shared.config.self_test_minutes * 60);
    while Instant::now() < due && peer.is_up() {
        let wait =
            Duration::from_secs(shared.config.version_seconds).min(due.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = sleep(wait) => {}
            () = peer.kick.notified() => return,
        }
        match ask_version(&peer.address, &shared.config).await {
            Ok(version) => peer.set_version(version),
            Err(_) => return,
        }
    }
}

async fn test(peer: &Peer, shared: &Shared) -> Result<(EngineVersion, String), Trouble> {
    let version = ask_version(&peer.address, &shared.config).await?;
    let found = match ask(&peer.address, Arc::new(Buffer(eicar())), &shared.config, None).await {
        Asked::Answer(Reply::Found(name)) if matches!(judge(&name, "", &Titles::default()), Judged::Finding(_)) => name,
        Asked::Answer(Reply::Ok | Reply::Found(_)) => {
            return Err(Trouble {
                why: "self-test failed: clamd does not find the EICAR test file".into(),
                mend: "its database is empty or foreign: run `freshclam`, or add a signature for EICAR".into(),
            });
        }
        other => return Err(not_answered("the EICAR test file", other)),
    };
    match ask(&peer.address, Arc::new(Buffer(clean())), &shared.config, None).await {
        Asked::Answer(Reply::Ok) => Ok((version, format!("EICAR found as {found}, a clean buffer is clean"))),
        Asked::Answer(Reply::Found(_)) => Err(Trouble {
            why: "self-test failed: clamd calls a clean buffer infected".into(),
            mend: "a signature in its database matches everything: remove it, then reload".into(),
        }),
        other => Err(not_answered("a clean buffer", other)),
    }
}

fn not_answered(what: &str, asked: Asked) -> Trouble {
    match asked {
        Asked::NotConnected(why) | Asked::BrokenOff(why) => Trouble::unreachable(&why),
        Asked::TimedOut => Trouble {
            why: format!("self-test failed: no answer about {what} in time"),
            mend: "look at clamd's load, or restart it".into(),
        },
        Asked::Answer(Reply::NotLookedAt(_, detail)) | Asked::OurFault(detail) => Trouble {
            why: format!("self-test failed on {what}: {detail}"),
            mend: "look at clamd's log; correct clamav.address if something else listens there".into(),
        },
        Asked::Answer(Reply::Ok | Reply::Found(_)) => Trouble::unreachable("an answer nobody expected"),
    }
}

fn self_test(passed: bool, detail: String) -> SelfTestStatus {
    SelfTestStatus { passed, at: crate::database::now_seconds(), detail }
}

/// Another one each time, for clamd remembers clean files.
fn clean() -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("guarita self-test: nothing to see here {now}\n").into_bytes()
}

/// Bytes in memory as a content.
pub(crate) struct Buffer(pub(crate) Vec<u8>);

impl Content for Buffer {
    fn bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.0.clone())))
    }
}
