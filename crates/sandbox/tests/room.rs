//! Tries to get out of the room, from inside, and breaks workers in every way one can break.
//!
//! This program is its own worker: called with `worker` it serves as one, with `unfiltered` it locks all but the filter and
//! reports what it could still do, and without arguments it runs the tests below, one after another.

#![allow(unsafe_code, reason = "the attacks are raw system calls")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, though it has a main of its own")]

use guarita_sandbox::lock::{LockConfig, lock_all_but_filter};
use guarita_sandbox::{Config, Lock, Outcome, Pool, SandboxError, Status, child};
use std::ffi::OsString;
use std::io::{Cursor, Read};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: guarita_sandbox::Allocator = guarita_sandbox::Allocator::new();

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("worker") => child::serve(start_worker),
        Some("unfiltered") => report_unfiltered(),
        Some("silent") => std::thread::sleep(Duration::from_secs(30)),
        // cargo passes filters and flags of its own; there is nothing to filter here
        _ => run_all(),
    }
}

const TESTS: &[(&str, fn())] = &[
    ("every lock holds on this kernel, or says why not", locks_are_reported),
    ("a file goes in, an answer comes out", answers),
    ("an empty file and a large one go in", sizes),
    ("every way out ends the worker, and the next file is answered", escapes),
    ("every way to break ends as an outcome, and the next file is answered", breakages),
    ("the other locks hold without the filter", other_locks_hold_alone),
    ("a worker is replaced after its files, and nothing leaks", replacement),
    ("files wait for each other, and all are answered", many_at_once),
    ("a setup that fails is said", bad_setup),
    ("a program that is no worker is said", bad_program),
    ("new rules reach the next file", new_setup),
    ("a reader that fails is an I/O fault", bad_input),
];

fn run_all() {
    for (name, test) in TESTS {
        let start = Instant::now();
        test();
        println!("ok   {name} ({} ms)", start.elapsed().as_millis());
    }
}

// --- the worker -------------------------------------------------------------------------------------------------

fn start_worker(setup: &[u8]) -> Result<child::Handler, String> {
    if setup == b"fail" {
        return Err("line 3: no such rule".to_owned());
    }
    let setup = setup.to_vec();
    Ok(Box::new(move |job, bytes| act(job, bytes, &setup)))
}

fn act(job: &[u8], bytes: &[u8], setup: &[u8]) -> Vec<u8> {
    let call = |number: i64, arguments: [i64; 4]| unsafe {
        libc::syscall(number, arguments[0], arguments[1], arguments[2], arguments[3])
    };
    let path = c"/etc/passwd".as_ptr() as i64;
    match job {
        b"echo" => return bytes.to_vec(),
        b"setup" => return setup.to_vec(),
        b"work" => return real_work(bytes),
        // ways out
        b"open" => call(libc::SYS_openat, [libc::AT_FDCWD.into(), path, 0, 0]),
        b"socket" => call(libc::SYS_socket, [2, 1, 0, 0]),
        b"connect" => call(libc::SYS_connect, [0, 0, 0, 0]),
        b"fork" => call(libc::SYS_clone, [i64::from(libc::SIGCHLD), 0, 0, 0]),
        b"exec" => call(libc::SYS_execve, [path, 0, 0, 0]),
        b"ptrace" => call(libc::SYS_ptrace, [16, i64::from(unsafe { libc::getppid() }), 0, 0]),
        b"kill-parent" => call(libc::SYS_kill, [1, 15, 0, 0]),
        b"write" => call(libc::SYS_write, [0, path, 4, 0]),
        b"executable-memory" => {
            let flags = i64::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            unsafe { libc::syscall(libc::SYS_mmap, 0, 4096, 7, flags, -1, 0) }
        }
        b"make-executable" => call(libc::SYS_mprotect, [bytes.as_ptr() as i64 & !4095, 4096, 5, 0]),
        b"other-descriptor" => call(libc::SYS_recvmsg, [1, path, 0, 0]),
        b"io-uring" => call(libc::SYS_io_uring_setup, [8, 0, 0, 0]),
        b"prctl" => call(libc::SYS_prctl, [4, 1, 0, 0]),
        // ways to break
        b"panic" => panic!("the words of a hostile file"),
        b"spin" => loop {
            std::hint::spin_loop();
        },
        b"stack" => i64::from(deep(1)),
        b"beyond" => i64::from(unsafe { bytes.as_ptr().add(1 << 30).read_volatile() }),
        b"memory" => {
            let block = vec![1u8; 4 << 30];
            i64::from(block[block.len() / 2])
        }
        b"huge" => return vec![b'x'; 8 << 20],
        b"leave" => std::process::exit(0),
        b"garbage" => say(b"nonsense from a worker that was taken over"),
        // an answer before it is due, for no job in particular
        b"early" => say(&[5, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'1']),
        b"twice" => {
            // the right number is not to be had from the handler, but say it was guessed: the first file's
            say(&[[5, 9, 0, 0, 0].as_slice(), &1u64.to_le_bytes(), b"1"].concat())
        }
        other => panic!("no such act: {other:?}"),
    };
    b"came back".to_vec()
}

