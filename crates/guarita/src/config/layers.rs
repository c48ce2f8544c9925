//! Laying one layer of the configuration over the others: keys checked against the defaults, secrets read from their
//! files, and every key's line kept, so that a mistake can name it.

use super::{ConfigError, DEFAULT, Origins};
use toml::{Table, Value};

/// Keys that have no default because their absence means something.
const OPTIONAL: [&str; 6] = [
    "receive.tls.cert",
    "receive.tls.key",
    "receive.tls.client_ca",
    "receive.tls.client_name",
    "clamav.managed.concurrent_reload",
    "storage.key_file",
];
/// Keys whose value may stand in a file of its own: `<key>_file`.
/// A list (`media.tokens`) has one a line.
const SECRETS: [&str; 11] = [
    "receive.verify_token",
    "receive.app_secret",
    "graph.access_token",
    "backend.secret",
    "media.tokens",
    "limits.block",
    "limits.allow",
    "alerts.webhook.secret",
    "alerts.chat.url",
    "alerts.mail.password",
    "traces.authorization",
];
/// The same for tables that may stand any number of times, `[[routes]]` and `[apps.<name>]`.
const SECRETS_OF_ROUTES: [&str; 6] =
    ["app_secret", "verify_token", "access_token", "secret", "bot_token", "secret_token"];
const LISTS_OF_ROUTES: [&str; 2] = ["block", "allow"];
/// Keys that take a single string or a list.
const ONE_OR_MORE: [&str; 1] = ["clamav.address"];

pub(super) fn lay_file(
    all: &mut Table,
    defaults: &Table,
    name: &str,
    text: &str,
    origins: &mut Origins,
) -> Result<(), ConfigError> {
    let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let syntax = |error: toml::de::Error| ConfigError {
        at: format!("{name}:{}", error.span().map_or(1, |span| line_of(span.start))),
        problem: error.message().to_owned(),
        mend: "the file is TOML: tables as [receive], values as key = \"text\", numbers without quotes".into(),
    };
    let mut table: Table = toml::from_str(text).map_err(syntax)?;
    let spanned = toml::de::DeTable::parse(text).map_err(syntax)?;
    let mut lines = Origins::new();
    note_lines(spanned.get_ref(), "", &|at| format!("{name}:{}", line_of(at)), &mut lines);
    lay_routes(all, &mut table, &lines, name, origins)?;
    lay_table(all, defaults, "", &table, &lines, name, origins)
}

fn note_lines(table: &toml::de::DeTable<'_>, prefix: &str, place: &dyn Fn(usize) -> String, lines: &mut Origins) {
    for (key, value) in table {
        let path = join(prefix, key.get_ref());
        lines.insert(path.clone(), place(key.span().start));
        match value.get_ref() {
            toml::de::DeValue::Table(inner) => note_lines(inner, &path, place, lines),
            toml::de::DeValue::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    let path = format!("{path}[{number}]");
                    lines.insert(path.clone(), place(item.span().start));
                    if let toml::de::DeValue::Table(inner) = item.get_ref() {
                        note_lines(inner, &path, place, lines);
                    }
                }
            }
            _ => {}
        }
    }
}

/// `[[routes]]` and `[apps]` have no defaults to be laid over: their types check them. Only files of secrets are read here.
fn lay_routes(
    all: &mut Table,
    table: &mut Table,
    lines: &Origins,
    name: &str,
    origins: &mut Origins,
) -> Result<(), ConfigError> {
    for key in ["routes", "apps"] {
        let Some(mut value) = table.remove(key) else { continue };
        read_secrets(&mut value, key, lines, name)?;
        all.insert(key.into(), value);
        let inside =
            |path: &String| path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']));
        origins.extend(lines.iter().filter(|(path, _)| inside(path)).map(|(path, at)| (path.clone(), at.clone())));
    }
    Ok(())
}

