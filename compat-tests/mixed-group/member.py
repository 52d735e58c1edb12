"""The librdkafka member of the mixed group; mixed.py says what it must print."""
import sys
import threading

from confluent_kafka import Consumer

bootstrap, group, topic = sys.argv[1:4]
leaving = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), leaving.set()), daemon=True).start()
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "group.protocol": "consumer", "client.id": "librdkafka",
                     "auto.offset.reset": "earliest", "enable.auto.commit": False})
consumer.subscribe([topic])
said = None
while not leaving.is_set():
    records = consumer.consume(100, 0.1)
    for record in records:
        if record.error():
            print("failed", record.error(), flush=True)
            sys.exit(1)
        print("read", record.partition(), record.offset(), flush=True)
    if records:
        consumer.commit(asynchronous=False)
    owned = sorted(place.partition for place in consumer.assignment())
    if owned != said:
        print("owns", *owned, flush=True)
        said = owned
consumer.close()
