//! rspamd as the other side: the same text as a mail, asked of `/checkv2` on its own worker, with everything that would
//! use the network off.

use crate::{
    Rates,
    load::blast,
    procs::{cpu_seconds, free_port, wait_for},
};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

const RSPAMD: &str = "/usr/bin/rspamd";
/// Modules that ask others: name servers, fuzzy storages, Redis, maps.
const NETWORK: [&str; 22] = [
    "rbl",
    "surbl",
    "dkim",
    "dkim_signing",
    "arc",
    "spf",
    "dmarc",
    "fuzzy_check",
    "asn",
    "mx_check",
    "phishing",
    "neural",
    "greylist",
    "ratelimit",
    "replies",
    "history_redis",
    "reputation",
    "url_redirector",
    "hfilter",
    "whitelist",
    "emails",
    "maps_stats",
];

pub fn installed() -> bool {
    let found = Path::new(RSPAMD).exists();
    if !found {
        println!("  rspamd is not installed: left out (apt-get install rspamd)");
    }
    found
}

struct Rspamd {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Rspamd {
    async fn start() -> Rspamd {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, path) = (free_port(), folder.path().display().to_string());
        let local = folder.path().join("local.d");
        std::fs::create_dir_all(&local).expect("the folder is ours");
        let write = |name: &str, text: &str| std::fs::write(local.join(name), text).expect("the folder is ours");
        NETWORK.iter().for_each(|module| write(&format!("{module}.conf"), "enabled = false;\n"));
        write(
            "options.inc",
            "dns { nameserver = [\"127.0.0.1\"]; timeout = 0.1s; }\nfilters = \"chartable,regexp\";\n",
        );
        write("logging.inc", &format!("type = \"file\"; filename = \"{path}/log\"; level = \"error\";\n"));
        write("worker-normal.inc", &format!("bind_socket = \"127.0.0.1:{port}\"; count = 2;\n"));
        write("worker-controller.inc", &format!("bind_socket = \"{path}/controller.sock mode=0600\";\n"));
        write("worker-proxy.inc", "enabled = false;\n");
        write("worker-fuzzy.inc", "enabled = false;\n");
        let child = Command::new(RSPAMD)
            .args(["--no-fork", "--insecure", "--config", "/etc/rspamd/rspamd.conf"])
            .arg(format!("--var=LOCAL_CONFDIR={path}"))
            .arg(format!("--var=DBDIR={path}"))
            .arg(format!("--var=RUNDIR={path}"))
            .arg(format!("--var=LOGDIR={path}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it is installed");
        wait_for(port).await;
        Rspamd { child, port, _folder: folder }
    }
}

impl Drop for Rspamd {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

pub async fn round(text: &str, count: usize, connections: usize, rates: &mut Rates) {
    let rspamd = Rspamd::start().await;
    let address = format!("127.0.0.1:{}", rspamd.port);
    let requests = |count: usize, round: &str| -> Vec<Vec<u8>> {
        let request = |number: usize| {
            let mail = format!(
                "From: Cliente <cliente{number}@example.com>\r\nTo: loja@example.com\r\nSubject: pedido {number}\r\n\
                 Message-ID: <{round}.{number}@example.com>\r\nDate: Sat, 22 Nov 2025 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\
                 Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
            );
            format!(
                "POST /checkv2 HTTP/1.1\r\nHost: {address}\r\nConnection: keep-alive\r\nContent-Length: {}\r\n\r\n{mail}",
                mail.len()
            )
            .into_bytes()
        };
        (0..count).map(request).collect()
    };
    // Its rules are compiled when they are first used.
    blast(&address, requests(200, "warm"), connections).await;
    let load = requests(count, "load");
    let (began, cpu) = (Instant::now(), cpu_seconds(rspamd.child.id()));
    let ok = blast(&address, load, connections).await;
    assert!(ok > count * 99 / 100, "rspamd answered {ok} of {count}");
    rates.add(began, cpu_seconds(rspamd.child.id()) - cpu, ok);
}
