"""What Prometheus is told."""

from __future__ import annotations

from twinlock.cli.metrics import Metric, prometheus_text


def test_a_label_can_not_end_its_own_text():
    one = Metric(name="x", help="X.", samples=(({"slot": 'a"} 1\ntwinlock_y{slot="b\\'}, 1.5),))
    assert prometheus_text([one]).splitlines()[2:] == [
        'twinlock_x{slot="a\\"} 1\\ntwinlock_y{slot=\\"b\\\\"} 1.5',
    ]


def test_what_has_no_sample_is_not_named():
    assert prometheus_text([Metric(name="x", help="X.", samples=())]) == "\n"
