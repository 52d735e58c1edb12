//! The client instances that ask and push (`ClientMetricsManager`, `ClientMetricsInstance`): who they are, what they are to push
//! and when they may come again. Pure: the time is an argument.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use uuid::Uuid;
use wire::compress::Codec;

use super::{ALL_METRICS, Client, TelemetryError};
use crate::config::client_metrics::{INTERVAL_DEFAULT_MS, Subscription};

/// Instances known at a time, as in Kafka; beyond it the one that would be forgotten next makes room.
const INSTANCES_MAX: usize = 16_384;
/// An instance is forgotten when it has been silent for three push intervals, and no sooner than this.
const SILENCE_MIN_MS: i64 = 60_000;

/// The one other id that Kafka refuses as reserved (`Uuid.RESERVED`).
const METADATA_TOPIC_ID: Uuid = Uuid::from_u128(1);

/// All subscriptions, as of one change of theirs.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    /// Counts the changes: an instance that was looked at before is looked at again.
    pub(super) version: u64,
    /// The names, and when each was last changed.
    pub(super) revisions: Vec<(String, i64)>,
    pub(super) all: Vec<Subscription>,
}

/// What an instance is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) instance_id: Uuid,
    pub(crate) subscription_id: i32,
    pub(crate) interval_ms: i32,
    /// Beginnings of names; `*` is all metrics, nothing none.
    pub(crate) metrics: Arc<[String]>,
}

/// What a push says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Push {
    pub(crate) instance_id: Uuid,
    pub(crate) subscription_id: i32,
    pub(crate) terminating: bool,
    pub(crate) compression_type: i8,
    pub(crate) bytes: usize,
    pub(crate) bytes_max: usize,
}

#[derive(Debug, Default)]
pub(super) struct Instances {
    by_id: HashMap<Uuid, Instance>,
    /// When each is forgotten.
    deadlines: BTreeSet<(i64, Uuid)>,
    /// The last instance that was made for each connection.
    by_connection: BTreeMap<u64, Uuid>,
}

#[derive(Debug)]
struct Instance {
    version: u64,
    subscription_id: i32,
    interval_ms: i32,
    metrics: Arc<[String]>,
    last_get_ms: Option<i64>,
    last_push_ms: Option<i64>,
    terminating: bool,
    /// The last push was refused for a reason that asking again mends, so asking is allowed at once.
    should_ask: bool,
    connection: u64,
    deadline_ms: i64,
}

impl Instances {
    pub(super) fn get(
        &mut self,
        now_ms: i64,
        client: Client<'_>,
        instance_id: Uuid,
        subscriptions: &Subscriptions,
    ) -> Result<Granted, TelemetryError> {
        let instance_id = if instance_id.is_nil() {
            new_id()
        } else {
            instance_id
        };
        let instance = self.instance(now_ms, client, instance_id, subscriptions);
        if !instance.may_get(now_ms) {
            return Err(TelemetryError::TooSoon);
        }
        instance.should_ask = false;
        Ok(Granted {
            instance_id,
            subscription_id: instance.subscription_id,
            interval_ms: instance.interval_ms,
            metrics: Arc::clone(&instance.metrics),
        })
    }

    /// What of the push is wanted, and its codec.
    pub(super) fn push(
        &mut self,
        now_ms: i64,
        client: Client<'_>,
        push: Push,
        subscriptions: &Subscriptions,
    ) -> Result<(Arc<[String]>, Codec), TelemetryError> {
        if push.instance_id.is_nil() || push.instance_id == METADATA_TOPIC_ID {
            return Err(TelemetryError::InvalidInstanceId(push.instance_id));
        }
        let instance = self.instance(now_ms, client, push.instance_id, subscriptions);
        let checked = instance.check(now_ms, push);
        // Whatever becomes of the push, as Kafka does.
        instance.terminating = push.terminating;
        instance.should_ask = matches!(
            checked,
            Err(TelemetryError::UnknownSubscription | TelemetryError::UnsupportedCompression(_))
        );
        checked.map(|codec| (Arc::clone(&instance.metrics), codec))
    }

    pub(super) fn disconnected(&mut self, connection: u64) {
        if let Some(id) = self.by_connection.remove(&connection) {
            self.forget(id);
        }
    }

    /// Forgets those that have been silent, and says how many are left.
    pub(super) fn count(&mut self, now_ms: i64) -> usize {
        while let Some(&(deadline_ms, id)) = self.deadlines.first()
            && deadline_ms <= now_ms
        {
            self.forget(id);
        }
        self.by_id.len()
    }