/// Past the protocol, straight onto the socket.
fn say(bytes: &[u8]) -> i64 {
    unsafe { libc::send(0, bytes.as_ptr().cast(), bytes.len(), 0) as i64 }
}

/// What file inspectors do under the filter: hash maps, large and small blocks, clocks, sorting, formatting, caught panics.
fn real_work(bytes: &[u8]) -> Vec<u8> {
    let start = Instant::now();
    let mut counts = std::collections::HashMap::new();
    for byte in bytes {
        *counts.entry(*byte).or_insert(0u64) += 1;
    }
    let mut block: Vec<u8> = Vec::new();
    for _ in 0..200 {
        block.extend_from_slice(&[7; 300_000]);
    }
    block.shrink_to_fit();
    drop(block);
    let small: Vec<String> = (0..50_000).map(|n| format!("{n}")).collect();
    let caught = std::panic::catch_unwind(|| panic!("caught")).is_err();
    let thread_local = std::sync::OnceLock::<u8>::new();
    thread_local.get_or_init(|| 1);
    format!("{} {} {} {}", counts.len(), small.len(), caught, start.elapsed().as_secs() < 60).into_bytes()
}

#[inline(never)]
fn deep(depth: u64) -> u8 {
    let block = std::hint::black_box([depth as u8; 4096]);
    block[7].wrapping_add(if depth == 0 { 0 } else { deep(depth + 1) })
}

/// Locks all but the filter, then tries; prints what was still possible.
fn report_unfiltered() {
    use std::net::TcpStream;
    let port: u16 = std::env::args().nth(2).and_then(|port| port.parse().ok()).unwrap_or(0);
    let locks = lock_all_but_filter(LockConfig { memory_bytes_max: 1 << 30, cpu_seconds: 10 });
    let parent = unsafe { libc::getppid() };
    let mut escaped = Vec::new();
    let mut tried = |what: &str, worked: bool| {
        if worked {
            escaped.push(what.to_owned());
        }
    };
    tried("read a file", std::fs::read("/etc/hostname").is_ok() || std::fs::read("/etc/passwd").is_ok());
    tried("list a folder", std::fs::read_dir("/").is_ok());
    tried("write a file", std::fs::write("/tmp/guarita-room-test", b"x").is_ok());
    tried("connect", TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(1)).is_ok());
    tried("trace the parent", unsafe { libc::ptrace(libc::PTRACE_ATTACH, parent, 0, 0) } == 0);
    tried("signal the parent", unsafe { libc::kill(parent, 0) } == 0);
    tried("become root", unsafe { libc::setuid(0) } == 0 && unsafe { libc::getuid() } == 0);
    tried("take memory", Vec::<u8>::new().try_reserve_exact(2 << 30).is_ok());
    tried("run a program", std::process::Command::new("/bin/true").status().is_ok());
    println!("{}", serde_json::json!({ "locks": locks, "escaped": escaped }));
}

