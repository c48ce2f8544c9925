//! Builds the gateway from its configuration, starts it and stops it. Wiring only: what each thing does stands in its
//! own crate.

use crate::{
    config::{ConfigError, Settings},
    engine::{Engine, Wanted},
    lists,
    metrics::Metrics,
    news,
    reload::{Reloadable, watch_configuration},
    routes::Plan,
};
use guarita_console::{Check, Desk, Readiness, Store};
use guarita_media::{BlobStore, DiskBlobs, Door, Fetcher, MediaIndex, MediaKeys};
use guarita_pipeline::{Parts, Pipeline, Rescan};
use guarita_spool::{Spool, SqliteSpool};
use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

/// Longest wait for one part to end by itself; container engines kill after ten seconds.
const STOP_MAX: Duration = Duration::from_secs(6);

/// Backends that `/readyz` names although they are well.
const BACKENDS_SHOWN_MAX: usize = 20;
/// With less free under `storage.path` a webhook body of the largest size finds no room.
const FREE_BYTES_LEAST: u64 = 4 << 20;

/// A running gateway.
pub struct Gateway {
    pub receive: SocketAddr,
    pub media: Option<SocketAddr>,
    pub console: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    inner: Arc<Inner>,
    desk: Arc<Desk>,
}

/// What the doors hold together; the console asks it through `operators.rs`.
pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) spool: Arc<SqliteSpool>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) reloadable: Arc<Reloadable>,
    pub(crate) metrics: Metrics,
    pub(crate) storage: std::path::PathBuf,
    pub(crate) list_files: std::sync::Mutex<Vec<lists::ListFile>>,
    pub(crate) settings: Settings,
    pub(crate) started: Instant,
    pub(crate) trying: tokio::sync::Semaphore,
    /// The console's entries in the lists; held while lists are read, so that one reading ends before the next begins.
    pub(crate) list_entries: tokio::sync::Mutex<Vec<guarita_inspect::links::ListEntry>>,
    /// Changes when the console's exceptions do; part of what a rescan asks.
    pub(crate) exceptions_stamp: std::sync::atomic::AtomicU64,
    pub(crate) watch: Arc<news::Watch>,
    pub(crate) rescan: std::sync::OnceLock<Arc<Rescan>>,
}

