"""Alarms on metric math, for the local CloudWatch.

MiniStack stores the name and state of such an alarm but loses its metrics, refuses
it in a template, and evaluates no expression. After `install()` it stores and
describes these alarms, creates them and composite alarms from templates, and
evaluates them once a second as CloudWatch does:

- over whole periods, for metrics with exactly the given dimensions;
- a point is missing if any of its inputs is missing, or if the expression divides
  by zero;
- `DatapointsToAlarm` of `EvaluationPeriods` points, with `TreatMissingData`.

Alarms on a single metric are left to MiniStack. Each change of an alarm's state, of any
alarm, is put on the default event bus, which MiniStack does not do.

Expressions: numbers, ids, + - * / ^, comparisons, AND, OR, &&, ||, IF(c, a[, b]),
FILL(m, n), MIN, MAX, SUM, AVG of a list, ABS, CEIL and FLOOR. Alarms with any
other expression are refused.
"""

import ast
import asyncio
import json
import logging
import math
import re
import time

from ministack.core import responses
from ministack.services import cloudwatch, eventbridge
from ministack.services.cloudformation import provisioners

logger = logging.getLogger("metric-math")

FUNCTIONS = {"IF", "FILL", "MIN", "MAX", "SUM", "AVG", "ABS", "CEIL", "FLOOR"}
# The members of an alarm on one metric that an alarm on several does not have.
SINGLE = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Dimensions", "Unit")


class Unsupported(ValueError):
    """An expression that this file does not evaluate."""


def parse(expression):
    """The expression as a Python syntax tree of the nodes that `Evaluation` knows."""
    text = expression.replace("&&", " and ").replace("||", " or ").replace("^", "**")
    text = re.sub(r"\b(AND|OR)\b", lambda word: word.group().lower(), text)
    # IF is a keyword of Python in lower case only.
    text = re.sub(r"\b([A-Za-z]+)\s*\(", lambda call: call.group(1).upper() + "(", text)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise Unsupported(f"{expression!r}: {error.msg}") from error
    allowed = (ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Name, ast.Constant, ast.List)
    leaves = (ast.operator, ast.boolop, ast.unaryop, ast.cmpop, ast.expr_context)
    for node in ast.walk(tree):
        if not isinstance(node, allowed + leaves):
            raise Unsupported(f"{expression!r}: {type(node).__name__} is not supported")
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) not in FUNCTIONS:
            raise Unsupported(f"{expression!r}: {ast.unparse(node.func)} is not supported")
    return tree


class Evaluation:
    """The values of an alarm's lines at one time; None is a missing point."""

    def __init__(self, lines, at):
        self.lines, self.at = lines, at

    def line(self, name):
        """A line's value at the time; `lines` holds points by time, or a syntax tree."""
        line = self.lines[name]
        return line.get(self.at) if isinstance(line, dict) else self.value(line)

    def value(self, node):
        if isinstance(node, ast.Constant):
            return float(node.value)
        if isinstance(node, ast.Name):
            return self.line(node.id)
        if isinstance(node, ast.UnaryOp):
            value = self.value(node.operand)
            return None if value is None else -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp):
            return self.arithmetic(node)
        if isinstance(node, ast.Compare):
            return self.comparison(node)
        if isinstance(node, ast.BoolOp):
            values = [self.value(one) for one in node.values]
            if None in values:
                return None
            return float(all(values) if isinstance(node.op, ast.And) else any(values))
        return self.call(node)

    def arithmetic(self, node):
        left, right = self.value(node.left), self.value(node.right)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Div):
            return None if right == 0 else left / right
        operations = {
            ast.Add: lambda: left + right,
            ast.Sub: lambda: left - right,
            ast.Mult: lambda: left * right,
            ast.Pow: lambda: left**right,
        }
        return operations[type(node.op)]()

    def comparison(self, node):
        left, right = self.value(node.left), self.value(node.comparators[0])
        if left is None or right is None:
            return None
        operations = {
            ast.Gt: left > right,
            ast.GtE: left >= right,
            ast.Lt: left < right,
            ast.LtE: left <= right,
            ast.Eq: left == right,
            ast.NotEq: left != right,
        }
        return float(operations[type(node.ops[0])])

    def call(self, node):
        name, arguments = node.func.id, node.args
        if name == "IF":
            condition = self.value(arguments[0])
            if condition is None:
                return None
            if condition:
                return self.value(arguments[1])
            return self.value(arguments[2]) if len(arguments) > 2 else None
        if name == "FILL":
            value = self.value(arguments[0])
            return self.value(arguments[1]) if value is None else value
        listed = arguments[0].elts if isinstance(arguments[0], ast.List) else arguments
        values = [self.value(one) for one in listed]
        if None in values:
            return None
        return {
            "MIN": min,
            "MAX": max,
            "SUM": sum,
            "AVG": lambda those: sum(those) / len(those),
            "ABS": lambda those: abs(those[0]),
            "CEIL": lambda those: float(math.ceil(those[0])),
            "FLOOR": lambda those: float(math.floor(those[0])),
        }[name](values)


