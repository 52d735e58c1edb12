//! The rooms keep apart: `docs/ARCHITECTURE.md` says which crate may use what, and what is absent where; this reads the
//! page, the manifests and the sources, and holds them to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The shape that editing the page alone cannot change: a room and the rooms below it.
/// `coordinator` and `security` have their places before they have a crate.
const BELOW: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("storage", &["wire"]),
    ("cluster", &["wire"]),
    ("coordinator", &["wire"]),
    ("security", &["wire"]),
    (
        "broker",
        &["storage", "cluster", "coordinator", "security", "wire"],
    ),
    ("server", &["broker", "wire"]),
];

/// Outside crates that carry a decision: no other room may have them, whatever its row says.
const RESERVED: &[(&str, &[&str])] = &[
    ("kafka-protocol", &["wire"]),
    ("rocksdb", &["storage", "cluster"]),
    ("axum", &["broker"]),
    ("anyhow", &["wire", "server"]),
    ("clap", &["server"]),
    ("tracing-subscriber", &["server"]),
    (
        "tokio",
        &["wire", "cluster", "security", "broker", "server"],
    ),
];

/// What stands in no source outside the given places (a room, or a file under `crates/`), tests left out.
const ABSENT: &[(&[&str], &[&str], &str)] = &[
    (
        &["println!(", "print!(", "dbg!("],
        &["server"],
        "only the program prints; a library reports through its results and tracing",
    ),
    (
        &["SystemTime::now"],
        &["broker/src/clock.rs"],
        "wall time comes through one door, or as an argument",
    ),
    (
        &[
            "process::exit",
            "process::abort",
            "env::args",
            "tokio::signal",
        ],
        &["server"],
        "argv, signals and the exit code are the program's",
    ),
    (
        &["default_registry", "lazy_static!", "static mut "],
        &[],
        "nothing is global to the process: several brokers run in one",
    ),
    (
        &["anyhow"],
        &[
            "server",
            "wire/src/api_versions.rs",
            "wire/src/delete_groups.rs",
            "wire/src/fields.rs",
            "wire/src/log_dirs.rs",
            "wire/src/offset_commit.rs",
            "wire/src/offset_fetch.rs",
        ],
        "errors are typed where no person reads them; kafka-protocol's traits are the exception",
    ),
    (
        &["ResponseError"],
        &["wire", "broker", "server"],
        "Kafka's error codes are unknown below the broker; its error_code.rs translates",
    ),
];

/// The only names at the top of the repository, besides dot-files and what `.gitignore` names.
const TOP_LEVEL: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "compat-tests",
    "crates",
    "deploy",
    "docs",
    "tests",
];

#[test]
fn every_room_uses_only_what_its_row_on_the_architecture_page_allows() {
    let rows = table(&read("docs/ARCHITECTURE.md"));
    let rooms = rooms();
    assert_eq!(
        rows.keys().cloned().collect::<BTreeSet<_>>(),
        rooms.keys().cloned().collect(),
        "the rows of the page (left) are the crates that exist (right)"
    );
    let mut offences = Vec::new();
    for (room, manifest) in &rooms {
        for name in &manifest.dependencies {
            if !rows[room].contains(name) {
                offences.push(format!(
                    "crates/{room} uses {name}, which its row does not name"
                ));
            }
        }
    }
    assert_none(offences);
}

#[test]
fn rooms_import_downwards_only_and_the_four_in_the_middle_never_each_other() {
    let below: BTreeMap<_, _> = BELOW.iter().copied().collect();
    let mut offences = Vec::new();
    for (room, manifest) in &rooms() {
        let Some(allowed) = below.get(room.as_str()) else {
            offences.push(format!("crates/{room} has no place in the order of rooms"));
            continue;
        };
        for name in manifest.dependencies.union(&manifest.dev_dependencies) {
            if below.contains_key(name.as_str()) && !allowed.contains(&name.as_str()) {
                offences.push(format!(
                    "crates/{room} imports {name}, which is not below it"
                ));
            }
        }
    }
    assert_none(offences);
}