// --- the tests --------------------------------------------------------------------------------------------------

fn program(mode: &str) -> Vec<OsString> {
    vec![std::env::current_exe().expect("a test has a path").into(), mode.into()]
}

fn small() -> Config {
    Config { workers: 1, job_seconds: 2, memory_bytes_max: 512 << 20, ..Config::default() }
}

fn with_pool(config: Config, test: impl AsyncFnOnce(&Pool)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pool = Pool::start(config, program("worker"), b"rules".to_vec()).await.unwrap();
        test(&pool).await;
    });
}

async fn ask(pool: &Pool, job: &str, bytes: &[u8]) -> Outcome {
    let bytes = bytes.to_vec();
    pool.look(job.into(), Box::new(move || Ok(Box::new(Cursor::new(bytes)) as Box<dyn Read + Send>))).await
}

async fn expect_answer(pool: &Pool, job: &str, bytes: &[u8], want: &[u8]) {
    match ask(pool, job, bytes).await {
        Outcome::Answer(answer) => assert!(answer == want, "{job}: {}", String::from_utf8_lossy(&answer)),
        other => panic!("{job}: {other:?}"),
    }
}

fn locks_are_reported() {
    with_pool(small(), async |pool| {
        let Status { locks, workers_ready, .. } = pool.status();
        assert_eq!(workers_ready, 1);
        assert_eq!(locks.held.len() + locks.missing.len(), 7, "{locks:?}");
        // These hold on any kernel this is built for.
        for lock in [Lock::SystemCallFilter, Lock::ResourceLimits, Lock::NoNewPrivileges] {
            assert!(locks.held.contains(&lock), "{locks:?}");
        }
        println!("     missing here: [{}]", locks.missing_text());
        let required = Config { required: true, ..small() };
        match (locks.is_complete(), Pool::start(required, program("worker"), Vec::new()).await) {
            (true, Ok(_)) => {}
            (false, Err(SandboxError::LocksMissing(what))) => assert!(!what.is_empty()),
            (complete, other) => panic!("complete: {complete}, but {other:?}"),
        }
    });
}

fn answers() {
    with_pool(small(), async |pool| {
        expect_answer(pool, "echo", b"hello", b"hello").await;
        expect_answer(pool, "work", b"abcabc", b"3 50000 true true").await;
        expect_answer(pool, "setup", b"", b"rules").await;
    });
}

fn sizes() {
    let config = Config { input_bytes_max: 1_000_000, ..small() };
    with_pool(config, async |pool| {
        expect_answer(pool, "echo", b"", b"").await;
        let large = vec![3u8; 1_000_000];
        expect_answer(pool, "echo", &large, &large).await;
        assert!(matches!(ask(pool, "echo", &[0; 1_000_001]).await, Outcome::TooLarge));
        expect_answer(pool, "echo", b"x", b"x").await;
    });
}

fn escapes() {
    with_pool(small(), async |pool| {
        for way in [
            "open",
            "socket",
            "connect",
            "fork",
            "exec",
            "ptrace",
            "kill-parent",
            "write",
            "executable-memory",
            "make-executable",
            "other-descriptor",
            "io-uring",
            "prctl",
        ] {
            match ask(pool, way, &[1; 5000]).await {
                Outcome::Crashed(how) => assert_eq!(how, "ended by the system-call filter", "{way}"),
                other => panic!("{way}: {other:?}"),
            }
            expect_answer(pool, "echo", b"next", b"next").await;
        }
    });
}

