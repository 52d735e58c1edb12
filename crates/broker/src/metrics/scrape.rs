//! The page that `/metrics` answers with.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus::{Registry, TextEncoder};

use super::compat;
use super::own;
use super::page::Page;
use super::process::DiskTraffic;
use super::survey::Survey;
use crate::config::MetricsLevel;
use crate::context::Context;
use crate::groups::lag::GroupRow;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScrapeError {
    #[error("the metrics cannot be written: {0}")]
    Encode(#[from] prometheus::Error),
    #[error("the scrape was interrupted: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// Everything there is to show; before the broker serves, that is what the registry has.
pub(crate) async fn page(
    registry: Registry,
    ctx: Option<Arc<Context>>,
) -> Result<String, ScrapeError> {
    let Some(ctx) = ctx else {
        return Ok(TextEncoder::new().encode_to_string(&registry.gather())?);
    };
    let each_group = ctx.config().metrics.group_level > MetricsLevel::None;
    let groups = ctx.groups.report(&ctx, each_group).await;
    ctx.transactions.report(&ctx).await;
    // Some ten milliseconds for many partitions, which other tasks should not have to wait for.
    let page = tokio::task::spawn_blocking(move || serving(&registry, &ctx, &groups)).await?;
    Ok(page?)
}

fn serving(
    registry: &Registry,
    ctx: &Context,
    groups: &[GroupRow],
) -> Result<String, prometheus::Error> {
    let options = ctx.config().metrics;
    let survey = Survey::of(ctx, options.topic_level);
    refresh(ctx, &survey);
    let last_bytes = ctx.metrics.page_bytes.load(Ordering::Relaxed);
    let mut text = String::with_capacity(last_bytes + last_bytes / 16);
    TextEncoder::new().encode_utf8(&registry.gather(), &mut text)?;
    let mut page = Page::after(text);
    let disk = DiskTraffic::of_process();
    if let Some(disk) = disk {
        disk.write(&mut page);
    }
    let image = ctx.image();
    let is_controller = image.controller == Some(ctx.node_id);
    own::health(&mut page, &survey, is_controller);
    own::topics(&mut page, &survey, options.topic_level);
    own::groups(&mut page, groups, options.group_level);
    if options.kafka_compat {
        let sources = compat::Sources {
            ctx,
            image: &image,
            is_controller,
            survey: &survey,
            groups,
            disk,
            options,
        };
        sources.write(&mut page);
    }
    let text = page.into_text();
    ctx.metrics.page_bytes.store(text.len(), Ordering::Relaxed);
    Ok(text)
}

/// Gauges that are only worth computing when somebody looks.
fn refresh(ctx: &Context, survey: &Survey) {
    let metrics = &ctx.metrics;
    let as_gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
    metrics.topics.set(as_gauge(survey.topics.len()));
    metrics.partitions.set(as_gauge(survey.sums.partitions));
    metrics
        .fetch_sessions
        .set(as_gauge(ctx.fetch_sessions.len()));
    metrics
        .memory_available_bytes
        .set(as_gauge(ctx.memory.available()));
    metrics.runtime.refresh();
}
