//! `tidewater config`: the configuration of topics, brokers, groups and more, through the wire; and the files it is read from.

mod list;
mod resource;

use std::path::PathBuf;

use broker::config::{Config, Sources, docs};
use clap::{Args, Subcommand};
use serde::Serialize;
use wire::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use wire::messages::describe_configs_response::DescribeConfigsResourceResult;
use wire::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use self::list::ListArgs;
pub(crate) use self::resource::Resource;
use self::resource::ResourceArgs;
use crate::args::{ConnectArgs, OutputArgs, key_value};
use crate::client::{Client, Link, text};
use crate::commands::broker::wrong_settings;
use crate::outcome::{Outcome, usage};
use crate::output::{self, Column, Format};

/// Show, change and check the configuration of topics, brokers, loggers, groups and client metrics
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show settings, with the values in force and where they come from
    Describe {
        #[command(flatten)]
        resource: ResourceArgs,
        /// Show these settings only
        #[arg(value_name = "KEY")]
        keys: Vec<String>,
        /// Leave out what has its default
        #[arg(long)]
        changed: bool,
    },
    /// Change settings of a running cluster
    Alter {
        #[command(flatten)]
        resource: ResourceArgs,
        #[command(flatten)]
        change: ChangeArgs,
        /// Have the broker check the change without making it
        #[arg(long)]
        dry_run: bool,
    },
    List(ListArgs),
    /// Check a properties file as `tidewater broker --config` would, without starting
    Check {
        /// The file
        file: PathBuf,
        /// Take settings nobody knows
        #[arg(long)]
        allow_unknown: bool,
    },
    /// Print what every setting means, as Markdown
    Docs,
}

/// Changes to a configuration; several at once are made together or not at all.
#[derive(Debug, Default, Args)]
pub(crate) struct ChangeArgs {
    /// Set a value
    #[arg(short = 'c', long = "config", visible_alias = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Add to a list, such as `cleanup.policy`
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    append: Vec<(String, String)>,
    /// Take away from a list
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    subtract: Vec<(String, String)>,
    /// Go back to the default
    #[arg(long, value_name = "KEY")]
    reset: Vec<String>,
}

/// The operations of IncrementalAlterConfigs (KIP-339).
const SET: i8 = 0;
const RESET: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

impl ChangeArgs {
    /// Whether there is nothing to change.
    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty()
            && self.append.is_empty()
            && self.subtract.is_empty()
            && self.reset.is_empty()
    }

    fn operations(&self) -> Vec<AlterableConfig> {
        let operation = |name: &str, operation, value: Option<&str>| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(operation)
                .with_value(value.map(text))
        };
        let mut operations = Vec::new();
        for (code, pairs) in [
            (SET, &self.set),
            (APPEND, &self.append),
            (SUBTRACT, &self.subtract),
        ] {
            operations.extend(
                pairs
                    .iter()
                    .map(|(key, value)| operation(key, code, Some(value))),
            );
        }
        operations.extend(self.reset.iter().map(|key| operation(key, RESET, None)));
        operations
    }
}

pub(crate) async fn run(args: ConfigArgs) -> anyhow::Result<Outcome> {
    match args.command {
        ConfigCommand::Describe {
            resource,
            keys,
            changed,
        } => {
            let resource = resource.resource()?;
            let mut client = Client::connect(&args.connect).await?;
            let mut settings = describe(&mut client, &resource, &keys).await?;
            settings.retain(|setting| !changed || !setting.is_default());
            print(&settings, args.output.output)?;
        }
        ConfigCommand::Alter {
            resource,
            change,
            dry_run,
        } => {
            if change.is_empty() {
                return Err(usage(
                    "nothing to change: give --config, --append, --subtract or --reset",
                ));
            }
            let resource = resource.resource()?;
            let mut client = Client::connect(&args.connect).await?;
            alter(&mut client, &resource, &change, dry_run).await?;
            output::note(format_args!(
                "{resource}: {}",
                if dry_run {
                    "may be altered so"
                } else {
                    "altered"
                }
            ));
        }
        ConfigCommand::List(list) => {
            let mut client = Client::connect(&args.connect).await?;
            return list.run(&mut client, args.output.output).await;
        }
        ConfigCommand::Check {
            file,
            allow_unknown,
        } => {
            let sources = Sources {
                file: Some(file),
                allow_unknown,
                ..Sources::default()
            };
            for warning in Config::load(&sources).map_err(wrong_settings)?.warnings {
                output::note(warning);
            }
            output::note("the settings are right");
        }
        ConfigCommand::Docs => output::stdout(docs::markdown().as_bytes())?,
    }
    Ok(Outcome::Done)
}

/// One setting in force.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting {
    /// Its key.
    pub(crate) name: String,
    /// `null` where it is unset or secret.
    pub(crate) value: Option<String>,
    /// Where the value comes from, in Kafka's words (`ConfigEntry.ConfigSource`).
    pub(crate) source: &'static str,
    /// Whether it can only be changed by a restart.
    pub(crate) read_only: bool,
    /// Whether its value is never shown.
    pub(crate) sensitive: bool,
}

