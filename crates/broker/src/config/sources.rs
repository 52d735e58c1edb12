//! Static settings: a properties file, the environment by the rule of the `apache/kafka` image, and `key=value` pairs.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::ignored;
use super::keys::{self, Fate};
use super::layers::{Origin, Setting};
use super::listeners;
use super::value::ConfigError;

/// What a configuration is read from. Later sources win: file, environment, then `set`.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A Java properties file.
    pub file: Option<PathBuf>,
    /// The process environment, or as much of it as should count.
    pub environment: Vec<(String, String)>,
    /// `key=value` pairs, as given with `--set`.
    pub set: Vec<String>,
    /// Take keys that nobody knows instead of refusing to start.
    pub allow_unknown: bool,
}

impl Sources {
    /// Nothing but the process environment. Variables that are not Unicode are left out.
    pub fn from_process() -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            environment,
            ..Self::default()
        }
    }

    /// Adds a pair as if it were given with `--set`.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.set.push(format!("{key}={value}"));
        self
    }
}

/// What reading the sources gave.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) settings: BTreeMap<String, Setting>,
    pub(super) warnings: Vec<String>,
    pub(super) errors: Vec<ConfigError>,
}

/// Reads every source; errors are gathered, so that a user sees all of them at once. Blocks on the file.
pub(super) fn read(sources: &Sources) -> Read {
    let mut read = Read::default();
    if let Some(path) = &sources.file {
        read.file(path);
    }
    read.environment(&sources.environment);
    for pair in &sources.set {
        match pair.split_once('=') {
            Some((key, value)) => read.put(key.trim(), value, Origin::CommandLine),
            None => read.errors.push(ConfigError::Unreadable {
                origin: format!("setting {pair:?}"),
                reason: "expected key=value".to_owned(),
            }),
        }
    }
    read.classify(sources.allow_unknown);
    read.name_the_node_twice();
    read
}

impl Read {
    fn put(&mut self, key: &str, text: &str, origin: Origin) {
        self.settings.insert(
            key.to_owned(),
            Setting {
                text: text.to_owned(),
                origin,
            },
        );
    }

    fn file(&mut self, path: &Path) {
        let unreadable = |reason: String| ConfigError::Unreadable {
            origin: path.display().to_string(),
            reason,
        };
        let file = match std::fs::File::open(path) {
            Ok(file) => file,
            Err(error) => return self.errors.push(unreadable(error.to_string())),
        };
        let mut pairs = Vec::new();
        let parsed =
            java_properties::PropertiesIter::new(BufReader::new(file)).read_into(|key, value| {
                pairs.push((key, value));
            });
        if let Err(error) = parsed {
            self.errors.push(unreadable(error.to_string()));
        }
        for (key, value) in pairs {
            self.put(&key, &value, Origin::File(path.to_owned()));
        }
    }

    fn environment(&mut self, variables: &[(String, String)]) {
        for (variable, value) in variables {
            let key = match variable.as_str() {
                "CLUSTER_ID" => Some("cluster.id".to_owned()),
                _ => key_of_variable(variable, value),
            };
            if let Some(key) = key {
                self.put(&key, value, Origin::Environment(variable.clone()));
            }
        }
    }

    /// `broker.id` and `node.id` are one setting with two names: either stands for both, as in Kafka.
    fn name_the_node_twice(&mut self) {
        for (given, missing) in [("node.id", "broker.id"), ("broker.id", "node.id")] {
            if let (Some(setting), false) = (
                self.settings.get(given),
                self.settings.contains_key(missing),
            ) {
                self.settings.insert(missing.to_owned(), setting.clone());
            }
        }
    }

    /// Refuses unknown keys, warns of known ones without effect, and checks every value.
    fn classify(&mut self, allow_unknown: bool) {
        for (name, setting) in &self.settings {
            let origin = &setting.origin;
            match keys::find(name) {
                Some(key) => {
                    if let Fate::Ignored(why) = key.fate {
                        self.warnings
                            .push(format!("{name} ({origin}) has no effect. {}", why.text()));
                    }
                    if let Err(error) = key.spec.parse(&setting.text) {
                        self.errors.push(error);
                    }
                }
                None if listeners::is_honoured(name) => {}
                None => match ignored::family_of(name) {
                    Some(why) => self
                        .warnings
                        .push(format!("{name} ({origin}) has no effect. {}", why.text())),
                    None if allow_unknown => self
                        .warnings
                        .push(format!("{name} ({origin}) is unknown and ignored")),
                    // The environment is shared with scripts and other programs: KAFKA_HOME, KAFKA_LIBS and their like
                    // are nobody's typing error.
                    None if matches!(origin, Origin::Environment(_)) => {
                        let unknown = keys::unknown(name, origin.to_string());
                        self.warnings.push(format!("{unknown} It is ignored."));
                    }
                    None => self.errors.push(keys::unknown(name, origin.to_string())),
                },
            }
        }
    }
}

/// The key a variable stands for, by the rule of the `apache/kafka` image (`KafkaDockerWrapper`): without `KAFKA_`, in
/// lower case, `___` a dash, `__` an underscore, `_` a point. `None` for variables that are no settings.
pub(super) fn key_of_variable(variable: &str, value: &str) -> Option<String> {
    let name = variable.strip_prefix("KAFKA_")?;
    if name.is_empty() || ignored::VARIABLES.contains(&variable) || is_service_link(name, value) {
        return None;
    }
    let dashes = name.to_lowercase().replace("___", "-");
    let underscores: Vec<_> = dashes
        .split("__")
        .map(|part| part.replace('_', "."))
        .collect();
    Some(underscores.join("_"))
}

/// Kubernetes tells every container of a service named `kafka` about it in variables that look like ours.
fn is_service_link(name: &str, value: &str) -> bool {
    let address = |text: &str| text.starts_with("tcp://") || text.starts_with("udp://");
    let numbered = |suffix: &str| {
        name.split("PORT_").nth(1).is_some_and(|rest| {
            rest.ends_with(suffix) && rest.starts_with(|first: char| first.is_ascii_digit())
        })
    };
    name.ends_with("SERVICE_HOST")
        || name.contains("SERVICE_PORT")
        || (name.ends_with("PORT") && address(value))
        || [
            "_TCP",
            "_TCP_ADDR",
            "_TCP_PORT",
            "_TCP_PROTO",
            "_UDP",
            "_UDP_ADDR",
            "_UDP_PORT",
            "_UDP_PROTO",
        ]
        .into_iter()
        .any(numbered)
}
