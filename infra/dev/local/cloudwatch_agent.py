"""Collects Envoys' DogStatsD lines and puts them into CloudWatch, as the CloudWatch agent does.

    python cloudwatch_agent.py CONFIG [--listen HOST:PORT] [--interval SECONDS]

CONFIG is the deployed configuration file of the agent,
infra/deploy/cloudwatch-agent/agent.json. Its section `metrics` is used: `namespace`, `aggregation_dimensions`,
and in `metrics_collected.statsd` the `service_address`, `metrics_aggregation_interval`,
`metric_separator` and `drop_original_metrics`. `--listen` and `--interval` replace the
address and the interval of the file. AWS_ENDPOINT_URL, region and credentials are the
SDK's variables. Prints `statsd HOST:PORT` once it listens (port 0 selects a free one),
and ends on SIGTERM and SIGINT, after it has sent the collected data.

Implemented as in the agent (plugins/inputs/statsd of amazon-cloudwatch-agent):

- Dots of a name become underscores: `envoy.cluster.upstream_rq_5xx` is the metric
  `envoy_cluster_upstream_rq_5xx`.
- Each tag becomes a dimension of the same name, and `metric_type` is another
  (`counter`, `gauge`, `timing`, `histogram`).
- A metric is sent with all its dimensions and, for each set of
  `aggregation_dimensions` that it has, with only that set.
- Counters add up over the interval, gauges keep the last value, timings and
  histograms keep all values with their counts.

Not implemented: retries, compression, and the name of the machine (the
agent's dimension `host`, which `omit_hostname` removes).
"""

import argparse
import json
import signal
import socket
import sys
import time

DEFAULT_ADDRESS = ":8125"
KINDS = {"c": "counter", "g": "gauge", "ms": "timing", "h": "histogram"}
# PutMetricData's own limits: datums in a call, different values in a datum, dimensions of a metric.
MOST_DATUMS = 1000
MOST_VALUES = 150
MOST_DIMENSIONS = 30


class Config:
    def __init__(self, document, listen=None, interval=None):
        metrics = document["metrics"]
        statsd = metrics["metrics_collected"]["statsd"]
        self.namespace = metrics.get("namespace", "CWAgent")
        self.sets = [tuple(names) for names in metrics.get("aggregation_dimensions", [])]
        host, _, port = (listen or statsd.get("service_address", DEFAULT_ADDRESS)).rpartition(":")
        # Loopback only, although the agent may bind other addresses.
        self.address = (host or "127.0.0.1", int(port))
        self.interval = statsd.get("metrics_aggregation_interval", 60) if interval is None else interval
        self.separator = statsd.get("metric_separator", "_")
        self.dropped = frozenset(statsd.get("drop_original_metrics", []))


def parse(line):
    """The name, value, kind and tags of a line; None for one that is not DogStatsD."""
    tags, segments = {}, []
    for segment in line.split("|"):
        if segment.startswith("#"):
            for tag in segment[1:].split(","):
                key, _, value = tag.partition(":")
                if key:
                    tags[key] = value or "<empty>"
        else:
            segments.append(segment)
    if len(segments) < 2 or segments[1] not in KINDS:
        return None
    name, _, value = segments[0].partition(":")
    try:
        value = float(value)
    except ValueError:
        return None
    rate = next((float(part[1:]) for part in segments[2:] if part.startswith("@")), 1.0)
    return name, value, segments[1], rate, tags


class Aggregator:
    """The data that arrived during one interval."""

    def __init__(self, config):
        self.config = config
        self.metrics = {}

    def add(self, line):
        parsed = parse(line)
        if parsed is None:
            return
        name, value, kind, rate, tags = parsed
        dimensions = {**tags, "metric_type": KINDS[kind]}
        key = (name.replace(".", self.config.separator), kind, tuple(sorted(dimensions.items())))
        if kind == "c":
            self.metrics[key] = self.metrics.get(key, 0.0) + value / rate
        elif kind == "g":
            self.metrics[key] = value
        else:
            counts = self.metrics.setdefault(key, {})
            counts[value] = counts.get(value, 0.0) + 1.0 / rate

    def dimension_sets(self, name, dimensions):
        """The sets of dimensions with which the metric is sent."""
        present = dict(dimensions)
        sets = [] if name in self.config.dropped else [dimensions[:MOST_DIMENSIONS]]
        for names in self.config.sets:
            # The set of all dimensions of the metric is already in the result.
            if len(names) < len(dimensions) and all(name in present for name in names):
                sets.append(tuple((name, present[name]) for name in names))
        return sets

    def datums(self, at):
        datums = []
        for (name, kind, dimensions), value in self.metrics.items():
            for chosen in self.dimension_sets(name, dimensions):
                datum = {
                    "MetricName": name,
                    "Dimensions": [{"Name": key, "Value": text} for key, text in chosen],
                    "Timestamp": at,
                }
                if self.config.interval < 60:
                    datum["StorageResolution"] = 1
                if isinstance(value, dict):
                    items = sorted(value.items())
                    for start in range(0, len(items), MOST_VALUES):
                        part = items[start : start + MOST_VALUES]
                        values, counts = [one for one, _ in part], [count for _, count in part]
                        datums.append({**datum, "Values": values, "Counts": counts})
                else:
                    datums.append({**datum, "Value": value})
        self.metrics = {}
        return datums


def put(client, namespace, datums):
    for start in range(0, len(datums), MOST_DATUMS):
        client.put_metric_data(Namespace=namespace, MetricData=datums[start : start + MOST_DATUMS])


def main(arguments):
    # Imported only where data is sent, so that the tests need no SDK.
    import boto3
    from botocore.config import Config as ClientConfig
    from botocore.exceptions import BotoCoreError, ClientError

    with open(arguments.config, encoding="utf-8") as file:
        config = Config(json.load(file), arguments.listen, arguments.interval)
    client = boto3.client(
        "cloudwatch", config=ClientConfig(retries={"total_max_attempts": 2}, connect_timeout=5, read_timeout=20)
    )
    stopping = False

    def stop(*_):
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)

    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.bind(config.address)
    print("statsd {}:{}".format(*sock.getsockname()), flush=True)

    aggregator = Aggregator(config)
    # An aggregation interval of 0 means every second.
    interval = max(config.interval, 1)
    due = time.time() + interval
    while not stopping:
        sock.settimeout(max(0.01, min(0.5, due - time.time())))
        try:
            for line in sock.recv(65536).decode("utf-8", "replace").split("\n"):
                if line.strip():
                    aggregator.add(line.strip())
        except TimeoutError:
            pass
        if time.time() >= due or stopping:
            due += interval
            try:
                put(client, config.namespace, aggregator.datums(time.time()))
            except (ClientError, BotoCoreError) as error:
                print(f"failed to put metric data: {error}", file=sys.stderr, flush=True)
    put(client, config.namespace, aggregator.datums(time.time()))
    sock.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Stands in for the CloudWatch agent.")
    parser.add_argument("config")
    parser.add_argument("--listen", metavar="HOST:PORT")
    parser.add_argument("--interval", metavar="SECONDS", type=float)
    main(parser.parse_args())
