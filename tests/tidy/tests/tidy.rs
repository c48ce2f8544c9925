//! The repository's shape, tested like code: which crate may know which, module headers, rules with samples, no leftovers.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// Who may depend on whom. A new arrow belongs here first, with a thought; `docs/ARCHITECTURE.md` shows the picture.
const MAY_KNOW: &[(&str, &[&str])] = &[
    // nouns
    ("message", &[]),
    // pure
    ("rules", &["message"]),
    ("webhook", &["message"]),
    ("inspect", &["message", "rules"]),
    ("policy", &["message"]),
    // edges
    ("spool", &["message"]),
    ("media", &["message"]),
    ("sandbox", &[]),
    ("scanners", &["message", "inspect", "sandbox"]),
    ("receive", &["message", "webhook", "spool"]),
    ("deliver", &["message", "webhook"]),
    // It reads stored bodies with the eyes that judged them; it decides nothing.
    ("console", &["message", "webhook", "spool", "media"]),
    ("alerts", &["message"]),
    // the locked worker's side
    ("file-worker", &["message", "rules", "inspect"]),
    // story
    ("pipeline", &["message", "webhook", "rules", "inspect", "policy", "spool", "media", "deliver"]),
    // stand-ins
    ("testkit", &["webhook"]),
    ("bench", &["webhook", "testkit"]),
    (
        "simulate",
        &[
            "message", "rules", "webhook", "inspect", "policy", "spool", "media", "scanners", "receive", "deliver",
            "pipeline",
        ],
    ),
    // wiring
    (
        "guarita",
        &[
            "message",
            "webhook",
            "rules",
            "inspect",
            "policy",
            "spool",
            "media",
            "sandbox",
            "file-worker",
            "scanners",
            "receive",
            "deliver",
            "console",
            "alerts",
            "pipeline",
            "testkit",
        ],
    ),
];

/// Crates of others that a pure crate must not use, and why.
const NOT_IN_PURE: &[(&str, &str)] = &[
    ("tokio", "pure crates wait for nothing"),
    ("hyper", "pure crates know no sockets"),
    ("rusqlite", "pure crates know no disk"),
    ("tracing", "pure crates report through their results"),
    ("metrics", "pure crates report through their results"),
];
const PURE: &[&str] = &["message", "rules", "webhook", "inspect", "policy", "file-worker"];

/// What pure crates must not call: the clock, files, sockets, the environment.
const NOT_CALLED_IN_PURE: &[&str] = &[
    "SystemTime::now",
    "std::fs::",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::env::",
    "std::process::",
    "use std::fs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tests/tidy is two folders down").to_owned()
}