#[test]
fn crates_that_carry_a_decision_stay_in_the_rooms_they_were_decided_for() {
    let mut offences = Vec::new();
    for (room, manifest) in &rooms() {
        for (name, allowed) in RESERVED {
            if manifest.dependencies.contains(*name) && !allowed.contains(&room.as_str()) {
                offences.push(format!(
                    "crates/{room} uses {name}, reserved to {}",
                    allowed.join(" and ")
                ));
            }
        }
    }
    assert_none(offences);
}

#[test]
fn every_room_takes_the_workspaces_lints_and_opens_with_its_promise() {
    let mut offences = Vec::new();
    for (room, manifest) in &rooms() {
        if !manifest.workspace_lints {
            offences.push(format!(
                "crates/{room}/Cargo.toml lacks [lints] workspace = true"
            ));
        }
        let roots = ["lib.rs", "main.rs"]
            .map(|name| root().join("crates").join(room).join("src").join(name));
        for file in roots.iter().filter(|file| file.exists()) {
            if !read(file).starts_with("//!") {
                offences.push(format!(
                    "{} does not open with what the room promises",
                    shown(file)
                ));
            }
        }
    }
    assert_none(offences);
}

#[test]
fn what_the_architecture_calls_absent_is_absent_from_the_sources() {
    let mut offences = Vec::new();
    let crates = root().join("crates");
    for room in rooms().keys() {
        for file in rust_files(&crates.join(room).join("src")) {
            let place = file
                .strip_prefix(&crates)
                .unwrap()
                .to_string_lossy()
                .replace('\\', "/");
            for (number, line) in product_lines(&read(&file)) {
                offences.extend(offences_in(&place, room, number, &line));
            }
        }
    }
    assert_none(offences);
}

#[test]
fn the_top_level_holds_nothing_but_its_known_names() {
    let ignored = read(".gitignore");
    let ignored: Vec<&str> = ignored.lines().map(|line| line.trim_matches('/')).collect();
    let is_ignored = |name: &str| {
        ignored
            .iter()
            .any(|pattern| match pattern.strip_prefix('*') {
                Some(end) => name.ends_with(end),
                None => *pattern == name,
            })
    };
    let strangers = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let strangers = strangers.filter(|name| {
        !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()) && !is_ignored(name)
    });
    assert_none(
        strangers
            .map(|name| format!("{name} does not belong at the top level"))
            .collect(),
    );
}

#[test]
fn a_manifest_is_read_in_every_spelling_of_a_dependency() {
    let manifest = Manifest::parse(
        "[package]\nname = \"x\"\n[dependencies]\na.workspace = true\nb = { workspace = true }\nc = \"1\" # why\n\n\
         [target.'cfg(unix)'.dependencies]\nd = \"1\"\n[dependencies.e]\nversion = \"1\"\n[build-dependencies]\nf = \"1\"\n\
         [dev-dependencies]\ng = \"1\"\n[lints]\nworkspace = true\n",
    );
    assert_eq!(
        Vec::from_iter(manifest.dependencies),
        ["a", "b", "c", "d", "e", "f"]
    );
    assert_eq!(Vec::from_iter(manifest.dev_dependencies), ["g"]);
    assert!(manifest.workspace_lints);
}

#[test]
fn comments_and_tests_do_not_count_as_product_code() {
    let source = "//! println!\nfn a() {\n    b(); // print!(\n}\n#[cfg(test)]\nmod far;\nfn c() {}\n#[cfg(test)]\n\
                  mod tests {\n    fn d() { println!(); }\n}\n";
    let lines: Vec<_> = product_lines(source)
        .into_iter()
        .map(|(_, line)| line)
        .collect();
    assert_eq!(lines, ["fn a() {", "    b(); ", "}", "fn c() {}"]);
}

