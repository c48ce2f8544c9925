//! `guarita user …`, `token …`, `audit …`: the console's people and its record, from this machine, while a gateway runs or
//! not. They work on `console.sqlite` directly; whoever may read the storage folder's key may do this.

use crate::config::Settings;
use clap::{Args, Subcommand};
use guarita_console::{
    Actor, Audit, Audited, Checker, People, Role, Scope, Store,
    people::{LogInError, NewToken},
};
use guarita_spool::StorageKey;
use std::{
    io::{BufRead as _, BufReader},
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
};

#[derive(Subcommand, Debug)]
pub enum UserCommand {
    /// A new account; prints a one-time link with which its owner chooses a password.
    Add(AddArgs),
    /// Who there is.
    List,
    /// Gives an account another role. Open sessions end.
    Role { name: String, role: Role },
    /// Shuts an account. Open sessions end.
    Disable { name: String },
    /// Opens it again.
    Enable { name: String },
    /// Takes password and second step away, and prints a one-time link to choose them anew.
    Reset { name: String },
}

#[derive(Args, Debug)]
pub struct AddArgs {
    pub name: String,
    /// viewer, reviewer or admin.
    #[arg(long, default_value = "viewer")]
    pub role: Role,
    /// Read the password from standard input instead of printing a link.
    #[arg(long)]
    pub password_stdin: bool,
}

#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// A new token for a program; printed this once.
    Add {
        name: String,
        /// read, content, review, admin; several with commas.
        #[arg(long, default_value = "read", value_delimiter = ',')]
        scopes: Vec<Scope>,
        #[arg(long, default_value_t = 90)]
        days: u32,
    },
    /// Which there are.
    List,
    /// Ends one, by its number.
    Remove { number: i64 },
}

#[derive(Subcommand, Debug)]
pub enum AuditCommand {
    /// Checks the chain: of the store, or of an export (JSON lines).
    Verify { file: Option<PathBuf> },
    /// Prints every row as JSON lines.
    Export,
}

struct Office {
    people: People,
    audit: Audit,
    by: Actor,
    /// How people reach the console.
    base: String,
}

/// Opens the store as the gateway does; makes folder and key where nothing is stored yet.
pub fn open_store(settings: &Settings) -> Result<Store, String> {
    let folder = &settings.storage.path;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    let key_file = settings.storage.key_file.clone().unwrap_or_else(|| folder.join("key"));
    let stored = ["spool.db", "console.sqlite"].iter().any(|name| folder.join(name).exists());
    let key = if stored { StorageKey::open(&key_file) } else { StorageKey::open_or_create(&key_file) };
    let key = key.map_err(|error| error.to_string())?;
    Store::open(&folder.join("console.sqlite"), &key.derive("console")).map_err(|error| error.to_string())
}

/// Who runs this command, as the audit shows it. The kernel's word, not the environment's.
pub fn local_actor() -> Actor {
    let uid = rustix::process::getuid().as_raw();
    Actor::local(&if uid == 0 { "root".to_owned() } else { format!("uid {uid}") })
}

/// Where the console is, for people.
pub fn base_url(settings: &Settings) -> String {
    match settings.console.public_url.trim_end_matches('/') {
        "" => format!("http://{}", settings.console.listen),
        url => url.to_owned(),
    }
}

fn office(settings: &Settings) -> Result<Office, String> {
    let store = open_store(settings)?;
    let audit = Audit::new(store.clone());
    let people = People::new(store, audit.clone(), &settings.console);
    Ok(Office { people, audit, by: local_actor(), base: base_url(settings) })
}

pub async fn user(command: UserCommand, settings: &Settings) -> u8 {
    told("user", async { work_on_users(command, &office(settings)?).await }.await)
}

pub async fn token(command: TokenCommand, settings: &Settings) -> u8 {
    told("token", async { work_on_tokens(command, &office(settings)?).await }.await)
}

pub async fn audit(command: AuditCommand, settings: &Settings) -> u8 {
    told("audit", async { work_on_audit(command, settings).await }.await)
}

fn told(command: &str, result: Result<bool, String>) -> u8 {
    match result {
        Ok(right) => u8::from(!right),
        Err(problem) => {
            eprintln!("guarita {command}: {problem}");
            1
        }
    }
}