/// Why the gateway did not start; each says how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot listen on {address} ({key}): {error}\n  mend: free the address, or set another {key}")]
    Listen { key: &'static str, address: String, error: std::io::Error },
    #[error("{what}: {why}")]
    Other { what: &'static str, why: String },
}

impl Gateway {
    pub async fn start(settings: Settings) -> Result<Gateway, StartError> {
        Self::start_watching(settings, None).await
    }

    /// `file`: what is read anew when it changes, or when the process is told to (SIGHUP).
    pub async fn start_watching(
        mut settings: Settings,
        file: Option<std::path::PathBuf>,
    ) -> Result<Gateway, StartError> {
        let other = |what: &'static str| {
            move |error: &dyn std::fmt::Display| StartError::Other { what, why: error.to_string() }
        };
        let plan = Plan::of(&settings, "configuration")?;
        let table = plan.table()?;
        let (routes, backends) = plan.settings(&Default::default())?;
        let metrics = Metrics::install().map_err(|error| other("metrics")(&error))?;

        // Doors are bound first: an address in use must show before anything is written.
        let receive_listener = bind("receive.listen", settings.receive.listen.to_string()).await?;
        let console_listener = bind("console.listen", settings.console.listen.to_string()).await?;
        let media_listener = if settings.media.enabled {
            Some(bind("media.listen", settings.media.listen.clone()).await?)
        } else {
            None
        };
        let media_address = media_listener.as_ref().and_then(|listener| listener.local_addr().ok());
        if let (true, Some(address)) = (settings.media.public_url.is_empty(), media_address) {
            settings.media.public_url = format!("http://{address}");
        }

        let spool = SqliteSpool::open(&settings.storage).map_err(|error| other("storage")(&error))?;
        let spool = Arc::new(spool);
        let keys = MediaKeys::derive(&spool.key().derive("media"));
        let folder = &settings.storage.path;
        let index =
            MediaIndex::open(&folder.join("media.sqlite"), &keys).map_err(|error| other("media index")(&error))?;
        let blobs: Arc<dyn BlobStore> =
            Arc::new(DiskBlobs::open(folder.join("media"), &keys).map_err(|error| other("media folder")(&error))?);
        let fetcher = Fetcher::new(&settings.graph, blobs.clone())
            .map_err(|error| other("[graph]")(&error))?
            .with_telegram(&settings.telegram)
            .map_err(|error| other("[telegram]")(&error))?;
        let tls = match &settings.receive.tls {
            None => None,
            Some(tls) => Some(guarita_receive::acceptor(tls).map_err(|error| other("[receive.tls]")(&error))?),
        };
        let door = match media_listener {
            None => None,
            Some(listener) => {
                let door = Door::new(&settings.media, &settings.graph, &[], index.clone(), blobs.clone(), &keys)
                    .map_err(|error| other("[media]")(&error))?;
                let door = door
                    .with_telegram(&settings.telegram, settings.graph.fetch.connect_timeout_ms)
                    .map_err(|error| other("[telegram]")(&error))?;
                door.replace_tokens(&plan.media_tokens(&settings));
                door.replace_bots(&plan.bots());
                Some((listener, Arc::new(door)))
            }
        };

        let store = Store::open(&folder.join("console.sqlite"), &spool.key().derive("console"))
            .map_err(|error| other("console")(&error))?;
        let (console_index, console_blobs) = (index.clone(), blobs.clone());
        let rescan_index = Arc::new(index.clone());
        let told = news::Watch::start(&settings, spool.key().derive("events")).map_err(|why| other("alerts")(&why))?;
        let told = Arc::new(told);
        told.send_events_to(plan.event_targets());

        let wanted = Wanted { files: true, clamav: true, lists: true };
        let engine = Engine::build(&settings, wanted, folder).await?;
        let media_urls: guarita_pipeline::MediaUrls = match &door {
            Some((_, door)) => {
                let door = door.clone();
                Arc::new(move |id: &str, now: u64| Some(door.webhook_url(id, now)))
            }
            None => Arc::new(|_: &str, _: u64| None),
        };
        let public = Arc::new(guarita_receive::Door::new(settings.receive.clone(), table, spool.clone()));
        let table_of = public.clone();
        let pipeline = Pipeline::new(Parts {
            config: pipeline_config(&settings),
            spool: spool.clone(),
            fetcher: Arc::new(fetcher),
            index: Arc::new(index),
            blobs,
            file_inspectors: engine.file_inspectors.clone(),
            follower: engine.follower.clone(),
            brains: RwLock::new(engine.brains.clone()),
            routes: RwLock::new(Arc::new(routes)),
            reroute: Arc::new(move |held, body| table_of.table().reroute(held, body)),
            media_urls,
            ambient: guarita_pipeline::Ambient::default(),
        });
        let pipeline = Arc::new(pipeline.observed_by(told.clone()));

        if let Some((_, door)) = &door {
            // Not a strong handle: the pipeline already holds the door.
            let looking = Arc::downgrade(&pipeline);
            door.set_looker(Arc::new(move |route, id| {
                let looking = looking.clone();
                Box::pin(async move { looking.upgrade()?.look_at_file(&route, &id).await })
            }));
        }
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        let receive = local(&receive_listener, "receive.listen")?;
        let console = local(&console_listener, "console.listen")?;
        let reloadable = Arc::new(Reloadable::new(
            file,
            settings.clone(),
            backends,
            public.clone(),
            door.as_ref().map(|(_, door)| door.clone()),
            pipeline.clone(),
            told.clone(),
        ));
        tasks.push(tokio::spawn(guarita_receive::serve(receive_listener, public, tls, until(&stopped))));
        if let Some((listener, door)) = door {
            tasks.push(tokio::spawn(door.serve(listener, until(&stopped))));
        }
        tasks.push(tokio::spawn(guarita_pipeline::run(pipeline.clone(), until(&stopped))));
        let inner = Arc::new(Inner {
            engine,
            spool,
            pipeline,
            reloadable: reloadable.clone(),
            metrics,
            storage: settings.storage.path.clone(),
            list_files: std::sync::Mutex::default(),
            settings: settings.clone(),
            started: Instant::now(),
            trying: tokio::sync::Semaphore::new(1),
            list_entries: tokio::sync::Mutex::default(),
            exceptions_stamp: std::sync::atomic::AtomicU64::new(0),
            watch: told.clone(),
            rescan: std::sync::OnceLock::new(),
        });
        let asked = Arc::downgrade(&inner);
        let stamp: guarita_pipeline::Stamp = Arc::new(move || news::stamp(&*asked.upgrade()?));
        let rescan = Arc::new(Rescan::new(inner.pipeline.clone(), rescan_index, settings.rescan.clone(), stamp));
        let _ = inner.rescan.set(rescan.clone());
        tasks.push(tokio::spawn(rescan.run(until(&stopped))));
        tasks.push(tokio::spawn(told.clone().send_events(until(&stopped))));
        let desk = Arc::new(Desk::new(guarita_console::Parts {
            config: settings.console.clone(),
            spool: inner.spool.clone(),
            index: console_index,
            blobs: console_blobs,
            gateway: inner.clone(),
            store,
        }));
        desk.apply_exceptions().await.map_err(|error| other("exceptions")(&error))?;
        let control = folder.join(guarita_console::CONTROL_SOCKET);
        let control = guarita_console::bind_control(&control).map_err(|error| other("control socket")(&error))?;
        tasks.push(tokio::spawn(guarita_console::serve_control(
            control,
            guarita_console::control_router(desk.clone()),
            rustix::process::getuid().as_raw(),
            until(&stopped),
        )));
        tasks.push(tokio::spawn(watch_exceptions(desk.clone(), until(&stopped))));
        tasks.push(tokio::spawn(news::watch_conditions(inner.clone(), told, desk.clone(), until(&stopped))));
        let router = guarita_console::router(desk.clone());
        tasks.push(tokio::spawn(guarita_console::serve(
            console_listener,
            router,
            settings.console.connections_max,
            until(&stopped),
        )));
        tasks.push(tokio::spawn(watch_readiness(inner.clone(), until(&stopped))));
        tasks.push(tokio::spawn(watch_configuration(reloadable, until(&stopped))));
        tasks.push(tokio::spawn(watch_lists(inner.clone(), settings.policy.lists.clone(), until(&stopped))));
        tracing::info!(%receive, media = ?media_address, %console, "the gateway is up");
        Ok(Gateway { receive, media: media_address, console, stop, tasks, inner, desk })
    }

    /// What the console can do; for the demo, and for the first start's link.
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    pub async fn readiness(&self) -> Readiness {
        self.inner.readiness().await
    }

    pub async fn wait_until_ready(&self, longest: Duration) -> Readiness {
        let end = Instant::now() + longest;
        loop {
            let readiness = self.readiness().await;
            if readiness.ready || Instant::now() >= end {
                return readiness;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Closes the public door, lets what is in work end, then stops the rest. Nothing is lost by not waiting: what was
    /// answered with 200 is on disk.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for mut task in self.tasks {
            if tokio::time::timeout(STOP_MAX, &mut task).await.is_err() {
                task.abort();
            }
        }
        self.inner.engine.stop().await;
    }
}

impl Inner {
    pub(crate) async fn readiness(&self) -> Readiness {
        let mut checks = self.engine.checks();
        let writable = self.spool.writable().await.map_err(|error| error.to_string());
        // The probe changes a row in its place, which goes well where a message no longer finds room.
        let free = crate::news::free_bytes(&self.storage).unwrap_or(u64::MAX);
        let writable = writable.and_then(|()| match free {
            FREE_BYTES_LEAST.. => Ok(()),
            _ => Err(format!("the disk is full: {free} bytes are free")),
        });
        checks.push(match writable {
            Ok(()) => {
                Check { name: "spool".into(), ok: true, warning: false, detail: "writable".into(), mend: String::new() }
            }
            Err(detail) => Check {
                name: "spool".into(),
                ok: false,
                warning: false,
                detail,
                mend: format!("free space in {}, and let this user write there", self.storage.display()),
            },
        });
        checks.extend(backends(&self.pipeline.routes()));
        checks.extend(self.reloadable.check());
        Readiness::of(checks)
    }
}

/// Puts exceptions out of force when they end.
async fn watch_exceptions(desk: Arc<Desk>, stopped: impl Future<Output = ()>) {
    tokio::select! {
        () = desk.watch_exceptions() => {}
        () = stopped => {}
    }
}

/// Says in the log what is not ready, when that changes.
async fn watch_readiness(inner: Arc<Inner>, stopped: impl Future<Output = ()>) {
    let watching = async {
        let mut before: HashMap<String, bool> = HashMap::new();
        loop {
            for check in inner.readiness().await.checks {
                if before.insert(check.name.clone(), check.ok) != Some(check.ok) {
                    if check.ok {
                        tracing::info!(check = check.name, detail = check.detail, "ready");
                    } else {
                        tracing::warn!(check = check.name, detail = check.detail, mend = check.mend, "NOT READY");
                    }
                }
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = stopped => {}
    }
}

/// Reads the lists anew when a file of their folder changes; a list that cannot be read leaves the old ones in force.
async fn watch_lists(inner: Arc<Inner>, folder: std::path::PathBuf, stopped: impl Future<Output = ()>) {
    if folder.as_os_str().is_empty() {
        return;
    }
    let watching = async {
        let mut before = None;
        loop {
            let asked = folder.clone();
            let now = tokio::task::spawn_blocking(move || lists::stamp(&asked)).await.ok();
            if now != before {
                inner.load_lists().await;
                before = now;
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = stopped => {}
    }
}

/// Backends that do not answer, each by its route; one line for all where they are many.
fn backends(routes: &guarita_pipeline::Routes) -> Vec<Check> {
    let mut names: Vec<&String> = routes.keys().collect();
    names.sort();
    let mut checks = Vec::new();
    let mut well = 0;
    for name in names {
        let ok = routes[name].backend.breakers().iter().all(|state| *state == guarita_deliver::BreakerState::Closed);
        well += usize::from(ok);
        if ok && routes.len() > BACKENDS_SHOWN_MAX {
            continue;
        }
        checks.push(Check {
            name: format!("backend {name}"),
            ok,
            warning: !ok,
            detail: if ok { "taking deliveries".into() } else { "not answering; deliveries wait".into() },
            mend: if ok { String::new() } else { "start the backend, or mend backend.url".into() },
        });
    }
    if routes.len() > BACKENDS_SHOWN_MAX {
        let detail = format!("{well} of {} taking deliveries", routes.len());
        checks.push(Check { name: "backends".into(), ok: true, warning: false, detail, mend: String::new() });
    }
    checks
}

fn pipeline_config(settings: &Settings) -> guarita_pipeline::Config {
    guarita_pipeline::Config {
        in_flight_max: settings.pipeline.in_flight_max,
        in_flight_bytes_max: settings.pipeline.in_flight_bytes_max,
        files_in_flight_max: settings.pipeline.files_in_flight_max,
        files_waiting_max: settings.pipeline.files_waiting_max,
        lease_seconds: settings.pipeline.lease_seconds,
        scan_deadline_seconds: settings.policy.scan_deadline_seconds,
        fetch_patience_seconds: settings.policy.fetch_patience_seconds,
        findings_max: settings.pipeline.findings_max,
        keep: settings.storage.keep(),
    }
}

async fn bind(key: &'static str, address: String) -> Result<TcpListener, StartError> {
    TcpListener::bind(&address).await.map_err(|error| StartError::Listen { key, address, error })
}

fn local(listener: &TcpListener, key: &'static str) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|error| StartError::Listen { key, address: String::new(), error })
}

/// Ends when the gateway is told to stop.
fn until(stopped: &watch::Receiver<bool>) -> impl Future<Output = ()> + Send + use<> {
    let mut stopped = stopped.clone();
    async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    }
}
