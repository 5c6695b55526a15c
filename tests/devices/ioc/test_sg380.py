"""Dialogue with an SG384, against one simulated on TCP: power, output, lists, refusals."""

from __future__ import annotations

import pytest

from devices.ioc.link import LinkError, RefusedError, ReplyError, VisaLink
from devices.ioc.settings import MicrowaveBridgeSettings
from devices.ioc.sg380 import SignalGenerator
from tests.devices.ioc.sg380_simulator import SourceSimulator

LIST_MHZ = [2800.0, 2870.123456, 3456.0]


@pytest.fixture
def sg384():
    simulator = SourceSimulator()
    yield simulator
    simulator.stop()


@pytest.fixture
def source(sg384):
    settings = MicrowaveBridgeSettings(sg384.address, timeout_s=0.3, limits_dbm=(-60.0, 10.0))
    line = VisaLink(settings)
    generator = SignalGenerator(line, settings)
    generator.identify()
    yield generator
    line.close()


def test_power_and_output_are_set_and_read_back(source, sg384):
    source.set_power(-12.5)
    assert source.power_dbm() == -12.5
    source.switch(False)
    assert not source.output()
    source.switch(True)
    assert (source.output(), sg384.on) == (True, True)
    assert source.frequency_mhz() == pytest.approx(2870.0)


def test_a_list_is_stepped_by_triggers_from_its_beginning(source, sg384):
    source.load_list(LIST_MHZ)
    assert source.list_size() == 3
    sg384.trigger()
    source.switch(True)
    seen = []
    for _ in range(4):
        sg384.trigger()
        seen.append(source.frequency_mhz())
    assert seen == pytest.approx([*LIST_MHZ, LIST_MHZ[0]], abs=1e-6)
    assert sg384.power_dbm == -30.0, "a list keeps the power"


def test_a_list_replaces_the_one_before(source):
    source.load_list([2800.0 + i for i in range(130)])
    source.load_list(LIST_MHZ)
    assert source.list_size() == 3


@pytest.mark.parametrize("wrong", [[2870.0, 4051.0], [0.5], [float("nan")], []])
def test_frequencies_beyond_the_model_change_nothing(source, sg384, wrong):
    source.load_list(LIST_MHZ)
    with pytest.raises(RefusedError, match=r"outside 1 to 4050 MHz|empty"):
        source.load_list(wrong)
    assert len(sg384.states) == 3


def test_refusals_of_the_source_come_with_its_reason(source, sg384):
    with pytest.raises(RefusedError, match=r"10\.1 dBm is outside -60 to 10 dBm"):
        source.set_power(10.1)
    sg384.highest_dbm = 5.0
    with pytest.raises(RefusedError, match=r"took -30 dBm instead of 8 dBm: illegal value"):
        source.set_power(8.0)
    sg384.room = 2
    with pytest.raises(RefusedError, match="no room for 3 frequencies"):
        source.load_list(LIST_MHZ)


def test_a_line_that_is_cut_during_a_list_loads_it_again(source, sg384):
    sg384.replies.extend(["0", None])
    source.load_list(LIST_MHZ)
    assert [float(state.split(",")[0]) for state in sg384.states] == pytest.approx([1e6 * f for f in LIST_MHZ])
    assert sg384.connections == 2


def test_what_cannot_be_is_refused(source, sg384):
    sg384.replies.extend(["banana"] * 3)
    with pytest.raises(ReplyError, match="power, dBm"):
        source.power_dbm()
    sg384.stop()
    with pytest.raises(LinkError):
        source.output()
    sg384.start()
    sg384.replies.append("Agilent Technologies,E8257D,1,1")
    with pytest.raises(RefusedError, match="E8257D"):
        source.identify()
