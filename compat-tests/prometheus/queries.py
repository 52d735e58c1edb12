"""What dashboards and alerts made for Kafka ask Prometheus: the metrics and labels of each panel, put together here as the panels
put them together. Panels about a JVM or about containers are left out; README.md says which."""

CLUSTER = 'namespace="kafka",strimzi_io_cluster="prod"'
POD = CLUSTER + ',kubernetes_pod_name=~"prod-kafka-.*"'
TOPICS = POD + ',topic=~".+",topic!=""'
EXPORTED = 'topic=~".+",namespace=~"kafka"'
GROUPS = 'consumergroup=~".+",' + EXPORTED


def of_cluster(metric, function="sum"):
    return f"{function}({metric}{{{CLUSTER}}})"


def rate(name):
    return f"sum(irate(kafka_server_brokertopicmetrics_{name}_total{{{TOPICS}}}[5m]))"


def exported(metric, by=None, selector=EXPORTED):
    return f"sum({metric}{{{selector}}})" + (f" by ({by})" if by else "")


# Strimzi's dashboard "Kafka".
KAFKA = {
    "brokers online": of_cluster("kafka_server_replicamanager_leadercount", "count"),
    "active controllers": of_cluster("kafka_controller_kafkacontroller_activecontrollercount"),
    "unclean elections": f"sum(irate(kafka_controller_controllerstats_uncleanleaderelections_total{{{CLUSTER}}}[5m]))",
    "online replicas": of_cluster("kafka_server_replicamanager_partitioncount"),
    "under-replicated": of_cluster("kafka_server_replicamanager_underreplicatedpartitions"),
    "at minimum ISR": of_cluster("kafka_cluster_partition_atminisr"),
    "under minimum ISR": of_cluster("kafka_cluster_partition_underminisr"),
    "offline partitions": of_cluster("kafka_controller_kafkacontroller_offlinepartitionscount"),
    "bytes in": rate("bytesin"),
    "bytes out": rate("bytesout"),
    "messages in": rate("messagesin"),
    "produce requests": rate("totalproducerequests"),
    "failed produce requests": rate("failedproducerequests"),
    "fetch requests": rate("totalfetchrequests"),
    "failed fetch requests": rate("failedfetchrequests"),
    "network idle": f"sum(kafka_network_socketserver_networkprocessoravgidle_percent{{{POD}}}*100) by (kubernetes_pod_name)",
    "handlers idle": f"sum(kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent{{{POD}}}*100) by (kubernetes_pod_name)",
    "disk writes": f"sum(irate(kafka_server_kafkaserver_linux_disk_write_bytes{{{POD}}}[5m])) by (kubernetes_pod_name)",
    "disk reads": f"sum(irate(kafka_server_kafkaserver_linux_disk_read_bytes{{{POD}}}[5m])) by (kubernetes_pod_name)",
    "connections": f"sum(kafka_server_socket_server_metrics_connection_count{{{POD}}}) by (kubernetes_pod_name, listener)",
    "log size": f'kafka_log_log_size{{{POD},topic=~".+",partition=~".+"}}',
    "choice of topics": f"kafka_cluster_partition_replicascount{{{POD}}}",
}

# Strimzi's dashboard "Kafka Exporter", which came from one for kafka_exporter.
KAFKA_EXPORTER = {
    "topics": f"count(kafka_topic_partitions{{{EXPORTED}}})",
    "partitions": exported("kafka_topic_partitions"),
    "replicas": exported("kafka_topic_partition_replicas"),
    "in sync": exported("kafka_topic_partition_in_sync_replica"),
    "under-replicated": exported("kafka_topic_partition_under_replicated_partition"),
    "at minimum ISR": exported("kafka_cluster_partition_atminisr"),
    "under minimum ISR": exported("kafka_cluster_partition_underminisr"),
    "not on preferred node": f"sum(kafka_topic_partition_leader_is_preferred{{{EXPORTED}}} < bool 1)",
    "messages in": f"sum(rate(kafka_topic_partition_current_offset{{{EXPORTED}}}[5m])) by (topic)",
    "messages consumed": f"sum(delta(kafka_consumergroup_current_offset{{{GROUPS}}}[5m])/300) by (consumergroup, topic)",
    "lag": exported("kafka_consumergroup_lag", "consumergroup, topic", GROUPS),
    "group offsets": exported("kafka_consumergroup_current_offset", "consumergroup,partition,topic", GROUPS),
    "group lag": exported("kafka_consumergroup_lag", "consumergroup,partition,topic", GROUPS),
    "partitions by topic": exported("kafka_topic_partitions", "topic"),
    "latest offsets": exported("kafka_topic_partition_current_offset", "partition,topic"),
    "oldest offsets": exported("kafka_topic_partition_oldest_offset", "partition,topic"),
    "choice of clusters": f"kafka_broker_info{{{CLUSTER}}}",
}

# What others, such as autoscalers, take from kafka_exporter.
OTHERS = {
    "brokers": "kafka_brokers",
    "leader": "kafka_topic_partition_leader",
    "lag of a topic": "sum(kafka_consumergroup_lag_sum) by (consumergroup, topic)",
    "offsets of a topic": "sum(kafka_consumergroup_current_offset_sum) by (consumergroup, topic)",
    "members": "kafka_consumergroup_members",
}

# The alerts on a healthy broker are silent, and would not be for want of data: metric and condition.
ALERTS = {
    "UnderReplicatedPartitions": ("kafka_server_replicamanager_underreplicatedpartitions", "> 0"),
    "AbnormalControllerState": ("sum(kafka_controller_kafkacontroller_activecontrollercount)", "!= 1"),
    "OfflinePartitions": ("sum(kafka_controller_kafkacontroller_offlinepartitionscount)", "> 0"),
    "UnderMinIsrPartitionCount": ("kafka_server_replicamanager_underminisrpartitioncount", "> 0"),
    "OfflineLogDirectoryCount": ("kafka_log_logmanager_offlinelogdirectorycount", "> 0"),
    "UnderReplicatedPartition": ("kafka_topic_partition_under_replicated_partition", "> 0"),
}
