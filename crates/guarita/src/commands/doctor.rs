//! `guarita doctor`: tries each outside thing and says how to mend what fails.

use crate::{
    commands::check_config::without_secrets,
    config::Settings,
    engine::{Engine, Wanted},
};
use guarita_console::{Check, Readiness};
use guarita_testkit::MetaStandIn;
use std::{path::Path, time::Duration};

/// Below this a day's traffic may not fit.
const FREE_BYTES_MIN: u64 = 1 << 30;

pub async fn doctor(settings: Settings, file: &str) -> u8 {
    let mut checks = vec![config(&settings, file)];
    checks.extend(engine(&settings).await);
    checks.push(graph(&settings).await);
    checks.push(backend(&settings).await);
    checks.push(disk(&settings.storage.path));
    let mut failed = 0;
    for check in &checks {
        let mark = if check.ok {
            "ok  "
        } else if check.warning {
            "note"
        } else {
            "FAIL"
        };
        println!("{mark}  {:<12} {}", check.name, check.detail);
        if !check.ok {
            failed += u8::from(!check.warning);
            if !check.mend.is_empty() {
                println!("      {:<12} mend: {}", "", check.mend);
            }
        }
    }
    u8::from(failed > 0)
}

fn check(name: &str, ok: bool, detail: impl Into<String>, mend: &str) -> Check {
    let mend = if ok { String::new() } else { mend.to_owned() };
    Check { name: name.into(), ok, warning: false, detail: detail.into(), mend }
}

fn config(settings: &Settings, file: &str) -> Check {
    match settings.check_for_run(file) {
        Ok(()) => check("config", true, format!("{file} is right"), ""),
        Err(error) => check("config", false, format!("{}: {}", error.at, error.problem), &error.mend),
    }
}

/// A gateway that is running says it itself; else the scanners are started for a moment.
async fn engine(settings: &Settings) -> Vec<Check> {
    let url = format!("http://{}/readyz", settings.console.listen);
    let asked = tokio::time::timeout(Duration::from_secs(3), MetaStandIn::get(&url, None)).await;
    if let Ok(Ok((_, _, body))) = asked
        && let Ok(readiness) = serde_json::from_slice::<Readiness>(&body)
    {
        let mut checks = vec![check("gateway", true, format!("running, asked at {}", settings.console.listen), "")];
        checks.extend(readiness.checks);
        return checks;
    }
    match Engine::start(settings, Wanted { files: true, clamav: true, lists: true }).await {
        Ok(engine) => {
            let mut checks = vec![Check {
                warning: true,
                ..check(
                    "gateway",
                    false,
                    format!("not running at {}", settings.console.listen),
                    "start it with `guarita run`",
                )
            }];
            checks.extend(engine.checks());
            engine.stop().await;
            checks
        }
        Err(error) => vec![check("engine", false, format!("{}: {}", error.at, error.problem), &error.mend)],
    }
}

pub(crate) async fn graph(settings: &Settings) -> Check {
    if settings.graph.access_token.is_empty() {
        return check(
            "graph",
            false,
            "graph.access_token is empty",
            "set it: attachments cannot be fetched without it",
        );
    }
    let fetcher = guarita_media::probe(&settings.graph, Duration::from_secs(10)).await;
    match fetcher {
        Ok(200..=299) => check("graph", true, "answers, and takes the token", ""),
        Ok(400 | 401 | 403) => check(
            "graph",
            false,
            "answers, but refuses the token",
            "make a new system user token; old ones end when a password changes",
        ),
        Ok(status) => check("graph", false, format!("answered {status}"), "see Meta's status page; try again later"),
        Err(why) => check("graph", false, format!("not reached: {why}"), "let this machine reach graph.base_url"),
    }
}

async fn backend(settings: &Settings) -> Check {
    let mend = "start the backend, or mend backend.url";
    let shown = without_secrets(&settings.backend.url);
    let Ok(url) = settings.backend.url.parse::<http::Uri>() else {
        return check("backend", false, "backend.url is no url", mend);
    };
    let Some(host) = url.host() else { return check("backend", false, "backend.url is missing", mend) };
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    let host = host.trim_matches(['[', ']']).to_owned();
    match tokio::time::timeout(Duration::from_secs(5), tokio::net::TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => check("backend", true, format!("{shown} takes connections"), ""),
        Ok(Err(error)) => check("backend", false, format!("{shown}: {error}"), mend),
        Err(_) => check("backend", false, format!("{shown}: no connection within 5 s"), mend),
    }
}

pub(crate) fn disk(folder: &Path) -> Check {
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let probe = existing.join(format!(".guarita-doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, [0u8; 4096]).and_then(|()| std::fs::remove_file(&probe));
    if let Err(error) = written {
        return check("disk", false, format!("{}: {error}", existing.display()), "let this user write storage.path");
    }
    match rustix::fs::statvfs(existing) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let detail = format!("{}: {:.1} GB free", existing.display(), free as f64 / 1e9);
            check("disk", free >= FREE_BYTES_MIN, detail, "free space: at least 1 GB")
        }
        Err(error) => check("disk", false, format!("{}: {error}", existing.display()), "look at the file system"),
    }
}
