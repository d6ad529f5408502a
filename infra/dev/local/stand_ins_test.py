"""Tests of the stand-ins' own decisions: `python -m unittest stand_ins_test` in this folder, with .local/venv."""

import json
import pathlib
import unittest

import cloudwatch_agent
import metric_math

AGENT = pathlib.Path(__file__).parent.parent.parent / "deploy" / "cloudwatch-agent" / "agent.json"
TAGS = "mesh:shop,virtual_node:web,Mesh:shop,VirtualNode:web,TargetVirtualNode:v2,TargetVirtualService:catalog.local"


class Expressions(unittest.TestCase):
    def test_values(self):
        lines = {"errors": {0: 2.0, 10: 0.0}, "requests": {0: 10.0, 10: 4.0, 20: 8.0, 30: 0.0}}
        for expression, expected in [
            ("errors / requests", [0.2, 0.0, None, None]),
            ("IF(requests >= 5, errors / requests, 0)", [0.2, 0.0, None, 0.0]),
            ("IF(requests >= 5, errors)", [2.0, None, None, None]),
            ("FILL(errors, 0) / requests", [0.2, 0.0, 0.0, None]),
            ("100 * errors / requests > 5 AND requests > 5", [1.0, 0.0, None, None]),
            ("MAX([errors, requests]) - 1", [9.0, 3.0, None, None]),
        ]:
            tree = metric_math.parse(expression)
            values = [metric_math.Evaluation(lines, at).value(tree) for at in (0, 10, 20, 30)]
            self.assertEqual(values, expected, expression)

    def test_others_are_refused(self):
        for expression in ["SEARCH('x')", "RATE(m1)", "m1 +", "__import__('os')", "[m for m in x]"]:
            with self.assertRaises(metric_math.Unsupported, msg=expression):
                metric_math.parse(expression)


class States(unittest.TestCase):
    def test_points_needed_and_missing_data(self):
        good, bad = 0.0, 1.0
        for values, needed, treat, expected in [
            ([bad, good, bad], 2, "notBreaching", "ALARM"),
            ([bad, good, good], 2, "notBreaching", "OK"),
            ([None, None, None], 2, "notBreaching", "OK"),
            ([None, None, None], 2, "missing", "INSUFFICIENT_DATA"),
            ([None, None, bad], 1, "missing", "ALARM"),
            ([None, None, None], 2, "ignore", "BEFORE"),
            ([None, None, None], 2, "breaching", "ALARM"),
            ([None, None, bad], 2, "notBreaching", "OK"),
        ]:
            alarm = {
                "Threshold": 0.5,
                "ComparisonOperator": "GreaterThanThreshold",
                "EvaluationPeriods": 3,
                "DatapointsToAlarm": needed,
                "TreatMissingData": treat,
                "StateValue": "BEFORE",
            }
            self.assertEqual(metric_math.state(alarm, values), expected, (values, needed, treat))


class Events(unittest.TestCase):
    def test_state_change_has_the_shape_of_cloudwatch(self):
        alarm = {"AlarmArn": "arn:aws:cloudwatch:us-east-1:1:alarm:a", "AlarmDescription": "d"}
        entry = metric_math.state_change("a", alarm, "OK", "ALARM", "3 > 1", 1.25)
        self.assertEqual((entry["Source"], entry["Resources"]), ("aws.cloudwatch", [alarm["AlarmArn"]]))
        detail = json.loads(entry["Detail"])
        self.assertEqual(detail["state"]["timestamp"], "1970-01-01T00:00:01.250+0000")
        states = (detail["alarmName"], detail["previousState"]["value"], detail["state"]["value"])
        self.assertEqual(states, ("a", "OK", "ALARM"))

    def test_every_change_of_a_state_is_put_on_the_bus(self):
        put, records = [], []
        metric_math.eventbridge._put_events, before = lambda data, **_: put.extend(data["Entries"]), (
            metric_math.eventbridge._put_events
        )
        try:
            metric_math.cloudwatch._alarms["a"] = {"AlarmName": "a"}
            record = metric_math.record_history(lambda *change, **_: records.append(change))
            record("a", "OK", "ALARM", "3 > 1")
            record("a", "ALARM", "ALARM", "4 > 1")
            record("deleted", "OK", "ALARM", "3 > 1")
        finally:
            metric_math.eventbridge._put_events = before
            del metric_math.cloudwatch._alarms["a"]
        self.assertEqual(len(records), 3)
        self.assertEqual([json.loads(entry["Detail"])["alarmName"] for entry in put], ["a"])


class Agent(unittest.TestCase):
    def datums(self, *lines):
        aggregator = cloudwatch_agent.Aggregator(cloudwatch_agent.Config(json.loads(AGENT.read_text())))
        for line in lines:
            aggregator.add(line)
        return aggregator.datums(0)

    def test_a_counter_is_put_under_the_sets_of_the_configuration(self):
        line = f"envoy.cluster.upstream_rq_5xx:3|c|#{TAGS}"
        datums = self.datums(line, line)
        self.assertEqual({datum["MetricName"] for datum in datums}, {"envoy_cluster_upstream_rq_5xx"})
        self.assertEqual([datum["Value"] for datum in datums], [6.0, 6.0])
        sets = [{one["Name"]: one["Value"] for one in datum["Dimensions"]} for datum in datums]
        target = {"Mesh": "shop", "TargetVirtualNode": "v2"}
        caller = {"VirtualNode": "web", "TargetVirtualService": "catalog.local"}
        self.assertEqual(sets, [{**target, **caller}, target])

    def test_timings_keep_their_values(self):
        datum = self.datums(*(f"envoy.cluster.upstream_rq_time:{value}|h|#{TAGS}" for value in (5, 7, 5)))[0]
        self.assertEqual((datum["Values"], datum["Counts"]), ([5.0, 7.0], [2.0, 1.0]))

    def test_what_no_alarm_needs_is_dropped_and_what_is_no_line_is_ignored(self):
        self.assertEqual(self.datums("envoy.server.live:1|g|#Mesh:shop", "", "x", "x:y|c", "x:1|q"), [])

    def test_a_metric_outside_the_configuration_has_all_its_tags(self):
        datum = self.datums("envoy.other:1|g|#Mesh:shop")[0]
        dimensions = {one["Name"]: one["Value"] for one in datum["Dimensions"]}
        self.assertEqual(dimensions, {"Mesh": "shop", "metric_type": "gauge"})


if __name__ == "__main__":
    unittest.main()
