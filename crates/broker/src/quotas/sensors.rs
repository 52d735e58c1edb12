//! What is remembered of callers: bounded in number, whatever clients call themselves.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use foldhash::{HashMap, HashMapExt};

/// Callers remembered at a time for one kind of quota. Kafka sets no such bound, and a client may call itself otherwise in every
/// request.
const SENSORS_MAX: usize = 20_000;
/// Whoever has not called for this long is forgotten (`ClientQuotaManager.InactiveSensorExpirationTimeSeconds`).
const IDLE_MAX_MS: u64 = 3_600_000;
/// How often the idle ones are looked for.
const SWEEP_MS: u64 = 300_000;

/// A caller's digest. Names may be 32 KiB long, and nobody asks for them back.
type Digest = u128;

/// The state of every caller who is limited, by any key that can be hashed.
pub(crate) struct Sensors<T> {
    hashers: [RandomState; 2],
    sensors: HashMap<Digest, Sensor<T>>,
    sweep_at_ms: u64,
}

struct Sensor<T> {
    state: T,
    used_ms: u64,
}

impl<T> Default for Sensors<T> {
    fn default() -> Self {
        Self {
            hashers: [RandomState::default(), RandomState::default()],
            sensors: HashMap::new(),
            sweep_at_ms: SWEEP_MS,
        }
    }
}

impl<T: Default> Sensors<T> {
    /// The state of `key`, new for one who is not known.
    pub(crate) fn of(&mut self, key: impl std::hash::Hash, now_ms: u64) -> &mut T {
        let digest = self.digest(&key);
        if now_ms >= self.sweep_at_ms {
            self.sensors
                .retain(|_, sensor| now_ms.saturating_sub(sensor.used_ms) < IDLE_MAX_MS);
            self.sweep_at_ms = now_ms.saturating_add(SWEEP_MS);
        }
        if self.sensors.len() >= SENSORS_MAX && !self.sensors.contains_key(&digest) {
            self.forget_half();
        }
        let sensor = self.sensors.entry(digest).or_insert_with(|| Sensor {
            state: T::default(),
            used_ms: now_ms,
        });
        sensor.used_ms = now_ms;
        &mut sensor.state
    }

    fn digest(&self, key: &impl std::hash::Hash) -> Digest {
        let [high, low] = [&self.hashers[0], &self.hashers[1]].map(|hasher| hasher.hash_one(key));
        Digest::from(high) << 64 | Digest::from(low)
    }

    /// Forgets those who called longest ago: half of them at once, so that looking for them is paid for by many callers.
    fn forget_half(&mut self) {
        let mut used: Vec<u64> = self.sensors.values().map(|sensor| sensor.used_ms).collect();
        let middle = used.len() / 2;
        let (_, &mut median_ms, _) = used.select_nth_unstable(middle);
        let mut excess = self.sensors.len() - middle;
        self.sensors.retain(|_, sensor| {
            let goes = excess > 0 && sensor.used_ms <= median_ms;
            excess -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_apart_and_remembered() {
        let mut sensors = Sensors::<u32>::default();
        *sensors.of(("ab", "c"), 0) += 1;
        *sensors.of(("a", "bc"), 0) += 10;
        *sensors.of(("ab", "c"), 1) += 1;
        assert_eq!(
            (*sensors.of(("ab", "c"), 2), *sensors.of(("a", "bc"), 2)),
            (2, 10)
        );
    }

    #[test]
    fn the_idle_are_forgotten_after_an_hour() {
        let mut sensors = Sensors::<u32>::default();
        *sensors.of("idle", 0) = 1;
        *sensors.of("busy", 0) = 1;
        sensors.of("busy", 1_800_000);
        sensors.of("busy", 3_600_000);
        assert_eq!(sensors.sensors.len(), 1);
        assert_eq!(
            (
                *sensors.of("idle", 3_600_001),
                *sensors.of("busy", 3_600_001)
            ),
            (0, 1)
        );
    }

    #[test]
    fn a_flood_of_names_stays_bounded_and_spares_who_called_last() {
        let mut sensors = Sensors::<u32>::default();
        for name in 0..5 * SENSORS_MAX {
            *sensors.of("steady", name as u64) = 1;
            sensors.of(name, name as u64);
            assert!(sensors.sensors.len() <= SENSORS_MAX);
        }
        assert_eq!(*sensors.of("steady", 5 * SENSORS_MAX as u64), 1);
        // All of them in one millisecond, too.
        for name in 0..SENSORS_MAX {
            sensors.of(("again", name), u64::from(u32::MAX));
            assert!(sensors.sensors.len() <= SENSORS_MAX);
        }
    }
}
