//! `config list`: what has a configuration.

use clap::{Args, ValueEnum};
use serde::Serialize;
use wire::messages::list_config_resources_request::ListConfigResourcesRequest;

use super::resource::Kind;
use crate::client::Client;
use crate::outcome::Outcome;
use crate::output::{self, Format};

/// List what has a configuration: all topics and brokers, and the groups and client metrics that were given one
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only these kinds
    #[arg(value_enum)]
    kinds: Vec<Kind>,
}

#[derive(Debug, Serialize)]
struct Listed {
    /// `topic`, `broker`, `broker-logger`, `client-metrics` or `group`.
    kind: &'static str,
    name: String,
}

/// From this version on all kinds can be asked for (KIP-1142).
const ALL_KINDS: i16 = 1;

impl ListArgs {
    pub(super) async fn run(&self, client: &mut Client, format: Format) -> anyhow::Result<Outcome> {
        let kinds = match self.kinds.is_empty() {
            true => Kind::value_variants(),
            false => &self.kinds,
        };
        let mut listed = match version(client).await? {
            Some(ALL_KINDS..) => ask(client, kinds).await?,
            older => by_metadata(client, kinds, older.is_some()).await?,
        };
        listed.sort();
        listed.dedup();
        let listed: Vec<Listed> = listed
            .into_iter()
            .map(|(kind, name)| Listed {
                kind: kind.name(),
                name,
            })
            .collect();
        output::answer(format, &listed, |_| {
            let rows = listed
                .iter()
                .map(|listed| [listed.kind.to_owned(), listed.name.clone()]);
            output::table_text(["KIND", "NAME"], rows)
        })?;
        Ok(Outcome::Done)
    }
}

async fn version(client: &mut Client) -> anyhow::Result<Option<i16>> {
    Ok(client
        .seed()
        .await?
        .version::<ListConfigResourcesRequest>()
        .ok())
}

async fn ask(client: &mut Client, kinds: &[Kind]) -> anyhow::Result<Vec<(Kind, String)>> {
    let link = client.seed().await?;
    let version = link.version::<ListConfigResourcesRequest>()?;
    let mut request = ListConfigResourcesRequest::default();
    if version >= ALL_KINDS {
        request.resource_types = kinds.iter().map(|kind| kind.code()).collect();
    }
    let response = link.call(&request, version).await?;
    link.accept("list what has a configuration", response.error_code, None)?;
    let listed = response
        .config_resources
        .into_iter()
        .filter_map(|resource| {
            let kind = match version {
                ALL_KINDS.. => Kind::of_code(resource.resource_type)?,
                _ => Kind::ClientMetrics,
            };
            Some((kind, resource.resource_name.to_string()))
        });
    Ok(listed.collect())
}

/// Brokers before Kafka 4.1 know of client metrics at most; topics and brokers are in the metadata.
async fn by_metadata(
    client: &mut Client,
    kinds: &[Kind],
    client_metrics: bool,
) -> anyhow::Result<Vec<(Kind, String)>> {
    let metadata = client.metadata(None, false).await?;
    let mut listed = Vec::new();
    for kind in kinds {
        match kind {
            Kind::Topic => {
                let topics = metadata.topics.iter();
                listed.extend(topics.map(|topic| (*kind, topic.name.clone())));
            }
            Kind::Broker | Kind::BrokerLogger => {
                let nodes = metadata.nodes.keys();
                listed.extend(nodes.map(|id| (*kind, id.to_string())));
            }
            Kind::ClientMetrics if client_metrics => listed.extend(ask(client, &[*kind]).await?),
            Kind::ClientMetrics => {}
            Kind::Group => {
                output::note("this broker does not list the groups that have a configuration")
            }
        }
    }
    Ok(listed)
}
