//! One life of the gateway, from its start to its death or its stop: the real door, the real pipeline and the real
//! sending, between stand-ins. Everything runs on one thread, in simulated time.

use crate::{
    backend::{Misbehaving, SECRET},
    graph::{INSPECTORS, Scanner},
    meta::{APP_SECRET, Post},
    shelf::Shelf,
    store::Disk,
    truth::End,
    world::{Who, World},
};
use bytes::Bytes;
use guarita_deliver::Backend;
use guarita_message::DeliveryId;
use guarita_pipeline::{Ambient, Annotate, Brains, Config, Parts, Pipeline, RouteSettings};
use guarita_policy::{OnDeadline, Policy};
use guarita_receive::Door;
use guarita_rules::{Language, RuleSet};
use guarita_scanners::{CacheConfig, Cached, Keyed};
use guarita_spool::Spool;
use guarita_webhook::{SplitBy, WithheldAs};
use http::{Request, StatusCode};
use http_body_util::Full;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::Duration,
};

/// How long a calm gateway may take to end everything: the longest waits of a few failed tries.
const CALM_MAX: Duration = Duration::from_secs(12 * 3600);

pub struct Gateway {
    door: Arc<Door>,
    pipeline: Arc<Pipeline>,
    spool: Arc<dyn Spool>,
}

/// What differs from run to run, and stays for one.
#[derive(Clone, Debug)]
pub struct Settings {
    pub config: Config,
    pub on_deadline: OnDeadline,
    pub withheld_as: WithheldAs,
}

impl Settings {
    pub fn draw(world: &World) -> Settings {
        world.chance(|chance| Settings {
            config: Config {
                in_flight_max: *chance.pick(&[1, 2, 512]),
                in_flight_bytes_max: 1 << 20,
                files_in_flight_max: *chance.pick(&[1, 2, 32]),
                files_waiting_max: *chance.pick(&[0, 1, 256]),
                lease_seconds: *chance.pick(&[3, 60]),
                scan_deadline_seconds: *chance.pick(&[5, 120]),
                fetch_patience_seconds: *chance.pick(&[0, 20]),
                findings_max: 100,
                keep: guarita_spool::Keep::days(7, 30),
            },
            on_deadline: *chance.pick(&[OnDeadline::Withhold, OnDeadline::Pass]),
            withheld_as: *chance.pick(&[WithheldAs::Text, WithheldAs::Keep, WithheldAs::Unsupported]),
        })
    }
}

impl Gateway {
    fn build(world: &World, disk: &mut Disk, shelf: &Shelf, settings: &Settings) -> Result<Gateway, String> {
        let spool = disk.start(world)?;
        let clock = world.clone();
        let now_ms: guarita_receive::Clock = Arc::new(move || clock.now_ms());
        let transport = Misbehaving { world: world.clone(), shelf: shelf.clone() };
        let backend = Backend::through(
            &guarita_deliver::Config {
                url: "http://backend.example/webhook".into(),
                secret: SECRET.into(),
                connect_seconds_max: 5,
                response_seconds_max: 20,
                idle_connections_max: 8,
                telegram_token: String::new(),
            },
            Arc::new(transport),
        );
        let route = RouteSettings {
            backend: Arc::new(backend.map_err(|error| error.to_string())?),
            policy: policy(settings.on_deadline),
            annotate: Annotate::Message,
            withheld_as: settings.withheld_as,
            notice_language: "pt-BR".into(),
            graph_token: "simulated-token".into(),
            first_contact: false,
            keep: None,
        };
        let scanner = |name, who| -> Arc<dyn guarita_inspect::FileInspector> {
            // As in the product: what was seen once is not looked at again until the signatures change.
            let keyed = if who == Who::Clamd { Keyed::ByContent } else { Keyed::ByFile };
            Arc::new(Cached::new(Scanner { name, who, world: world.clone() }, keyed, CacheConfig::default()))
        };
        let random = world.clone();
        let parts = Parts {
            config: settings.config.clone(),
            spool: spool.clone(),
            fetcher: Arc::new(shelf.clone()),
            index: Arc::new(shelf.clone()),
            blobs: Arc::new(shelf.clone()),
            file_inspectors: vec![scanner(INSPECTORS[0], Who::Clamd), scanner(INSPECTORS[1], Who::Worker)],
            follower: None,
            brains: RwLock::new(Brains { rules: rules(), lists: None, exceptions: Arc::default() }),
            routes: RwLock::new(Arc::new(HashMap::from([("default".to_owned(), Arc::new(route))]))),
            reroute: Arc::new(|_, _| None),
            media_urls: Arc::new(|id, _| Some(format!("http://door.example/{id}"))),
            ambient: Ambient {
                now_ms: now_ms.clone(),
                random: Arc::new(move || random.chance(|chance| chance.next() as u32)),
                threads: false,
            },
        };
        // An upgrade may change how POSTs are split; what is stored stays as it was.
        let split = world.chance(|chance| if chance.happens(700) { SplitBy::Message } else { SplitBy::Conversation });
        let table = guarita_receive::Table::build(vec![guarita_receive::Route {
            name: "default".into(),
            path: "/webhook".into(),
            proof: guarita_receive::Proof::AppSecret(APP_SECRET.into()),
            verify_token: "simulated".into(),
            wishes: guarita_receive::Wishes::default(),
            split,
            backends: 1,
            scoped: false,
            account: String::new(),
            limits: guarita_receive::Limits::default(),
        }]);
        let door = Door::new(
            guarita_receive::Config {
                listen: "127.0.0.1:0".parse().expect("an address"),
                path: "/webhook".into(),
                verify_token: "simulated".into(),
                app_secret: APP_SECRET.into(),
                body_bytes_max: 4 << 20,
                header_seconds_max: 10,
                body_seconds_max: 10,
                connections_max: 1000,
                in_flight_bytes_max: 64 << 20,
                append_seconds_max: 10,
                unmatched: guarita_receive::Unmatched::Refuse,
                tls: None,
            },
            table.map_err(|error| error.to_string())?,
            spool.clone(),
        );
        let door = Arc::new(door.with_clock(now_ms));
        Ok(Gateway { door, pipeline: Arc::new(Pipeline::new(parts)), spool })
    }
}