impl Setting {
    fn of(config: DescribeConfigsResourceResult) -> Setting {
        let source = match config.config_source {
            1 => "DYNAMIC_TOPIC_CONFIG",
            2 => "DYNAMIC_BROKER_CONFIG",
            3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            4 => "STATIC_BROKER_CONFIG",
            5 => DEFAULT,
            6 => "DYNAMIC_BROKER_LOGGER_CONFIG",
            7 => "DYNAMIC_CLIENT_METRICS_CONFIG",
            8 => "DYNAMIC_GROUP_CONFIG",
            _ => "UNKNOWN",
        };
        Setting {
            name: config.name.to_string(),
            value: config.value.map(|value| value.to_string()),
            source,
            read_only: config.read_only,
            sensitive: config.is_sensitive,
        }
    }

    /// Whether nobody set it.
    pub(crate) fn is_default(&self) -> bool {
        self.source == DEFAULT
    }

    /// Whether it was set for this topic itself.
    pub(crate) fn is_of_the_topic(&self) -> bool {
        self.source == "DYNAMIC_TOPIC_CONFIG"
    }

    /// The value as a table shows it.
    pub(crate) fn shown(&self) -> String {
        match &self.value {
            Some(value) => value.clone(),
            None if self.sensitive => "(secret)".to_owned(),
            None => "(unset)".to_owned(),
        }
    }
}

const DEFAULT: &str = "DEFAULT_CONFIG";

/// The settings of a resource, by name; only these keys, if any are given.
pub(crate) async fn describe(
    client: &mut Client,
    resource: &Resource,
    keys: &[String],
) -> anyhow::Result<Vec<Setting>> {
    describe_at(link_for(client, resource).await?, resource, keys).await
}

/// The same, asked of the bootstrap server, whoever it is.
pub(crate) async fn describe_here(
    client: &mut Client,
    resource: &Resource,
    keys: &[String],
) -> anyhow::Result<Vec<Setting>> {
    describe_at(client.seed().await?, resource, keys).await
}

async fn describe_at(
    link: &mut Link,
    resource: &Resource,
    keys: &[String],
) -> anyhow::Result<Vec<Setting>> {
    let wanted = DescribeConfigsResource::default()
        .with_resource_type(resource.kind.code())
        .with_resource_name(text(&resource.name))
        .with_configuration_keys(
            (!keys.is_empty()).then(|| keys.iter().map(|key| text(key)).collect()),
        );
    let version = link.version::<DescribeConfigsRequest>()?;
    let response = link
        .call(
            &DescribeConfigsRequest::default().with_resources(vec![wanted]),
            version,
        )
        .await?;
    let mut settings = Vec::new();
    for result in response.results {
        link.accept(
            &format!("describe {resource}"),
            result.error_code,
            result.error_message,
        )?;
        settings.extend(result.configs.into_iter().map(Setting::of));
    }
    settings.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(settings)
}

/// Changes the settings of a resource, or with `dry_run` has the broker check that it could.
pub(crate) async fn alter(
    client: &mut Client,
    resource: &Resource,
    change: &ChangeArgs,
    dry_run: bool,
) -> anyhow::Result<()> {
    let wanted = AlterConfigsResource::default()
        .with_resource_type(resource.kind.code())
        .with_resource_name(text(&resource.name))
        .with_configs(change.operations());
    let link = link_for(client, resource).await?;
    let version = link.version::<IncrementalAlterConfigsRequest>()?;
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![wanted])
        .with_validate_only(dry_run);
    for result in link.call(&request, version).await?.responses {
        link.accept(
            &format!("alter {resource}"),
            result.error_code,
            result.error_message,
        )?;
    }
    Ok(())
}

/// A broker's own settings are known to itself alone (`ConfigHelper`).
async fn link_for<'a>(client: &'a mut Client, resource: &Resource) -> anyhow::Result<&'a mut Link> {
    match resource.at_broker() {
        Some(id) => {
            client.metadata(Some(&[]), false).await?;
            client.link(id).await
        }
        None => client.seed().await,
    }
}

fn print(settings: &[Setting], format: Format) -> anyhow::Result<()> {
    let columns = [
        Column::Always("KEY"),
        Column::Always("VALUE"),
        Column::Always("SOURCE"),
        Column::Wide("READ ONLY"),
    ];
    output::answer(format, &settings, |detail| {
        let rows = settings.iter().map(|setting| {
            [
                setting.name.clone(),
                setting.shown(),
                setting.source.to_owned(),
                setting.read_only.to_string(),
            ]
        });
        output::columns(detail, columns, rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_becomes_its_own_operation_in_the_order_of_kinds() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let change = ChangeArgs {
            set: vec![pair("retention.ms", "1000")],
            append: vec![pair("cleanup.policy", "compact")],
            subtract: Vec::new(),
            reset: vec!["segment.bytes".to_owned()],
        };
        let operations: Vec<_> = change
            .operations()
            .into_iter()
            .map(|config| {
                (
                    config.config_operation,
                    config.name.to_string(),
                    config.value.map(|value| value.to_string()),
                )
            })
            .collect();
        assert_eq!(
            operations,
            [
                (SET, "retention.ms".to_owned(), Some("1000".to_owned())),
                (
                    APPEND,
                    "cleanup.policy".to_owned(),
                    Some("compact".to_owned())
                ),
                (RESET, "segment.bytes".to_owned(), None),
            ]
        );
    }
}