#[test]
fn an_absent_thing_is_found_where_it_must_not_be_and_let_be_where_it_may() {
    let line = "let now = SystemTime::now();";
    assert_eq!(
        offences_in("storage/src/log.rs", "storage", 7, line).len(),
        1
    );
    assert_eq!(
        offences_in("broker/src/clock.rs", "broker", 7, line),
        [] as [String; 0]
    );
    assert_eq!(
        offences_in("server/src/main.rs", "server", 7, "println!(\"ready\");"),
        [] as [String; 0]
    );
}

/// What a `Cargo.toml` says that matters here. Names as the sources see them, so rooms without their prefix.
#[derive(Default)]
struct Manifest {
    dependencies: BTreeSet<String>,
    dev_dependencies: BTreeSet<String>,
    workspace_lints: bool,
}

impl Manifest {
    fn parse(text: &str) -> Manifest {
        let mut manifest = Manifest::default();
        let mut section = String::new();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
                if let Some((kind, name)) = section.split_once("dependencies.") {
                    manifest.add(kind, name);
                }
                continue;
            }
            manifest.workspace_lints |= section == "lints" && line == "workspace = true";
            if let Some(kind) = section.strip_suffix("dependencies") {
                let name = line.split(['.', '=', ' ']).next().unwrap();
                manifest.add(kind, name);
            }
        }
        manifest
    }

    fn add(&mut self, kind: &str, name: &str) {
        let names = if kind.ends_with("dev-") {
            &mut self.dev_dependencies
        } else {
            &mut self.dependencies
        };
        names.insert(name.to_owned());
    }
}

/// Room → its manifest, for every folder in `crates/`.
fn rooms() -> BTreeMap<String, Manifest> {
    let folders = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let rooms: BTreeMap<_, _> = folders
        .filter(|folder| folder.join("Cargo.toml").exists())
        .map(|folder| {
            let room = folder.file_name().unwrap().to_string_lossy().into_owned();
            (room, Manifest::parse(&read(folder.join("Cargo.toml"))))
        })
        .collect();
    assert!(rooms.contains_key("wire"), "the rooms are found");
    rooms
}

/// Room → what it may use, from the page's table: the code spans of every column after the sentence.
fn table(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let mut columns = row.trim_matches('|').split('|');
        let room = code_spans(columns.next().unwrap()).next().unwrap();
        (room, columns.skip(1).flat_map(code_spans).collect())
    })
    .collect()
}

fn code_spans(column: &str) -> impl Iterator<Item = String> {
    column.split('`').skip(1).step_by(2).map(str::to_owned)
}

fn offences_in(place: &str, room: &str, number: usize, line: &str) -> Vec<String> {
    let broken = ABSENT
        .iter()
        .filter(|(_, allowed, _)| !allowed.contains(&room) && !allowed.contains(&place));
    broken
        .flat_map(|(things, _, reason)| {
            let found = things.iter().filter(|thing| line.contains(**thing));
            found.map(move |thing| format!("crates/{place}:{number}: {thing}: {reason}"))
        })
        .collect()
}

/// The lines of a file that end up in the product, with their numbers: no comments, no test modules.
fn product_lines(source: &str) -> Vec<(usize, String)> {
    let mut kept = Vec::new();
    let mut lines = source.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            match lines.peek() {
                // By the house's order an inline test module is the last thing in its file.
                Some((_, next)) if next.trim_start().starts_with("mod ") && next.ends_with('{') => {
                    break;
                }
                _ => {
                    lines.next();
                    continue;
                }
            }
        }
        let code = line.split("//").next().unwrap();
        if !code.trim().is_empty() {
            kept.push((index + 1, code.to_owned()));
        }
    }
    kept
}

/// Every `.rs` file under `folder` that is not test code by its name.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            files.extend(rust_files(&path));
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `file` relative to the top of the repository, or anywhere when it is absolute.
fn read(file: impl AsRef<Path>) -> String {
    let path = root().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root())
        .unwrap_or(file)
        .display()
        .to_string()
}

fn assert_none(offences: Vec<String>) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}
