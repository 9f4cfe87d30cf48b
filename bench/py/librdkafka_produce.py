"""Messages a second that librdkafka (confluent-kafka) writes, acks=all, idempotent, its own batching. usage: librdkafka_produce.py <brokers> <topic> <count> <size>"""
import json
import sys
import time

from confluent_kafka import Producer

brokers, topic, count, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
producer = Producer({"bootstrap.servers": brokers, "acks": "all", "enable.idempotence": True, "linger.ms": 5, "queue.buffering.max.messages": 1000000})
value = b"x" * size
producer.produce(topic, value)
producer.flush()
began = time.perf_counter()
for _ in range(count):
    while True:
        try:
            producer.produce(topic, value)
            break
        except BufferError:
            producer.poll(0.01)
    producer.poll(0)
producer.flush()
print(json.dumps({"perSecond": count / (time.perf_counter() - began)}))