/// Runs until it dies, is stopped, or (when calm) everything has ended.
pub fn live(
    world: &World,
    disk: &mut Disk,
    shelf: &Shelf,
    settings: &Settings,
    posts: &Arc<Mutex<Vec<Post>>>,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|error| error.to_string())?;
    let ended = runtime.block_on(async {
        world.begin_life();
        let gateway = Gateway::build(world, disk, shelf, settings)?;
        let ended = walk(world, &gateway, posts).await;
        world.end_life(world.now_ms());
        ended
    });
    // Every task goes at the await where it stands: that is the crash.
    drop(runtime);
    ended
}

async fn walk(world: &World, gateway: &Gateway, posts: &Arc<Mutex<Vec<Post>>>) -> Result<(), String> {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = guarita_pipeline::run(gateway.pipeline.clone(), async {
        let _ = stopped.await;
    });
    let running = tokio::spawn(running);
    let clock = world.clone();
    tokio::spawn(async move { clock.jump_now_and_then().await });
    for at in 0..posts.lock().unwrap_or_else(PoisonError::into_inner).len() {
        tokio::spawn(send(world.clone(), gateway.door.clone(), posts.clone(), at));
    }
    let calm = world.lock().calm;
    if calm {
        let settled = async {
            until_all_ended(world, posts).await;
            // What was given up is given another chance, and must then arrive.
            let given_up = ended_as(world, End::DeadLettered);
            for id in given_up {
                gateway.spool.retry(world.now_ms(), &id).await.map_err(|error| error.to_string())?;
            }
            until_all_ended(world, posts).await;
            Ok(())
        };
        return tokio::select! {
            biased;
            () = world.death() => Ok(()),
            settled = tokio::time::timeout(CALM_MAX, settled) => match settled {
                Ok(settled) => settled,
                Err(_) => Err(unfinished(world, posts)),
            },
        };
    }
    tokio::spawn(operate(world.clone(), gateway.spool.clone()));
    tokio::spawn(load_signatures(world.clone()));
    let (lasts_ms, gently) = world.chance(|chance| (chance.within(200..300_000), chance.happens(200)));
    tokio::select! {
        biased;
        () = world.death() => {}
        () = tokio::time::sleep(Duration::from_millis(lasts_ms)) => {}
    }
    if gently && !world.lock().dead {
        let _ = stop.send(());
        tokio::select! {
            biased;
            () = world.death() => {}
            _ = running => world.note(|| "stopped gently".into()),
        }
    }
    Ok(())
}