#[test]
fn no_arrow_that_should_not_exist() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs, since it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let table: BTreeMap<&str, &[&str]> = MAY_KNOW.iter().copied().collect();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().expect("packages is a list") {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(short) = name.strip_prefix("guarita-").filter(|short| *short != "tidy") else { continue };
        let Some(may_know) = table.get(short) else {
            wrong.push(format!("crate `{short}` is not in the table MAY_KNOW of tests/tidy: put it there"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if dependency["kind"] == "dev" {
                continue;
            }
            let used = dependency["name"].as_str().unwrap_or_default();
            if let Some(ours) = used.strip_prefix("guarita-")
                && !may_know.contains(&ours)
            {
                wrong.push(format!("{short} -> {ours}: this arrow should not exist"));
            }
            if let Some((_, why)) = NOT_IN_PURE.iter().find(|(other, _)| *other == used && PURE.contains(&short)) {
                wrong.push(format!("{short} -> {used}: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn pure_crates_call_no_clock_no_file_no_socket() {
    let mut wrong = Vec::new();
    for name in PURE {
        for file in files(&root().join("crates").join(name).join("src"), "rs") {
            let text = read(&file);
            // Tests inside a file may read fixtures; the code before them may not.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for call in NOT_CALLED_IN_PURE.iter().filter(|call| code.contains(**call)) {
                wrong.push(format!("{}: {call}", shown(&file)));
            }
        }
    }
    assert!(wrong.is_empty(), "pure crates take these as arguments:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_is_for() {
    let missing: Vec<String> = all_sources()
        .into_iter()
        .filter(|file| !read(file).trim_start().starts_with("//!"))
        .map(|file| shown(&file))
        .collect();
    assert!(missing.is_empty(), "no `//!` header in:\n{}", missing.join("\n"));
}

#[test]
fn nothing_is_left_open_and_no_machine_is_named() {
    let mut wrong = Vec::new();
    let (todo, fixme) = (["todo", "!("].concat(), ["FIX", "ME"].concat());
    let homes = [["/ro", "ot/"].concat(), ["/ho", "me/"].concat()];
    for file in all_sources() {
        for (number, line) in read(&file).lines().enumerate() {
            if line.contains(&todo) || line.contains(&fixme) || homes.iter().any(|home| line.contains(home.as_str())) {
                wrong.push(format!("{}:{}: {}", shown(&file), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stands_in_sandbox_alone() {
    let allowed: Vec<String> = all_sources()
        .into_iter()
        .filter(|file| {
            read(file).contains(concat!("allow(unsafe", "_code)"))
                || read(file).contains(concat!("expect(unsafe", "_code"))
        })
        .map(|file| shown(&file))
        .filter(|file| !file.starts_with("crates/sandbox/"))
        .collect();
    assert!(allowed.is_empty(), "unsafe code outside of sandbox: {allowed:?}");
}

#[test]
fn each_unsafe_block_has_its_proof_and_the_threat_model_counts_them() {
    let mut wrong = Vec::new();
    let mut blocks = 0;
    for file in files(&root().join("crates/sandbox/src"), "rs") {
        let text = read(&file);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
            blocks += 1;
            // The comment stands right above, with nothing but comment between.
            let above = lines[..number].iter().rev().take_while(|line| line.starts_with("//"));
            if !above.clone().any(|line| line.starts_with(concat!("// SAFE", "TY: "))) {
                wrong.push(format!("{}:{}: {line}", shown(&file), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "unsafe without its proof above it:\n{}", wrong.join("\n"));
    let said = format!("which has {blocks} places");
    assert!(read(&root().join("docs/threat-model.md")).contains(&said), "docs/threat-model.md should say: {said}");
}

fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.contains(concat!("unsafe", " {"))
        || code.contains(concat!("unsafe", " fn"))
        || code.contains(concat!("unsafe", " impl"))
}

/// The tables of faults and threats say which test shows what; a test that was renamed or dropped must not stay there.
#[test]
fn the_tests_that_documents_name_exist() {
    let sources: String = all_sources().iter().map(|file| read(file)).collect();
    let mut missing = Vec::new();
    for document in ["docs/reliability.md", "docs/threat-model.md"] {
        let text = read(&root().join(document));
        for quoted in text.split('`').skip(1).step_by(2) {
            for name in quoted.split("::").skip(1) {
                let (name, end) = name.strip_suffix('…').map_or((name, "("), |begins| (begins, ""));
                if !sources.contains(&format!("fn {name}{end}")) {
                    missing.push(format!("{document}: {quoted}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for folder in std::fs::read_dir(root().join("crates")).expect("crates is a folder") {
        let manifest = folder.expect("the folder can be read").path().join("Cargo.toml");
        if manifest.exists() {
            assert!(read(&manifest).contains("[lints]\nworkspace = true"), "{} lacks [lints]", shown(&manifest));
        }
    }
}

/// The image builds the dependencies over stubs first. A manifest that names a target whose stub was not kept ends the build.
#[test]
fn the_images_stubs_are_enough_for_cargo() {
    let dockerfile = read(&root().join("docker/Dockerfile"));
    let (_, stage) = dockerfile.split_once(" AS manifests\n").expect("the stage of the manifests");
    let (_, command) = stage.split_once("\nRUN ").expect("the command that makes the stubs");
    let (command, _) = command.split_once("\n\n").expect("the stage ends");
    let copy = tempfile::tempdir().expect("a temporary folder");
    for ending in ["toml", "lock", "rs"] {
        for folder in ["crates", "tests", "Cargo.toml", "Cargo.lock"] {
            let from = root().join(folder);
            let found = if from.is_file() { vec![from] } else { files(&from, ending) };
            for file in found {
                let to = copy.path().join(file.strip_prefix(root()).expect("a file of ours"));
                std::fs::create_dir_all(to.parent().expect("a folder")).expect("the folder can be made");
                std::fs::copy(&file, &to).expect("the file can be copied");
            }
        }
    }
    let stubs = Command::new("sh").args(["-c", command]).current_dir(copy.path()).status().expect("sh");
    assert!(stubs.success());
    let kept = targets(copy.path());
    let missing: Vec<String> = targets(&root()).into_iter().filter(|target| !kept.contains(target)).collect();
    assert!(missing.is_empty(), "docker/Dockerfile keeps no stub of {missing:?}");
}

/// What cargo finds to build in a workspace, build scripts aside: it leaves out, without a word, what is named and not there.
fn targets(workspace: &Path) -> Vec<String> {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(workspace)
        .output()
        .expect("cargo");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let told: serde_json::Value = serde_json::from_slice(&cargo.stdout).expect("JSON");
    let packages = told["packages"].as_array().expect("packages");
    let named = |package: &serde_json::Value| -> Vec<String> {
        let targets = package["targets"].as_array().expect("targets").iter();
        let kept = targets.filter(|target| target["kind"][0] != "custom-build");
        kept.map(|target| format!("{} {} {}", package["name"], target["kind"], target["name"])).collect()
    };
    packages.iter().flat_map(named).collect()
}

fn all_sources() -> Vec<PathBuf> {
    let mut all = files(&root().join("crates"), "rs");
    all.extend(files(&root().join("tests"), "rs"));
    all
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|ending| ending == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}