fn read_secrets(value: &mut Value, path: &str, lines: &Origins, name: &str) -> Result<(), ConfigError> {
    match value {
        Value::Array(items) => {
            for (number, item) in items.iter_mut().enumerate() {
                read_secrets(item, &format!("{path}[{number}]"), lines, name)?;
            }
        }
        Value::Table(table) => {
            let keys: Vec<String> = table.keys().cloned().collect();
            for key in keys {
                let path = join(path, &key);
                let secret = key.strip_suffix("_file").unwrap_or_default().to_owned();
                let is_list = LISTS_OF_ROUTES.contains(&secret.as_str());
                if !is_list && !SECRETS_OF_ROUTES.contains(&secret.as_str()) {
                    if let Some(inner) = table.get_mut(&key) {
                        read_secrets(inner, &path, lines, name)?;
                    }
                    continue;
                }
                let at = lines.get(&path).cloned().unwrap_or_else(|| name.to_owned());
                if table.contains_key(&secret) {
                    let problem = format!("`{path}` stands beside `{secret}`");
                    return Err(ConfigError { at, problem, mend: "leave one of them".into() });
                }
                if let Some(file) = table.remove(&key) {
                    table.insert(secret, read_secret(&path, &file, is_list, &at)?);
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// A secret that stands in a file of its own; a list has one a line.
fn read_secret(path: &str, file: &Value, is_list: bool, at: &str) -> Result<Value, ConfigError> {
    let fault = |problem: String, mend: String| ConfigError { at: at.to_owned(), problem, mend };
    let Value::String(file) = file else {
        return Err(fault(format!("`{path}` must be a path in quotes"), format!("{path} = \"/run/secrets/x\"")));
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| fault(format!("`{path}`: {file} cannot be read: {error}"), "let this user read it".into()))?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    Ok(if is_list {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Value::Array(lines.map(|line| Value::String(line.to_owned())).collect())
    } else {
        Value::String(text)
    })
}

fn lay_table(
    all: &mut Table,
    defaults: &Table,
    prefix: &str,
    from: &Table,
    lines: &Origins,
    name: &str,
    origins: &mut Origins,
) -> Result<(), ConfigError> {
    for (key, value) in from {
        let path = join(prefix, key);
        let at = lines.get(&path).cloned().unwrap_or_else(|| name.to_owned());
        match value {
            Value::Table(inner) if is_table(defaults, &path) => {
                origins.insert(path.clone(), at);
                lay_table(all, defaults, &path, inner, lines, name, origins)?;
            }
            value => lay_value(all, defaults, &path, value.clone(), &at, origins)?,
        }
    }
    Ok(())
}

pub(super) fn lay_variable(
    all: &mut Table,
    defaults: &Table,
    variable: &str,
    rest: &str,
    text: &str,
    origins: &mut Origins,
) -> Result<(), ConfigError> {
    let path = rest.to_lowercase().replace("__", ".");
    let at = format!("environment {variable}");
    let value = match get(defaults, &path) {
        Some(Value::String(_)) | None => Value::String(text.to_owned()),
        Some(_) => {
            let parsed: Option<Value> =
                format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
            let is_list = matches!(get(defaults, &path), Some(Value::Array(_)));
            match parsed {
                Some(value) if !is_list || value.is_array() => value,
                // A list without brackets and quotes, as people write them in an environment.
                _ if is_list => {
                    Value::Array(text.split(',').map(|item| Value::String(item.trim().to_owned())).collect())
                }
                _ => Value::String(text.to_owned()),
            }
        }
    };
    lay_value(all, defaults, &path, value, &at, origins)
}

fn lay_value(
    all: &mut Table,
    defaults: &Table,
    path: &str,
    value: Value,
    at: &str,
    origins: &mut Origins,
) -> Result<(), ConfigError> {
    let fault = |problem: String, mend: String| ConfigError { at: at.to_owned(), problem, mend };
    if let Some(secret) = path.strip_suffix("_file").filter(|key| SECRETS.contains(key)) {
        let is_environment = |at: &str| at.starts_with("environment ");
        if let Some(other) = origins.get(secret).filter(|other| is_environment(other) == is_environment(at)) {
            return Err(fault(format!("`{path}` stands beside `{secret}` ({other})"), "leave one of them".into()));
        }
        let is_list = matches!(get(defaults, secret), Some(Value::Array(_)));
        set(all, secret, read_secret(path, &value, is_list, at)?);
        origins.insert(secret.to_owned(), at.to_owned());
        return Ok(());
    }
    match get(defaults, path) {
        None if OPTIONAL.contains(&path) => {}
        None if OPTIONAL.iter().any(|key| key.starts_with(&format!("{path}."))) && value.is_table() => {
            let inner = value.as_table().cloned().unwrap_or_default();
            for (key, value) in inner {
                lay_value(all, defaults, &join(path, &key), value, at, origins)?;
            }
            return Ok(());
        }
        None => return Err(fault(format!("unknown key `{path}`"), nearest(defaults, path))),
        Some(default) => {
            let fits = default.type_str() == value.type_str()
                || ONE_OR_MORE.contains(&path) && (value.is_array() || value.is_str());
            if !fits {
                let problem =
                    format!("`{path}` must be {}, not {}", article(default.type_str()), article(value.type_str()));
                return Err(fault(problem, mend_of(path)));
            }
        }
    }
    set(all, path, value);
    origins.insert(path.to_owned(), at.to_owned());
    Ok(())
}

pub(super) fn at(origins: &Origins, key: &str) -> String {
    origins.get(key).cloned().unwrap_or_else(|| "configuration".into())
}

/// The key's own line in the default file.
pub(super) fn mend_of(path: &str) -> String {
    if path.starts_with("routes") || path.starts_with("apps") {
        return "docs/guides/routes.md shows every key of a route".into();
    }
    let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
    let mut inside = false;
    for line in DEFAULT.lines() {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            inside = header.0 == section;
        } else if inside && line.split('=').next().is_some_and(|name| name.trim() == key) {
            let tidy: Vec<&str> = line.split_whitespace().collect();
            return format!("in [{section}]: {}", tidy.join(" "));
        }
    }
    "`guarita print-config` shows every key".into()
}

/// The known key that is spelt most like `path`.
fn nearest(defaults: &Table, path: &str) -> String {
    let mut keys = Vec::new();
    collect(defaults, "", &mut keys);
    keys.extend(OPTIONAL.iter().map(|key| (*key).to_owned()));
    keys.extend(SECRETS.iter().map(|key| format!("{key}_file")));
    let best = keys.into_iter().min_by_key(|key| distance(key, path));
    match best {
        Some(key) if distance(&key, path) <= 6 => {
            format!("did you mean `{key}`? `guarita print-config` shows every key")
        }
        _ => "`guarita print-config` shows every key".into(),
    }
}

fn collect(table: &Table, prefix: &str, keys: &mut Vec<String>) {
    for (key, value) in table {
        let path = join(prefix, key);
        match value {
            Value::Table(inner) => collect(inner, &path, keys),
            _ => keys.push(path),
        }
    }
}

/// Edit distance; both texts are short.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(80).enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = corner + usize::from(ca != *cb);
            corner = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

fn article(kind: &str) -> String {
    match kind {
        "integer" => "a whole number".into(),
        "string" => "text in quotes".into(),
        "boolean" => "true or false".into(),
        "array" => "a list".into(),
        other => format!("a {other}"),
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

fn get<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let mut keys = path.split('.');
    let mut value = table.get(keys.next()?)?;
    for key in keys {
        value = value.as_table()?.get(key)?;
    }
    Some(value)
}

fn is_table(table: &Table, path: &str) -> bool {
    get(table, path).is_some_and(Value::is_table)
}

fn set(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((key, rest)) => {
            let inner = table.entry(key).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}
