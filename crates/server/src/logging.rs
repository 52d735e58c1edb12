//! The broker's log: where it goes, how it looks, how much of it there is.

use std::io;
use std::sync::Arc;

use broker::LogFilter;
use clap::ValueEnum;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, reload};

use crate::outcome::usage;
use crate::output;

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line, for machines
    Json,
}

/// The variable that says what is logged, such as `debug` or `info,tidewater_storage=debug`.
pub(crate) const VARIABLE: &str = "TIDEWATER_LOG";
const DEFAULT: &str = "info";

/// Sends the process's log to stderr from now on. Gives the filter, to be changed while it runs.
pub(crate) fn start(format: LogFormat) -> anyhow::Result<Arc<LogFilter>> {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let wanted = if wanted.trim().is_empty() {
        DEFAULT
    } else {
        wanted.trim()
    };
    let filter = EnvFilter::try_new(wanted)
        .map_err(|error| usage(format!("{VARIABLE}={wanted} is no log filter ({error}); write info or info,tidewater_storage=debug")))?;
    let (filter, handle) = reload::Layer::<_, Registry>::new(filter);
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(output::colours()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()?;
    let reload = move |wanted: &str| {
        let filter = EnvFilter::try_new(wanted).map_err(|error| error.to_string())?;
        handle.reload(filter).map_err(|error| error.to_string())
    };
    Ok(Arc::new(LogFilter::new(wanted, reload)))
}