/// One POST, as Meta sends it: again and again until its 200, and perhaps after that.
async fn send(world: World, door: Arc<Door>, posts: Arc<Mutex<Vec<Post>>>, at: usize) {
    let post = posts.lock().unwrap_or_else(PoisonError::into_inner)[at].clone();
    let calm = world.lock().calm;
    let mut left = post.repeats + u64::from(!post.acknowledged);
    if calm && post.acknowledged {
        return;
    }
    tokio::time::sleep(Duration::from_millis(if calm { 0 } else { post.wait_ms })).await;
    while left > 0 {
        let request = Request::post("/webhook")
            .header("content-type", "application/json")
            .header("x-hub-signature-256", guarita_webhook::sign(APP_SECRET.as_bytes(), &post.body))
            .body(Full::new(Bytes::from(post.body.clone())))
            .expect("a plain request");
        // Meta does not wait for ever, and a closed connection takes the request's future with it.
        let patience = Duration::from_millis(world.chance(|chance| chance.within(2_000..30_000)));
        let answer = tokio::time::timeout(patience, door.answer(request)).await;
        let status = answer.map(|answer| answer.status());
        world.note(|| format!("{:?} was answered {status:?}", post.tags));
        match status {
            Ok(StatusCode::OK) => {
                left -= 1;
                posts.lock().unwrap_or_else(PoisonError::into_inner)[at].acknowledged = true;
                let mut state = world.lock();
                for tag in &post.tags {
                    state.truth.acknowledged.insert(*tag);
                    if !state.truth.entry_of.contains_key(tag) {
                        state.broken(format!("update {tag} was answered 200 and is not stored"));
                    }
                }
            }
            Ok(StatusCode::SERVICE_UNAVAILABLE) | Err(_) => {}
            Ok(other) => world.broken(format!("a good POST was answered {other}")),
        }
        let wait = world.chance(|chance| chance.within(100..10_000));
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
}

/// A person at the console, who lets go what was withheld and puts back what was given up.
async fn operate(world: World, spool: Arc<dyn Spool>) {
    loop {
        let wait = world.chance(|chance| chance.within(5_000..200_000));
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let (given_up, done) = (ended_as(&world, End::DeadLettered), ended_as(&world, End::Delivered));
        let (retry, at) = world.chance(|chance| (chance.happens(700), chance.next() as usize));
        if retry && !given_up.is_empty() {
            let _ = spool.retry(world.now_ms(), &given_up[at % given_up.len()]).await;
        } else if !retry && !done.is_empty() {
            let _ = spool.release(world.now_ms(), &done[at % done.len()], "simulated").await;
        }
    }
}

/// New signatures come now and then; in some lives so often that they change between two looks at one content, or during one.
async fn load_signatures(world: World) {
    let often = world.chance(|chance| chance.happens(300));
    loop {
        let wait = world.chance(|chance| chance.within(if often { 50..3_000 } else { 1_000..120_000 }));
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let mut state = world.lock();
        state.signatures += 1;
        let version = state.signatures;
        state.note(|| format!("signatures {version}"));
    }
}

fn ended_as(world: &World, end: End) -> Vec<DeliveryId> {
    let state = world.lock();
    let entries = state.truth.entries.iter();
    entries.filter(|(_, entry)| entry.end == Some(end)).map(|(id, _)| id.clone()).collect()
}

async fn until_all_ended(world: &World, posts: &Arc<Mutex<Vec<Post>>>) {
    loop {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let taken = posts.lock().unwrap_or_else(PoisonError::into_inner).iter().all(|post| post.acknowledged);
        if taken && world.lock().truth.entries.values().all(|entry| entry.end.is_some()) {
            return;
        }
    }
}

fn unfinished(world: &World, posts: &Arc<Mutex<Vec<Post>>>) -> String {
    let waiting = posts.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|post| !post.acknowledged).count();
    let state = world.lock();
    let entries: Vec<_> = state.truth.entries.values().filter(|entry| entry.end.is_none()).map(|e| &e.tags).collect();
    format!(
        "{} hours of calm, and {waiting} POSTs were not taken, entries {entries:?} did not end",
        CALM_MAX.as_secs() / 3600
    )
}

fn rules() -> Arc<RuleSet> {
    static RULES: OnceLock<Arc<RuleSet>> = OnceLock::new();
    let compile = || Arc::new(RuleSet::compile(Vec::new(), Language::Portuguese).expect("no rules are rules, too"));
    RULES.get_or_init(compile).clone()
}

fn policy(on_deadline: OnDeadline) -> Arc<Policy> {
    static WITHHOLD: OnceLock<Arc<Policy>> = OnceLock::new();
    static PASS: OnceLock<Arc<Policy>> = OnceLock::new();
    const DEFAULT: &str = include_str!("../../../rules/policy/default.toml");
    let read = || Arc::new(Policy::read(&[("default", DEFAULT)], on_deadline).expect("the default policy is tested"));
    match on_deadline {
        OnDeadline::Withhold => WITHHOLD.get_or_init(read).clone(),
        OnDeadline::Pass => PASS.get_or_init(read).clone(),
    }
}