    fn forget(&mut self, id: Uuid) {
        let Some(gone) = self.by_id.remove(&id) else {
            return;
        };
        self.deadlines.remove(&(gone.deadline_ms, id));
        if self.by_connection.get(&gone.connection) == Some(&id) {
            self.by_connection.remove(&gone.connection);
        }
    }

    /// The instance, made if it is new and made anew if subscriptions have changed since it was.
    fn instance(
        &mut self,
        now_ms: i64,
        client: Client<'_>,
        id: Uuid,
        subscriptions: &Subscriptions,
    ) -> &mut Instance {
        self.count(now_ms);
        let is_current = |instance: &Instance| instance.version == subscriptions.version;
        let mut instance = match self.by_id.remove(&id) {
            Some(known) => {
                self.deadlines.remove(&(known.deadline_ms, id));
                if is_current(&known) {
                    known
                } else {
                    Instance::new(client, id, subscriptions)
                }
            }
            None => {
                if self.by_id.len() >= INSTANCES_MAX
                    && let Some(&(_, next)) = self.deadlines.first()
                {
                    self.forget(next);
                }
                self.by_connection.insert(client.connection, id);
                Instance::new(client, id, subscriptions)
            }
        };
        let silence_ms = SILENCE_MIN_MS.max(3 * i64::from(instance.interval_ms));
        instance.deadline_ms = now_ms.saturating_add(silence_ms);
        self.deadlines.insert((instance.deadline_ms, id));
        self.by_id.entry(id).or_insert(instance)
    }
}

impl Instance {
    fn new(client: Client<'_>, id: Uuid, subscriptions: &Subscriptions) -> Self {
        let mut interval_ms = INTERVAL_DEFAULT_MS;
        let mut metrics = BTreeSet::new();
        let matching = subscriptions.all.iter();
        for subscription in matching.filter(|subscription| client.matches(id, subscription)) {
            interval_ms = interval_ms.min(subscription.interval_ms);
            metrics.extend(subscription.metrics.iter().cloned());
        }
        if metrics.contains(ALL_METRICS) {
            metrics = BTreeSet::from([ALL_METRICS.to_owned()]);
        }
        let metrics: Arc<[String]> = metrics.into_iter().collect();
        Self {
            version: subscriptions.version,
            subscription_id: subscription_id(&metrics, interval_ms, id),
            interval_ms,
            metrics,
            last_get_ms: None,
            last_push_ms: None,
            terminating: false,
            should_ask: false,
            connection: client.connection,
            deadline_ms: 0,
        }
    }

    fn is_due(&self, now_ms: i64, last_ms: Option<i64>) -> bool {
        last_ms.is_none_or(|last_ms| now_ms - last_ms >= i64::from(self.interval_ms))
    }

    fn may_get(&mut self, now_ms: i64) -> bool {
        if self.is_due(now_ms, self.last_get_ms.max(self.last_push_ms)) {
            self.last_get_ms = Some(now_ms);
            return true;
        }
        self.should_ask
    }

    /// The first push after asking may come early: clients spread theirs between half the interval and one and a half.
    fn may_push(&mut self, now_ms: i64) -> bool {
        let may = self.last_get_ms > self.last_push_ms || self.is_due(now_ms, self.last_push_ms);
        if may {
            self.last_push_ms = Some(now_ms);
        }
        may
    }

    fn check(&mut self, now_ms: i64, push: Push) -> Result<Codec, TelemetryError> {
        if self.terminating {
            return Err(TelemetryError::Terminated);
        }
        if !self.may_push(now_ms) && !push.terminating {
            return Err(TelemetryError::TooSoon);
        }
        if push.subscription_id != self.subscription_id {
            return Err(TelemetryError::UnknownSubscription);
        }
        let codec = u8::try_from(push.compression_type)
            .ok()
            .and_then(Codec::from_id);
        let codec = codec.ok_or(TelemetryError::UnsupportedCompression(
            push.compression_type,
        ))?;
        if push.bytes > push.bytes_max {
            return Err(TelemetryError::TooLarge(push.bytes_max));
        }
        Ok(codec)
    }
}

/// CRC-32C of the names and the interval, mixed with the instance's id (`computeSubscriptionId`). Kafka's names come in the
/// order of a hash table; sorted ones give every broker the same id.
fn subscription_id(metrics: &[String], interval_ms: i32, id: Uuid) -> i32 {
    let text = format!("[{}]{interval_ms}", metrics.join(", "));
    crc32c::crc32c(text.as_bytes()).cast_signed() ^ java_hash(id)
}

