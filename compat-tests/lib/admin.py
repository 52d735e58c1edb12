"""What administrators ask beyond topics and groups (../README.md), for the clients driven from Python."""
from checks import Wrong, equal, until

RETENTION = "log.retention.ms"


class AdminSteps:
    # What a client brings; each raises Refused with the broker's error code.

    def log_dirs(self): raise NotImplementedError  # {(topic, partition): bytes}
    def ends(self, topic): raise NotImplementedError  # {partition: (earliest, latest)}, asked for at once
    def broker_configs(self): raise NotImplementedError  # {key: value}
    def alter_broker(self, key, value): raise NotImplementedError  # None: back to the default
    def quotas(self, user): raise NotImplementedError  # {key: number}
    def alter_quota(self, user, key, value): raise NotImplementedError  # None: removed

    def admin_steps(self):
        yield "admin-log-dirs", self.admin_log_dirs
        yield "admin-list-offsets", self.admin_list_offsets
        yield "admin-configs", self.admin_configs
        yield "admin-quotas", self.admin_quotas

    def admin_log_dirs(self):
        topic, sizes = self.topic("zstd"), self.log_dirs()
        for partition in range(self.spread):
            if sizes.get((topic, partition), 0) <= 0:
                raise Wrong(f"size of {topic}-{partition}: expected more than 0, got {sizes.get((topic, partition))}")

    def admin_list_offsets(self):
        equal("both ends", {partition: (0, self.per_partition) for partition in range(self.spread)},
              self.ends(self.topic("zstd")))

    def admin_configs(self):
        before = self.broker_configs()[RETENTION]
        self.alter_broker(RETENTION, "86400000")
        until(f"{RETENTION} after altering", "86400000", lambda: self.broker_configs()[RETENTION])
        self.alter_broker(RETENTION, None)
        until(f"{RETENTION} after resetting", before, lambda: self.broker_configs()[RETENTION])

    def admin_quotas(self):
        user = self.run_id
        self.alter_quota(user, "producer_byte_rate", 1_048_576.0)
        until("the quota", {"producer_byte_rate": 1_048_576.0}, lambda: self.quotas(user))
        self.alter_quota(user, "producer_byte_rate", None)
        until("the quota after removing it", {}, lambda: self.quotas(user))
