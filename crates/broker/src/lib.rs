//! The broker: joins the rooms. Listeners, one handler per API, background tasks, configuration, admin HTTP.
//!
//! The promise: a [`Broker`] is a value. It starts on the addresses its [`config::Config`] names (port 0 included), lives
//! beside others in one process, and stops in order when asked. It knows no command line, installs no signal handler,
//! prints nothing and never exits the process.

mod admin_http;
mod apis;
mod broker;
mod clock;
pub mod config;
mod config_resources;
mod context;
mod coordinators;
mod error_code;
mod fetch_session;
mod groups;
mod handlers;
mod log_filter;
mod markers;
mod metrics;
mod net;
mod operations;
mod quotas;
mod tasks;
mod telemetry;
mod topics;
mod transactions;
mod waiters;

pub use broker::{BoundListener, Broker, Embedding, ShutdownError, StartError};
pub use log_filter::LogFilter;