/// `Uuid.hashCode` of Kafka.
fn java_hash(id: Uuid) -> i32 {
    let (high, low) = id.as_u64_pair();
    let both = high ^ low;
    // Half of it is thrown away by intention.
    ((both >> 32) as u32 ^ both as u32).cast_signed()
}

/// A new id that no command line would take for an option, as Kafka's `Uuid.randomUuid` makes them.
fn new_id() -> Uuid {
    loop {
        let id = Uuid::new_v4();
        if !cluster::id_text(id).starts_with('-') {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::connection::Software;

    fn subscriptions(version: u64, all: &[&[(&str, &str)]]) -> Subscriptions {
        let parse = |settings: &&[(&str, &str)]| {
            let settings = settings.iter();
            let settings = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Subscription::parse(&settings.collect()).expect("a subscription")
        };
        Subscriptions {
            version,
            revisions: Vec::new(),
            all: all.iter().map(parse).collect(),
        }
    }

    const ID: Uuid = Uuid::from_u128(7);

    struct Bench {
        instances: Instances,
        subscriptions: Subscriptions,
        software: Software,
    }

    impl Bench {
        fn new(all: &[&[(&str, &str)]]) -> Self {
            Self {
                instances: Instances::default(),
                subscriptions: subscriptions(1, all),
                software: Software::unknown(),
            }
        }

        fn get(&mut self, now_ms: i64, id: Uuid) -> Result<Granted, TelemetryError> {
            let client = client(&self.software);
            self.instances.get(now_ms, client, id, &self.subscriptions)
        }

        fn push(&mut self, now_ms: i64, push: Push) -> Result<(), TelemetryError> {
            let client = client(&self.software);
            let pushed = self
                .instances
                .push(now_ms, client, push, &self.subscriptions);
            pushed.map(|_| ())
        }
    }

    fn client(software: &Software) -> Client<'_> {
        Client {
            connection: 1,
            client_id: Some("app"),
            software,
            peer: ([127, 0, 0, 1], 5_000).into(),
        }
    }

    fn push(granted: &Granted) -> Push {
        Push {
            instance_id: granted.instance_id,
            subscription_id: granted.subscription_id,
            terminating: false,
            compression_type: 4,
            bytes: 10,
            bytes_max: 100,
        }
    }

    #[test]
    fn the_subscription_id_is_kafkas() {
        // From `ClientMetricsManager` of Kafka 4.4 in a JVM: names that its hash table happens to have in order.
        assert_eq!(java_hash(Uuid::from_u64_pair(1, 2)), 3);
        assert_eq!(
            java_hash(Uuid::from_u64_pair(
                0x1234_5678_9abc_def0,
                0x0fed_cba9_8765_4321
            )),
            0
        );
        assert_eq!(
            crc32c::crc32c(b"[org.apache.kafka.producer., a, org.apache.kafka.consumer., b]300000"),
            1_412_123_981
        );
    }

    #[test]
    fn a_client_pushes_what_all_subscriptions_for_it_want_as_often_as_the_most_frequent_does() {
        let mut bench = Bench::new(&[
            &[("metrics", "b,a"), ("interval.ms", "5000")],
            &[
                ("metrics", "c"),
                ("match", "client_id=app"),
                ("interval.ms", "1000"),
            ],
            &[
                ("metrics", "d"),
                ("match", "client_id=other"),
                ("interval.ms", "100"),
            ],
        ]);
        let granted = bench.get(0, Uuid::nil()).expect("granted");
        assert!(!granted.instance_id.is_nil());
        assert_eq!(*granted.metrics, ["a", "b", "c"]);
        assert_eq!(granted.interval_ms, 1_000);
        bench.subscriptions = subscriptions(2, &[&[("metrics", "a,*")], &[("metrics", "b")]]);
        assert_eq!(
            *bench.get(1, granted.instance_id).expect("changed").metrics,
            ["*"]
        );
    }

    #[test]
    fn a_client_without_a_subscription_has_nothing_to_push_and_asks_again_in_five_minutes() {
        let mut bench = Bench::new(&[]);
        let granted = bench.get(0, ID).expect("granted");
        assert_eq!((granted.metrics.len(), granted.interval_ms), (0, 300_000));
    }

    #[test]
    fn asking_and_pushing_keep_to_the_interval() {
        let mut bench = Bench::new(&[&[("metrics", "*"), ("interval.ms", "1000")]]);
        let granted = bench.get(0, ID).expect("granted");
        assert_eq!(bench.get(999, ID), Err(TelemetryError::TooSoon));
        assert_eq!(
            bench.push(400, push(&granted)),
            Ok(()),
            "the first may be early"
        );
        assert_eq!(
            bench.push(1_399, push(&granted)),
            Err(TelemetryError::TooSoon)
        );
        assert_eq!(bench.push(1_400, push(&granted)), Ok(()));
        assert_eq!(bench.get(2_399, ID), Err(TelemetryError::TooSoon));
        assert!(bench.get(2_400, ID).is_ok());
    }

    #[test]
    fn a_changed_subscription_is_told_at_once() {
        let mut bench = Bench::new(&[&[("metrics", "a"), ("interval.ms", "1000")]]);
        let granted = bench.get(0, ID).expect("granted");
        bench.subscriptions = subscriptions(2, &[&[("metrics", "b"), ("interval.ms", "1000")]]);
        let unknown = Err(TelemetryError::UnknownSubscription);
        assert_eq!(bench.push(10, push(&granted)), unknown);
        let again = bench.get(20, ID).expect("asked at once");
        assert_eq!(*again.metrics, ["b"]);
        assert_eq!(bench.push(1_010, push(&again)), Ok(()));
    }

    #[test]
    fn what_a_push_says_of_itself_is_checked() {
        let mut bench = Bench::new(&[&[("metrics", "*"), ("interval.ms", "100")]]);
        let granted = bench.get(0, ID).expect("granted");
        let good = push(&granted);
        let reserved = Push {
            instance_id: Uuid::from_u128(1),
            ..good
        };
        assert_eq!(
            bench.push(0, reserved),
            Err(TelemetryError::InvalidInstanceId(Uuid::from_u128(1)))
        );
        for (at_ms, wrong, error) in [
            (
                100,
                Push {
                    compression_type: 5,
                    ..good
                },
                TelemetryError::UnsupportedCompression(5),
            ),
            (
                200,
                Push {
                    compression_type: -1,
                    ..good
                },
                TelemetryError::UnsupportedCompression(-1),
            ),
            (
                300,
                Push { bytes: 101, ..good },
                TelemetryError::TooLarge(100),
            ),
            (
                400,
                Push {
                    subscription_id: 1,
                    ..good
                },
                TelemetryError::UnknownSubscription,
            ),
        ] {
            assert_eq!(bench.push(at_ms, wrong), Err(error));
        }
        for compression_type in 0..=4 {
            let at_ms = 1_000 + 100 * i64::from(compression_type);
            assert_eq!(
                bench.push(
                    at_ms,
                    Push {
                        compression_type,
                        ..good
                    }
                ),
                Ok(())
            );
        }
    }

    #[test]
    fn a_last_push_may_come_at_any_time_and_is_the_last() {
        let mut bench = Bench::new(&[&[("metrics", "*"), ("interval.ms", "1000")]]);
        let granted = bench.get(0, ID).expect("granted");
        assert_eq!(bench.push(10, push(&granted)), Ok(()));
        let last = Push {
            terminating: true,
            ..push(&granted)
        };
        assert_eq!(bench.push(20, last), Ok(()));
        assert_eq!(bench.push(2_000, last), Err(TelemetryError::Terminated));
    }

    #[test]
    fn silent_and_disconnected_instances_are_forgotten() {
        let mut bench = Bench::new(&[&[("metrics", "*"), ("interval.ms", "30000")]]);
        bench.get(0, ID).expect("granted");
        assert_eq!(bench.instances.count(89_999), 1);
        assert_eq!(bench.instances.count(90_000), 0);
        bench.get(100_000, ID).expect("granted");
        bench.instances.disconnected(1);
        assert_eq!(bench.instances.count(100_000), 0);
        assert!(bench.instances.deadlines.is_empty() && bench.instances.by_connection.is_empty());
        assert!(bench.get(100_001, ID).is_ok(), "it begins anew");
    }

    #[test]
    fn there_are_never_too_many_instances() {
        let mut bench = Bench::new(&[]);
        for at_ms in 0..INSTANCES_MAX as i64 + 10 {
            bench.get(at_ms, Uuid::nil()).expect("granted");
        }
        assert_eq!(bench.instances.count(0), INSTANCES_MAX);
        assert_eq!(bench.instances.deadlines.len(), INSTANCES_MAX);
        assert!(bench.instances.by_connection.len() <= 1);
    }
}
