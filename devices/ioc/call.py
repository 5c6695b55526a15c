"""Calls a person for a critical alarm, by mail or webhook, from a thread; nothing leaves the machine by default."""

from __future__ import annotations

import json
import logging
import os
import smtplib
import ssl
import threading
import time
import urllib.request
from email.message import EmailMessage

from devices.guard_settings import CallSettings

WEBHOOK, USER, PASSWORD = "NVDAC_ALARM_WEBHOOK", "NVDAC_SMTP_USER", "NVDAC_SMTP_PASSWORD"
"""Variables of the environment that hold what no file should."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts to which nothing need be encrypted."""
TIMEOUT_S = 10.0
"""Longest wait for a server, s."""
TRIES = 3
"""How often a call is tried."""

log = logging.getLogger(__name__)


class Caller:
    """Sends alarms; what fails is logged and tried again, and never holds the guard up.

    Parameters
    ----------
    settings
        Whom to call.
    pause_s
        Time between two tries, s.
    """

    def __init__(self, settings: CallSettings, pause_s: float = 5.0) -> None:
        self._settings = settings
        self._pause = pause_s

    def call(self, rig: str, text: str) -> threading.Thread | None:
        """Call for one alarm; returns the thread that does it, None where nobody is to be called."""
        if not self._settings.webhook and not self._settings.mail_to:
            return None
        thread = threading.Thread(target=self._send, args=(rig, text), name="call", daemon=True)
        thread.start()
        return thread

    def _send(self, rig: str, text: str) -> None:
        ways = [self._post] if self._settings.webhook else []
        ways += [self._mail] if self._settings.mail_to else []
        for way in ways:
            for attempt in range(TRIES):
                try:
                    way(rig, text)
                    break
                except (OSError, smtplib.SMTPException, ValueError) as error:
                    log.error("the alarm %r could not be sent: %s", text, error)
                    time.sleep(self._pause if attempt + 1 < TRIES else 0.0)

    def _post(self, rig: str, text: str) -> None:
        address = os.environ.get(WEBHOOK, "")
        if not address.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            raise ValueError(f"set {WEBHOOK} to an https address")
        body = json.dumps({"rig": rig, "text": f"{rig}: {text}", "time_s": time.time()}).encode()
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            log.info("alarm posted: %s", text)

    def _mail(self, rig: str, text: str) -> None:
        settings, user = self._settings, os.environ.get(USER, "")
        if user and not settings.smtp_tls and settings.smtp_host not in LOOPBACK:
            raise ValueError(f"{PASSWORD} goes to {settings.smtp_host} with smtp_tls only")
        message = EmailMessage()
        message["Subject"], message["From"] = f"nvdac {rig}: {text}"[:200], settings.mail_from
        message["To"] = ", ".join(settings.mail_to)
        message.set_content(f"{text}\n\nrig {rig}, {time.strftime('%Y-%m-%d %H:%M:%S %z')}\n")
        with smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=TIMEOUT_S) as server:
            if settings.smtp_tls:
                server.starttls(context=ssl.create_default_context())
            if user:
                server.login(user, os.environ.get(PASSWORD, ""))
            server.send_message(message)
            log.info("alarm mailed: %s", text)


def missing_secrets(settings: CallSettings) -> list[str]:
    """Return the names of variables that the settings need and the environment lacks."""
    return [WEBHOOK] if settings.webhook and not os.environ.get(WEBHOOK) else []
