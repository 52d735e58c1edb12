//! `tidewater quota`: how much users, clients and addresses may ask of the brokers.

use clap::{Args, Subcommand};
use serde::Serialize;
use wire::messages::alter_client_quotas_request::{
    AlterClientQuotasRequest, EntityData, EntryData, OpData,
};
use wire::messages::describe_client_quotas_request::{ComponentData, DescribeClientQuotasRequest};
use wire::messages::describe_client_quotas_response as described;

use crate::args::{ConnectArgs, OutputArgs, key_value};
use crate::client::{Client, text};
use crate::confirm::DestroyArgs;
use crate::outcome::{Outcome, usage};
use crate::output::{self, Format};

/// List, describe, set and delete quotas of users, clients and addresses
#[derive(Debug, Args)]
pub(crate) struct QuotaArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(subcommand)]
    command: QuotaCommand,
}

#[derive(Debug, Subcommand)]
enum QuotaCommand {
    /// List quotas: all, or those that have these parts among others
    List {
        #[command(flatten)]
        entity: EntityArgs,
    },
    /// Show the quotas of exactly this entity
    Describe {
        #[command(flatten)]
        entity: EntityArgs,
    },
    /// Set quotas of an entity
    Set {
        #[command(flatten)]
        entity: EntityArgs,
        /// A quota: producer_byte_rate, consumer_byte_rate, request_percentage, controller_mutation_rate, or for an
        /// address connection_creation_rate
        #[arg(short = 'c', long = "config", visible_alias = "set", value_name = "KEY=NUMBER", value_parser = number, required = true)]
        quotas: Vec<(String, f64)>,
        /// Have the broker check the change without making it
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete quotas of an entity: these, or all it has
    Delete {
        #[command(flatten)]
        entity: EntityArgs,
        /// Only these
        #[arg(value_name = "KEY")]
        keys: Vec<String>,
        #[command(flatten)]
        destroy: DestroyArgs,
    },
}

fn number(argument: &str) -> Result<(String, f64), String> {
    let (key, value) = key_value(argument)?;
    match value.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok((key, value)),
        _ => Err(format!("{value} is no number that a quota can be")),
    }
}

/// Whose quotas. Several parts together are one entity, such as a client id of a user.
#[derive(Debug, Clone, Args)]
struct EntityArgs {
    /// The user
    #[arg(short, long, value_name = "NAME")]
    user: Option<String>,
    /// The client id
    #[arg(short = 'i', long, value_name = "ID")]
    client_id: Option<String>,
    /// The address that connects
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["user", "client_id"])]
    ip: Option<String>,
    /// All users, client ids or addresses that have no quota of their own: user, client-id, ip
    #[arg(long, value_name = "PART,…", value_delimiter = ',', value_parser = part)]
    default: Vec<&'static str>,
}

/// The parts of an entity as the wire spells them (`ClientQuotaEntity`).
const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

fn part(text: &str) -> Result<&'static str, String> {
    let all = [USER, CLIENT_ID, IP];
    let found = all.into_iter().find(|part| *part == text);
    found.ok_or_else(|| format!("there are {}", all.join(", ")))
}

/// A part of an entity; without a name it is the default of all.
type Part = (&'static str, Option<String>);

impl EntityArgs {
    fn parts(&self) -> anyhow::Result<Vec<Part>> {
        let mut parts: Vec<Part> = Vec::new();
        let named = [
            (USER, &self.user),
            (CLIENT_ID, &self.client_id),
            (IP, &self.ip),
        ];
        for (part, name) in named {
            match (name, self.default.contains(&part)) {
                (Some(_), true) => {
                    return Err(usage(format!("either --{part} or --default {part}")));
                }
                (Some(name), false) => parts.push((part, Some(name.clone()))),
                (None, true) => parts.push((part, None)),
                (None, false) => {}
            }
        }
        Ok(parts)
    }

    /// The parts, of which there must be one.
    fn entity(&self) -> anyhow::Result<Vec<Part>> {
        match self.parts()? {
            parts if parts.is_empty() => Err(usage(
                "whose quotas? give --user, --client-id, --ip or --default",
            )),
            parts => Ok(parts),
        }
    }
}

pub(crate) async fn run(args: QuotaArgs) -> anyhow::Result<Outcome> {
    let format = args.output.output;
    match args.command {
        QuotaCommand::List { entity } => {
            let parts = entity.parts()?;
            let client = &mut Client::connect(&args.connect).await?;
            print(format, &describe(client, &parts, false).await?)?;
        }
        QuotaCommand::Describe { entity } => {
            let parts = entity.entity()?;
            let client = &mut Client::connect(&args.connect).await?;
            print(format, &describe(client, &parts, true).await?)?;
        }
        QuotaCommand::Set {
            entity,
            quotas,
            dry_run,
        } => {
            let parts = entity.entity()?;
            let client = &mut Client::connect(&args.connect).await?;
            let quotas = quotas.into_iter().map(|(key, value)| (key, Some(value)));
            alter(client, &parts, quotas.collect(), dry_run).await?;
            let done = if dry_run { "may be set so" } else { "set" };
            output::note(format_args!("quotas of {}: {done}", name_of(&parts)));
        }
        QuotaCommand::Delete {
            entity,
            keys,
            destroy,
        } => {
            let parts = entity.entity()?;
            let client = &mut Client::connect(&args.connect).await?;
            delete(client, &parts, keys, destroy).await?;
        }
    }
    Ok(Outcome::Done)
}

async fn delete(
    client: &mut Client,
    parts: &[Part],
    keys: Vec<String>,
    destroy: DestroyArgs,
) -> anyhow::Result<()> {
    let name = name_of(parts);
    let set = describe(client, parts, true).await?;
    let set = set.into_iter().flat_map(|entry| entry.quotas.into_keys());
    let keys: Vec<String> = set
        .filter(|key| keys.is_empty() || keys.contains(key))
        .collect();
    if keys.is_empty() {
        return Err(anyhow::anyhow!("{name} has no such quota"));
    }
    let quotas = format!("the quotas {} of {name}", keys.join(", "));
    destroy.agreed(&quotas, &keys.len().to_string())?;
    let removed = keys.into_iter().map(|key| (key, None)).collect();
    alter(client, parts, removed, destroy.dry_run).await?;
    let done = if destroy.dry_run {
        "would be deleted"
    } else {
        "deleted"
    };
    output::note(format_args!("{quotas}: {done}"));
    Ok(())
}

#[derive(Debug, Serialize)]
struct Entry {
    /// By part: `user`, `client-id`, `ip`; `null` is the default of all.
    entity: std::collections::BTreeMap<String, Option<String>>,
    quotas: std::collections::BTreeMap<String, f64>,
}

impl Entry {
    fn of(entry: described::EntryData) -> Entry {
        let entity = entry.entity.into_iter().map(|part| {
            let name = part.entity_name.map(|name| name.to_string());
            (part.entity_type.to_string(), name)
        });
        let quotas = entry.values.into_iter();
        Entry {
            entity: entity.collect(),
            quotas: quotas
                .map(|quota| (quota.key.to_string(), quota.value))
                .collect(),
        }
    }

    fn name(&self) -> String {
        let parts = self.entity.iter();
        spoken(parts.map(|(part, name)| (part.as_str(), name.as_deref())))
    }
}

/// `user alice, client-id app`.
fn spoken<'a>(parts: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let parts = parts.map(|(part, name)| format!("{part} {}", name.unwrap_or("<default>")));
    parts.collect::<Vec<_>>().join(", ")
}