def period_of(queries):
    periods = [query["MetricStat"]["Period"] for query in queries if query.get("MetricStat")]
    periods += [query["Period"] for query in queries if query.get("Period")]
    if not periods:
        raise Unsupported("an alarm needs at least one metric")
    return int(max(periods))


def series(stat, start, end):
    """A metric's points by the time at which their period begins."""
    metric, period = stat["Metric"], int(stat["Period"])
    dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(metric.get("Dimensions") or []))
    points = cloudwatch._metrics.get((metric.get("Namespace", ""), metric.get("MetricName", ""), dimensions)) or []
    buckets = {}
    for point in points:
        begin = int(point["Timestamp"] // period) * period
        if start <= begin < end:
            buckets.setdefault(begin, []).append(point)
    values = {}
    for begin, those in buckets.items():
        value = cloudwatch._stat_value(cloudwatch._calc_stats(those), stat["Stat"], those)
        if value is not None:
            values[begin] = value
    return values


def returned(queries):
    """The id of the line that the alarm compares."""
    named = [query["Id"] for query in queries if query.get("ReturnData", True)]
    if len(named) != 1:
        raise Unsupported("exactly one line of an alarm returns data")
    return named[0]


def points(queries, now, count):
    """The values of the last whole periods, the oldest first; None for a missing point."""
    period = period_of(queries)
    end = int(now // period) * period
    start = end - count * period
    lines = {}
    for query in queries:
        if query.get("MetricStat"):
            lines[query["Id"]] = series(query["MetricStat"], start, end)
        else:
            lines[query["Id"]] = parse(query["Expression"])
    name = returned(queries)
    return [Evaluation(lines, at).line(name) for at in range(start, end, period)]


def breaches(alarm, value):
    threshold = alarm["Threshold"]
    return {
        "GreaterThanOrEqualToThreshold": value >= threshold,
        "GreaterThanThreshold": value > threshold,
        "LessThanThreshold": value < threshold,
        "LessThanOrEqualToThreshold": value <= threshold,
    }[alarm["ComparisonOperator"]]


def state(alarm, values):
    """The state of an alarm with these points."""
    needed = alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"]
    present = [breaches(alarm, value) for value in values if value is not None]
    missing, treat = len(values) - len(present), alarm.get("TreatMissingData") or "missing"
    if not present and treat == "missing":
        return "INSUFFICIENT_DATA"
    if not present and treat == "ignore":
        return alarm["StateValue"]
    breaching = sum(present) + (missing if treat == "breaching" else 0)
    return "ALARM" if breaching >= needed else "OK"


def evaluate(alarm, now):
    values = points(alarm["Metrics"], now, alarm["EvaluationPeriods"])
    new, old = state(alarm, values), alarm["StateValue"]
    if new == old:
        return
    recent = [value for value in values if value is not None]
    shown = ", ".join(f"{value:g}" for value in recent) or "no data"
    alarm["StateValue"] = new
    alarm["StateReason"] = f"Threshold Crossed: {shown} against {alarm['ComparisonOperator']} {alarm['Threshold']:g}"
    alarm["StateReasonData"] = json.dumps({"version": "1.0", "recentDatapoints": recent})
    alarm["StateUpdatedTimestamp"] = int(now)
    cloudwatch._record_history(alarm["AlarmName"], old, new, alarm["StateReason"])
    cloudwatch._dispatch_alarm_actions(alarm, old, new, alarm["StateReason"])
    cloudwatch._evaluate_parent_alarms(alarm)


def evaluate_all(now):
    """Every alarm on metric math, of every account and region."""
    for (account, region, _), alarm in list(cloudwatch._alarms._data.items()):
        if alarm.get("Metrics"):
            responses.set_request_account_id(account)
            responses.set_request_region(region)
            try:
                evaluate(alarm, now)
            except Exception:
                logger.exception("failed to evaluate alarm %s", alarm["AlarmName"])


async def run():
    """Evaluates until it is cancelled."""
    while True:
        await asyncio.sleep(1)
        evaluate_all(time.time())


def with_metrics(alarm, queries):
    """The description of the alarm: with its metrics, without the members of an alarm on a single metric."""
    kept = {key: value for key, value in alarm.items() if key not in SINGLE}
    kept["Metrics"] = [
        {**query, "ReturnData": query.get("ReturnData", True) in (True, "true")} for query in plain(queries)
    ]
    points(kept["Metrics"], time.time(), 1)
    return kept


def plain(value):
    """A number of a template, which may be given as text."""
    if isinstance(value, dict):
        return {
            key: int(member) if key == "Period" else plain(member) for key, member in value.items() if member is not None
        }
    return [plain(member) for member in value] if isinstance(value, list) else value


def put_metric_alarm(original):
    def put(params, data, is_cbor, is_json=False):
        queries = data.get("Metrics")
        if not queries:
            return original(params, data, is_cbor, is_json)
        try:
            with_metrics({}, queries)
        except (Unsupported, KeyError, TypeError) as error:
            return cloudwatch._error("ValidationError", str(error), 400, use_json=is_json, use_cbor=is_cbor)
        answer = original(params, data, is_cbor, is_json)
        name = data.get("AlarmName", "")
        if answer[0] == 200 and name in cloudwatch._alarms:
            cloudwatch._alarms[name] = with_metrics(cloudwatch._alarms[name], queries)
        return answer

    return put


def alarm_record(original):
    def record(name, props):
        queries = props.get("Metrics")
        if not queries:
            return original(name, props)
        one = {key: value for key, value in props.items() if key != "Metrics"}
        return with_metrics(original(name, {**one, "MetricName": "-", "Namespace": "-"}), queries)

    return record


def composite_put(name, props):
    data = {key: value for key, value in props.items() if key != "AlarmName"}
    data["ActionsEnabled"] = str(props.get("ActionsEnabled", True)).lower() not in ("false", "0", "no")
    status, _, body = cloudwatch._put_composite_alarm({}, {**data, "AlarmName": name}, False, True)
    if status != 200:
        raise ValueError(json.loads(body).get("message", "the composite alarm is refused"))
    arn = cloudwatch._composite_alarms[name]["AlarmArn"]
    cloudwatch._resource_tags[arn] = {tag["Key"]: tag.get("Value", "") for tag in props.get("Tags") or []}
    return name, {"Arn": arn}


def composite_create(logical_id, props, stack_name):
    return composite_put(props.get("AlarmName") or f"{stack_name}-{logical_id}", props)


def composite_update(physical_id, _old, props, _stack_name):
    return composite_put(props.get("AlarmName") or physical_id, props)


def composite_delete(physical_id, _props):
    alarm = cloudwatch._composite_alarms.get(physical_id)
    if alarm is not None:
        cloudwatch._resource_tags.pop(alarm["AlarmArn"], None)
        del cloudwatch._composite_alarms[physical_id]


def state_change(name, alarm, old, new, reason, at):
    """The event `CloudWatch Alarm State Change`, as an entry of PutEvents."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03d}+0000"
    detail = {
        "alarmName": name,
        "state": {"value": new, "reason": reason, "timestamp": stamp},
        "previousState": {"value": old},
        "configuration": {"description": alarm.get("AlarmDescription", "")},
    }
    return {
        "Source": "aws.cloudwatch",
        "DetailType": "CloudWatch Alarm State Change",
        "Resources": [alarm.get("AlarmArn", "")],
        "Detail": json.dumps(detail),
    }


def record_history(original):
    def record(name, old, new, reason, *more, **named):
        original(name, old, new, reason, *more, **named)
        alarm = cloudwatch._alarms.get(name) or cloudwatch._composite_alarms.get(name)
        if alarm is not None and old != new:
            entry = state_change(name, alarm, old, new, reason, time.time())
            eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)

    return record


def install():
    """Installs this in the MiniStack of this process."""
    cloudwatch._record_history = record_history(cloudwatch._record_history)
    cloudwatch._put_metric_alarm = put_metric_alarm(cloudwatch._put_metric_alarm)
    provisioners._cw_metric_alarm_record = alarm_record(provisioners._cw_metric_alarm_record)
    provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::CompositeAlarm"] = {
        "create": composite_create,
        "update": composite_update,
        "delete": composite_delete,
    }
