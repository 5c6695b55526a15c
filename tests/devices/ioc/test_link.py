"""The line to an instrument: time-outs, late answers, a cut line, what is not installed; each is one clear line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from devices.ioc.link import LinkError, RefusedError, ReplyError, VisaLink
from devices.ioc.replies import identity, integer, number, numbers, scpi_error
from devices.ioc.settings import LinkSettings
from tests.devices.ioc.tcp_instrument import TcpInstrument


class Counter(TcpInstrument):
    """Answers each question with its number."""

    asked = 0

    def answer(self, command):
        if not command.endswith("?"):
            return None
        self.asked += 1
        return str(self.asked)


@pytest.fixture
def counter():
    instrument = Counter()
    yield instrument
    instrument.stop()


@pytest.fixture
def link(counter):
    line = VisaLink(LinkSettings(counter.address, timeout_s=0.3))
    yield line
    line.close()


def test_asks_and_tells(counter, link):
    assert link.ask("N?") == "1"
    link.tell("RESET 3")
    assert link.ask("N?") == "2"
    assert counter.heard == ["N?", "RESET 3", "N?"]


def test_an_answer_that_comes_late_is_never_taken_for_the_next(counter, link):
    assert link.ask("N?") == "1"
    counter.late_s = 0.6
    with pytest.raises(LinkError, match=r"127\.0\.0\.1.*did not answer 'N\?'"):
        link.ask("N?")
    counter.late_s = 0.0
    assert int(link.retry(lambda: link.ask("M?"))) == counter.asked, "the answer to this question, not to the last"


def test_a_retry_asks_again_on_a_fresh_connection(counter, link):
    link.ask("N?")
    counter.replies.append(None)
    assert link.retry(lambda: link.ask("N?")) == "3"
    assert counter.connections == 2
    counter.replies.append("#9&")
    assert link.retry(lambda: number(link.ask("N?"), "count", 0, 100)) == 5
    counter.hang_up()
    assert link.retry(lambda: link.ask("N?")) == "6"


def test_a_silent_instrument_is_given_up_after_its_retries(counter, link):
    link.ask("N?")
    counter.replies.extend([None] * 3)
    with pytest.raises(LinkError, match="did not answer"):
        link.retry(lambda: link.ask("N?"))
    assert counter.asked == 4
    assert not link.connected


def test_an_instrument_that_is_away_is_one_line_and_found_again(counter, link):
    counter.stop()
    with pytest.raises(LinkError, match=r"TCPIP::127\.0\.0\.1") as caught:
        link.retry(lambda: link.ask("N?"))
    assert "\n" not in str(caught.value)
    counter.start()
    assert link.retry(lambda: link.ask("N?")) == "1"


@pytest.mark.parametrize("text", ["", "nan", "9.9E37", "-1", "12 V", "1,2"])
def test_what_is_no_possible_number_is_refused(text):
    with pytest.raises(ReplyError, match="pressure, bar"):
        number(text, "pressure, bar", 0, 300)


def test_numbers_of_a_list_and_whole_numbers():
    assert numbers("+1.5E-3, 2", "x", 2) == [1.5e-3, 2.0]
    with pytest.raises(ReplyError, match="3 parts, not 2"):
        numbers("1,2,3", "x", 2)
    with pytest.raises(ReplyError, match="not a whole number"):
        integer("0.5", "x", 0, 1)


def test_another_instrument_at_the_address_is_named(counter, link):
    counter.replies.append("ACME,TOASTER,1,1")
    with pytest.raises(RefusedError, match=r"ACME,TOASTER.*is no Kepco"):
        identity(link, "Kepco")
    counter.replies.append('-222,"Data out of range"')
    assert scpi_error(link) == "Data out of range"
    counter.replies.append(':SYST:ERR 0,"No error"')
    assert scpi_error(link, ":SYST:ERR?") == ""


def test_a_missing_pyvisa_is_one_line_that_says_what_to_install():
    program = (
        "import sys; sys.modules['pyvisa'] = None\n"
        "from devices.ioc.link import VisaLink\n"
        "from devices.ioc.settings import LinkSettings\n"
        "try: VisaLink(LinkSettings('TCPIP::127.0.0.1::1::SOCKET')).ask('*IDN?')\n"
        "except RuntimeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ".venv/bin/pip install -c constraints.txt -e '.[instruments]'" in done.stdout
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("wrong", [{"address": " "}, {"timeout_s": 0.0}, {"retries": -1}])
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LinkSettings(**{"address": "GPIB0::1::INSTR", **wrong})