fn name_of(parts: &[Part]) -> String {
    spoken(parts.iter().map(|(part, name)| (*part, name.as_deref())))
}

/// How a part is matched (`ClientQuotaFilterComponent`).
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;

/// The quotas of entities with these parts; with `strict`, and no others.
async fn describe(client: &mut Client, parts: &[Part], strict: bool) -> anyhow::Result<Vec<Entry>> {
    let components = parts.iter().map(|(part, name)| {
        ComponentData::default()
            .with_entity_type(text(part))
            .with_match_type(if name.is_some() { EXACT } else { DEFAULT })
            .with_match(name.as_deref().map(text))
    });
    let link = client.seed().await?;
    let version = link.version::<DescribeClientQuotasRequest>()?;
    let request = DescribeClientQuotasRequest::default()
        .with_components(components.collect())
        .with_strict(strict);
    let response = link.call(&request, version).await?;
    link.accept(
        "describe quotas",
        response.error_code,
        response.error_message,
    )?;
    let mut entries: Vec<Entry> = response
        .entries
        .unwrap_or_default()
        .into_iter()
        .map(Entry::of)
        .collect();
    entries.sort_by(|left, right| left.entity.cmp(&right.entity));
    Ok(entries)
}

/// Sets quotas, or removes those without a value.
async fn alter(
    client: &mut Client,
    parts: &[Part],
    quotas: Vec<(String, Option<f64>)>,
    dry_run: bool,
) -> anyhow::Result<()> {
    let entity = parts.iter().map(|(part, name)| {
        EntityData::default()
            .with_entity_type(text(part))
            .with_entity_name(name.as_deref().map(text))
    });
    let operations = quotas.into_iter().map(|(key, value)| {
        OpData::default()
            .with_key(text(&key))
            .with_value(value.unwrap_or_default())
            .with_remove(value.is_none())
    });
    let entry = EntryData::default()
        .with_entity(entity.collect())
        .with_ops(operations.collect());
    let link = client.seed().await?;
    let version = link.version::<AlterClientQuotasRequest>()?;
    let request = AlterClientQuotasRequest::default()
        .with_entries(vec![entry])
        .with_validate_only(dry_run);
    for entry in link.call(&request, version).await?.entries {
        let asked = format!("alter the quotas of {}", name_of(parts));
        link.accept(&asked, entry.error_code, entry.error_message)?;
    }
    Ok(())
}

fn print(format: Format, entries: &[Entry]) -> anyhow::Result<()> {
    output::answer(format, &entries, |_| {
        let rows = entries.iter().flat_map(|entry| {
            let quotas = entry.quotas.iter();
            quotas.map(|(key, value)| [entry.name(), key.clone(), value.to_string()])
        });
        output::table_text(["ENTITY", "QUOTA", "VALUE"], rows)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_is_spoken_with_its_default_parts() {
        let args = EntityArgs {
            user: Some("alice".to_owned()),
            client_id: None,
            ip: None,
            default: vec![CLIENT_ID],
        };
        let parts = args.entity().unwrap();
        assert_eq!(name_of(&parts), "user alice, client-id <default>");
        let both = EntityArgs {
            default: vec![USER],
            ..args
        };
        assert!(both.entity().is_err());
    }

    #[test]
    fn a_quota_is_a_number() {
        assert_eq!(
            number("producer_byte_rate=1048576"),
            Ok(("producer_byte_rate".to_owned(), 1_048_576.0))
        );
        for wrong in [
            "producer_byte_rate",
            "producer_byte_rate=lots",
            "x=-1",
            "x=NaN",
            "x=inf",
        ] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
    }
}
