//! The loop around `process`: claims what is due, as much at a time as its bounds allow, and sweeps what is over.

use crate::{
    process::{Pipeline, spool},
    shares::entries_max,
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};

/// Longest wait for work: due times beyond what the spool announces are met this exactly.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// How long entries in work may go on after a stop was asked for; what is not done is claimed again at the next start.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Entries claimed together. Their bodies are in memory before the bound on bytes in work is asked, so it falls while
/// bodies are large; for small ones many at a time are worth much (measured: 32 at a time cost a third of the throughput).
const CLAIM_MAX: usize = 256;
const CLAIM_MAX_OF_LARGE: usize = 8;
const LARGE_BYTES: usize = 128 * 1024;
/// When an entry comes again whose route has too many bytes in work.
const PUT_BACK_MILLIS: u64 = 250;
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Runs until `shutdown` ends, then lets what is in work end.
pub async fn run(pipeline: Arc<Pipeline>, shutdown: impl Future<Output = ()>) {
    let config = pipeline.parts.config.clone();
    let places = Arc::new(Semaphore::new(config.in_flight_max));
    let kib = (config.in_flight_bytes_max / 1024).clamp(1, Semaphore::MAX_PERMITS);
    let memory = Arc::new(Semaphore::new(kib));
    let spool = spool(&pipeline);
    let sweeper = tokio::spawn(sweep(pipeline.clone()));
    let mut work = JoinSet::new();
    let mut claim_max = CLAIM_MAX;
    tokio::pin!(shutdown);
    loop {
        while work.try_join_next().is_some() {}
        let free = tokio::select! {
            biased;
            () = &mut shutdown => break,
            free = places.acquire() => match free {
                Ok(one) => { drop(one); places.available_permits().max(1) }
                Err(_) => break,
            },
        };
        let routes = pipeline.routes().len();
        let most_of_one = entries_max(config.in_flight_max, routes);
        let claimed = match pipeline.claim(free.min(claim_max), most_of_one).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::error!(%error, "claiming work failed; trying again");
                tokio::time::sleep(WAIT_MAX).await;
                continue;
            }
        };
        if claimed.is_empty() {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                () = spool.wait_for_work() => {}
                () = tokio::time::sleep(WAIT_MAX) => {}
            }
            continue;
        }
        let largest = claimed.iter().map(|entry| entry.body.len()).max().unwrap_or(0);
        claim_max = if largest > LARGE_BYTES { CLAIM_MAX_OF_LARGE } else { CLAIM_MAX };
        for entry in claimed {
            let Some(own) = pipeline.shares.take_bytes(&entry.route, routes, entry.body.len()) else {
                // Its turn comes when some of its route's large bodies are done; others need not wait for them.
                let (pipeline, at) = (pipeline.clone(), pipeline.parts.now_ms() + PUT_BACK_MILLIS);
                work.spawn(async move { pipeline.put_back(&entry.id, at).await });
                continue;
            };
            let weight = u32::try_from(entry.body.len().div_ceil(1024).clamp(1, kib)).unwrap_or(u32::MAX);
            let (Ok(place), Ok(share)) =
                (places.clone().acquire_owned().await, memory.clone().acquire_many_owned(weight).await)
            else {
                break;
            };
            let pipeline = pipeline.clone();
            work.spawn(async move {
                pipeline.process(entry).await;
                drop((place, share, own));
            });
        }
    }
    sweeper.abort();
    let _ = tokio::time::timeout(DRAIN_MAX, async { while work.join_next().await.is_some() {} }).await;
}

/// Retention: the spool's content, then the media nobody needs any more.
async fn sweep(pipeline: Arc<Pipeline>) {
    let parts = &pipeline.parts;
    loop {
        // Routes may have changed.
        let routes = pipeline.routes();
        let retention = Arc::new(parts.config.retention(&routes));
        match parts.spool.sweep(parts.now_ms(), retention).await {
            Ok(swept) if swept != Default::default() => {
                tracing::debug!(?swept, "retention");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "retention could not be applied to the spool"),
        }
        let retention = parts.config.media_retention(&routes);
        if let Err(error) = parts.index.sweep(&parts.blobs, parts.now_ms(), retention).await {
            tracing::warn!(%error, "retention could not be applied to media");
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}
