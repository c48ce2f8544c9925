//! The one binary: the gateway, its demo, and the operators' tools. It reads the configuration, builds everything, starts
//! and stops it; what each thing does stands in the other crates.

mod commands;
mod config;
mod engine;
mod gateway;
mod lists;
mod look;
mod metrics;
mod news;
mod operators;
mod reload;
mod routes;
mod rules;

use clap::{Parser, Subcommand};
use commands::{
    alerts_test, backup, check_config, connect, demo, doctor, erase, lists_import, people, replay, rules_test, run,
    scan, simulate,
};
use config::{LogFormat, LogSettings, Settings};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

#[global_allocator]
static ALLOCATOR: guarita_sandbox::Allocator = guarita_sandbox::Allocator::new();

#[derive(Parser, Debug)]
#[command(version, about = "A gateway between Meta's webhooks and your backend: what is dangerous stays at the booth.")]
struct Cli {
    /// The configuration file; without it ./guarita.toml is read if there is one.
    #[arg(long, global = true, env = "GUARITA_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// The gateway.
    Run,
    /// A working gateway with a stand-in for Meta and a sample backend: a whole conversation, shown side by side.
    Demo(demo::DemoArgs),
    /// The gateway's inspectors on local files, texts and links. Exit: 0 clean, 1 suspicious, 2 malicious, 3 unscanned.
    Scan(scan::ScanArgs),
    /// The stand-in for Meta alone: serves media, sends signed deliveries.
    Simulate(simulate::SimulateArgs),
    /// Shows step by step what would happen to a recorded delivery.
    Replay(replay::ReplayArgs),
    /// Checks the configuration, and says what goes where.
    CheckConfig,
    /// Puts the gateway between Meta (or Telegram) and the backend, or takes it out: shows the calls, makes them with --apply.
    Connect(connect::ConnectArgs),
    /// Prints every key with its default and meaning.
    PrintConfig,
    /// Works on rules.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Works on alerts.
    #[command(subcommand)]
    Alerts(AlertsCommand),
    /// Works on allow and deny lists.
    #[command(subcommand)]
    Lists(ListsCommand),
    /// Copies the storage folder while the gateway runs, or looks whether such a copy is whole.
    Backup(backup::BackupArgs),
    /// Puts a backup where storage.path points.
    Restore(backup::RestoreArgs),
    /// The console's people.
    #[command(subcommand)]
    User(people::UserCommand),
    /// Tokens of programs that use the admin API.
    #[command(subcommand)]
    Token(people::TokenCommand),
    /// The record of who did what.
    #[command(subcommand)]
    Audit(people::AuditCommand),
    /// Forgets a person: their messages, files, and what they are found by.
    Erase(erase::EraseArgs),
    /// Tries each outside thing, and says how to mend what fails.
    Doctor,
    /// The locked file worker; started by the gateway, never by hand.
    #[command(hide = true)]
    FileWorker,
}

#[derive(Subcommand, Debug)]
enum AlertsCommand {
    /// Sends a test alert to every channel that is configured, and says what came of it.
    Test,
}

#[derive(Subcommand, Debug)]
enum ListsCommand {
    /// Takes a feed into the lists folder (`policy.lists`).
    Import(lists_import::ImportArgs),
}

#[derive(Subcommand, Debug)]
enum RulesCommand {
    /// Runs every rule's samples.
    Test,
}

fn main() -> ExitCode {
    // Before anything else: the worker must not start threads, read the environment or parse arguments it needs not.
    if std::env::args_os().nth(1).is_some_and(|word| word == "file-worker") {
        guarita_sandbox::child::serve(guarita_file_worker::start);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { scan::WRONG_USE } else { 0 });
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("guarita: the system gives no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(command(cli));
    // Threads that still wait for input must not hold up the end.
    runtime.shutdown_background();
    ExitCode::from(code)
}

async fn command(cli: Cli) -> u8 {
    let path = config_path(cli.config.as_deref());
    let file = path
        .as_deref()
        .map_or_else(|| "the environment (no guarita.toml here)".to_owned(), |path| path.display().to_string());
    let settings = || Settings::read(path.as_deref());
    let read = || {
        settings().map_err(|error| {
            eprintln!("{error}");
            scan::WRONG_USE
        })
    };
    let quiet = LogSettings { format: LogFormat::Text, level: "error".into(), findings: Default::default() };
    match cli.command {
        Command::Run => match read() {
            Ok(settings) => {
                log(&settings.log);
                raise_descriptor_limit();
                run::run(settings, path.as_deref(), &file).await
            }
            Err(code) => code,
        },
        Command::Demo(args) => {
            log(&quiet);
            demo::demo(args).await
        }
        Command::Scan(args) => match read() {
            Ok(settings) => {
                log(&quiet);
                scan::scan(args, settings).await
            }
            Err(code) => code,
        },
        Command::Simulate(args) => simulate::simulate(args).await,
        Command::Replay(args) => read().map_or_else(|code| code, |settings| replay::replay(&args, &settings)),
        Command::CheckConfig => check_config::check_config(settings(), &file),
        Command::Connect(args) => match read() {
            Ok(settings) => {
                log(&quiet);
                connect::connect(&args, &settings, &file).await
            }
            Err(code) => code,
        },
        Command::PrintConfig => check_config::print_config(),
        Command::Rules(RulesCommand::Test) => {
            read().map_or_else(|code| code, |settings| rules_test::rules_test(&settings))
        }
        Command::Alerts(AlertsCommand::Test) => match read() {
            Ok(settings) => {
                log(&quiet);
                alerts_test::alerts_test(&settings).await
            }
            Err(code) => code,
        },
        Command::Lists(ListsCommand::Import(args)) => {
            read().map_or_else(|code| code, |settings| lists_import::import(&args, &settings))
        }
        Command::Backup(args) => match read() {
            Ok(settings) => backup::backup(&args, &settings).await,
            Err(code) => code,
        },
        Command::Restore(args) => match read() {
            Ok(settings) => backup::restore(&args, &settings).await,
            Err(code) => code,
        },
        Command::User(command) => match read() {
            Ok(settings) => people::user(command, &settings).await,
            Err(code) => code,
        },
        Command::Token(command) => match read() {
            Ok(settings) => people::token(command, &settings).await,
            Err(code) => code,
        },
        Command::Audit(command) => match read() {
            Ok(settings) => people::audit(command, &settings).await,
            Err(code) => code,
        },
        Command::Erase(args) => match read() {
            Ok(settings) => erase::erase(&args, &settings).await,
            Err(code) => code,
        },
        Command::Doctor => match read() {
            Ok(settings) => doctor::doctor(settings, &file).await,
            Err(code) => code,
        },
        Command::FileWorker => guarita_sandbox::child::serve(guarita_file_worker::start),
    }
}

fn config_path(given: Option<&Path>) -> Option<PathBuf> {
    given.map(Path::to_owned).or_else(|| Some(PathBuf::from("guarita.toml")).filter(|path| path.exists()))
}

/// Logs go to standard error: standard output belongs to a command's answer.
fn log(settings: &LogSettings) {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.level).unwrap_or_else(|_| "info".into());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A line that cannot be written (a full disk, a reader that went away) is lost. To say so on the same standard error would
    // panic, and take along whoever was logging.
    let builder = builder.log_internal_errors(false);
    let set = match settings.format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
    drop(set); // a second command in one process (tests) keeps the first one's
}

/// A gateway holds many connections; the soft limit of most systems is for shells.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
