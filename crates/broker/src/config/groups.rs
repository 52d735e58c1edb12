//! What the keys of groups must satisfy together (`GroupCoordinatorConfig`).

use super::conflict;
use super::layers::Layers;
use super::value::ConfigError;

const ASSIGNORS: &str = "group.consumer.assignors";

/// The assignors by their short names; Kafka's own classes are known by their long ones too.
pub(super) fn assignors(layers: &Layers) -> Result<Vec<String>, ConfigError> {
    let value = layers.value(ASSIGNORS);
    if value.list().is_empty() {
        return Err(conflict(format!("{ASSIGNORS} must name an assignor")));
    }
    let names = value.list().iter().map(|name| match name.as_str() {
        "uniform" | "org.apache.kafka.coordinator.group.assignor.UniformAssignor" => Ok("uniform"),
        "range" | "org.apache.kafka.coordinator.group.assignor.RangeAssignor" => Ok("range"),
        _ => Err(ConfigError::invalid(
            ASSIGNORS,
            name,
            "this broker has the assignors uniform and range",
        )),
    });
    names.map(|name| name.map(str::to_owned)).collect()
}

/// Kafka's order of checks, and its words.
pub(super) fn check(layers: &Layers) -> Result<(), ConfigError> {
    for what in [
        "heartbeat.interval.ms",
        "session.timeout.ms",
        "assignment.interval.ms",
    ] {
        let [lowest, default, highest] =
            ["min.", "", "max."].map(|bound| format!("group.consumer.{bound}{what}"));
        at_least(layers, &highest, &lowest)?;
        at_least(layers, &default, &lowest)?;
        if number(layers, &default) > number(layers, &highest) {
            return Err(conflict(format!(
                "{default} must be less than or equal to {highest}"
            )));
        }
    }
    let (heartbeat, session) = (
        "group.consumer.heartbeat.interval.ms",
        "group.consumer.session.timeout.ms",
    );
    if number(layers, heartbeat) >= number(layers, session) {
        return Err(conflict(format!("{heartbeat} must be less than {session}")));
    }
    let codec = number(layers, "offsets.topic.compression.codec");
    if !(0..=4).contains(&codec) {
        return Err(conflict(format!("Unknown compression type id: {codec}")));
    }
    Ok(())
}

fn at_least(layers: &Layers, high: &str, low: &str) -> Result<(), ConfigError> {
    if number(layers, high) >= number(layers, low) {
        return Ok(());
    }
    Err(conflict(format!(
        "{high} must be greater than or equal to {low}"
    )))
}

fn number(layers: &Layers, name: &str) -> i64 {
    layers.value(name).integer()
}