async fn work_on_users(command: UserCommand, office: &Office) -> Result<bool, String> {
    let Office { people, by, base, .. } = office;
    let text = |error: LogInError| error.to_string();
    let link = |secret: String| println!("{base}/setup/{secret}\nworks once, within a day");
    match command {
        UserCommand::Add(args) if args.password_stdin => {
            let mut password = String::new();
            std::io::stdin().lock().read_line(&mut password).map_err(|error| error.to_string())?;
            let password = password.trim_end_matches(['\r', '\n']);
            people.add_with_password(by, &args.name, args.role, password).await.map_err(text)?;
            println!("{}, {}", args.name.trim(), args.role);
        }
        UserCommand::Add(args) => link(people.add(by, &args.name, args.role).await.map_err(text)?),
        UserCommand::List => {
            for account in people.accounts().await.map_err(|error| error.to_string())? {
                let state = match (account.disabled, account.active, account.second_step) {
                    (true, _, _) => "disabled",
                    (_, false, _) => "no password yet",
                    (_, _, true) => "with second step",
                    (_, _, false) => "without second step",
                };
                println!("{:<24} {:<9} {state}", account.name, account.role);
            }
        }
        UserCommand::Role { name, role } => people.change(by, &name, Some(role), None).await.map_err(text)?,
        UserCommand::Disable { name } => people.change(by, &name, None, Some(true)).await.map_err(text)?,
        UserCommand::Enable { name } => people.change(by, &name, None, Some(false)).await.map_err(text)?,
        UserCommand::Reset { name } => link(people.reset(by, &name).await.map_err(text)?),
    }
    Ok(true)
}

async fn work_on_tokens(command: TokenCommand, office: &Office) -> Result<bool, String> {
    let Office { people, by, .. } = office;
    match command {
        TokenCommand::Add { name, scopes, days } => {
            let new = NewToken { name, scopes, days };
            let (token, _) = people.add_token(by, &new).await.map_err(|error| error.to_string())?;
            println!("{token}");
        }
        TokenCommand::List => {
            for token in people.tokens().await.map_err(|error| error.to_string())? {
                let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.as_str()).collect();
                let left = token.expires_ms.saturating_sub(now_ms()) / 86_400_000;
                println!("{:<4} {:<24} {:<28} {left} days left", token.id, token.name, scopes.join(","));
            }
        }
        TokenCommand::Remove { number } => {
            if !people.remove_token(by, number).await.map_err(|error| error.to_string())? {
                return Err(format!("there is no token {number}; `guarita token list` shows them"));
            }
        }
    }
    Ok(true)
}

/// `Ok(false)`: the chain is broken.
async fn work_on_audit(command: AuditCommand, settings: &Settings) -> Result<bool, String> {
    match command {
        AuditCommand::Verify { file: Some(file) } => verify_export(&file),
        AuditCommand::Verify { file: None } => {
            let (rows, broken) = office(settings)?.audit.verify().await.map_err(|error| error.to_string())?;
            match &broken {
                None => println!("{rows} rows, the chain is whole"),
                Some(broken) => println!("BROKEN at row {}: {}", broken.number, broken.problem),
            }
            Ok(broken.is_none())
        }
        AuditCommand::Export => {
            let audit = office(settings)?.audit;
            let mut after = 0;
            loop {
                let rows = audit.export(after).await.map_err(|error| error.to_string())?;
                for row in &rows {
                    println!("{}", serde_json::to_string(row).map_err(|error| error.to_string())?);
                }
                match rows.last() {
                    Some(last) => after = last.number,
                    None => return Ok(true),
                }
            }
        }
    }
}

fn verify_export(file: &std::path::Path) -> Result<bool, String> {
    let fault = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let lines = BufReader::new(std::fs::File::open(file).map_err(|error| fault(&error))?).lines();
    let mut checker = Checker::default();
    let mut rows = 0u64;
    for line in lines {
        let row: Audited =
            serde_json::from_str(&line.map_err(|error| fault(&error))?).map_err(|error| fault(&error))?;
        if let Err(broken) = checker.take(&row) {
            println!("BROKEN at row {}: {}", broken.number, broken.problem);
            return Ok(false);
        }
        rows += 1;
    }
    println!("{rows} rows, the chain is whole");
    Ok(true)
}

fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