fn breakages() {
    with_pool(small(), async |pool| {
        for way in ["panic", "stack", "beyond", "memory", "huge", "leave", "garbage", "early"] {
            match ask(pool, way, b"x").await {
                Outcome::Crashed(how) => assert!(!how.contains("hostile"), "{way}: {how}"),
                other => panic!("{way}: {other:?}"),
            }
            expect_answer(pool, "echo", b"next", b"next").await;
        }
        // Whether the second answer is there in time or late, it is not taken for the next file's.
        for _ in 0..20 {
            assert!(matches!(ask(pool, "twice", b"x").await, Outcome::Answer(_) | Outcome::Crashed(_)));
            match ask(pool, "echo", b"next").await {
                Outcome::Answer(answer) => assert_eq!(answer, b"next"),
                other => panic!("after twice: {other:?}"),
            }
        }
        let start = Instant::now();
        assert!(matches!(ask(pool, "spin", b"x").await, Outcome::TimedOut));
        assert!(start.elapsed() < Duration::from_secs(4));
        expect_answer(pool, "echo", b"next", b"next").await;
        assert!(pool.status().replaced_after_trouble >= 9);
    });
}

fn other_locks_hold_alone() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let output = std::process::Command::new(&program("")[0]).args(["unfiltered", &port]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the child reported");
    let locks: guarita_sandbox::Locks = serde_json::from_value(report["locks"].clone()).unwrap();
    let escaped: Vec<String> = serde_json::from_value(report["escaped"].clone()).unwrap();
    if locks.is_complete_but_filter() {
        assert!(escaped.is_empty(), "{escaped:?}");
    } else {
        println!("     this machine lacks {}, so only memory is checked", locks.missing_text());
        assert!(!escaped.contains(&"take memory".to_owned()));
    }
}

fn replacement() {
    let config = Config { files_per_worker: 3, ..small() };
    with_pool(config, async |pool| {
        let descriptors = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        expect_answer(pool, "echo", b"x", b"x").await;
        let before = descriptors();
        for _ in 0..20 {
            expect_answer(pool, "echo", b"x", b"x").await;
        }
        assert!(descriptors() <= before + 2, "{before} before, {} after", descriptors());
        assert_eq!(pool.status().replaced_after_trouble, 0);
    });
}

fn many_at_once() {
    let config = Config { workers: 3, queue_max: 2, ..small() };
    with_pool(config, async |pool| {
        let asked = (0..60u8).map(|n| {
            let pool = pool.clone();
            tokio::spawn(async move {
                let job = if n % 20 == 7 { "panic" } else { "echo" };
                (n, ask(&pool, job, &[n]).await)
            })
        });
        for handle in asked.collect::<Vec<_>>() {
            let (n, outcome) = handle.await.unwrap();
            match outcome {
                Outcome::Answer(answer) => assert_eq!(answer, [n]),
                Outcome::Crashed(_) => assert_eq!(n % 20, 7),
                other => panic!("{n}: {other:?}"),
            }
        }
    });
}

fn bad_setup() {
    start_fails(
        program("worker"),
        b"fail",
        |error| matches!(error, SandboxError::Setup(why) if why.contains("line 3: no such rule")),
    );
}

fn bad_program() {
    start_fails(vec!["/nowhere/at/all".into()], b"", |error| matches!(error, SandboxError::Start(_)));
    start_fails(vec!["/bin/true".into()], b"", |error| matches!(error, SandboxError::Start(_)));
    start_fails(program("silent"), b"", |error| matches!(error, SandboxError::Start(why) if why.contains("too long")));
}

fn start_fails(program: Vec<OsString>, setup: &[u8], right: fn(&SandboxError) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Config { start_seconds: 1, ..small() };
    let error = runtime.block_on(Pool::start(config, program, setup.to_vec())).expect_err("it cannot start");
    assert!(right(&error), "{error:?}");
}

fn new_setup() {
    with_pool(small(), async |pool| {
        expect_answer(pool, "setup", b"", b"rules").await;
        pool.replace_setup(b"newer".to_vec());
        expect_answer(pool, "setup", b"", b"newer").await;
    });
}

fn bad_input() {
    with_pool(small(), async |pool| {
        let outcome = pool.look(b"echo".to_vec(), Box::new(|| Err(std::io::Error::other("the disk")))).await;
        assert!(matches!(outcome, Outcome::InputFailed(_)), "{outcome:?}");
        expect_answer(pool, "echo", b"next", b"next").await;
    });
}
