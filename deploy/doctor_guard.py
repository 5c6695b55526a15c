"""What `nvdac doctor` says of the guard: which interlocks are only supervisory, and whether its calls can leave."""

from __future__ import annotations

from deploy.rig_file import RigFile
from devices.ioc.call import missing_secrets
from devices.ioc.permit import GUARDED

Told = tuple[str, bool, str, str]
"""Topic, whether it is as it should be, what was found, what to do."""


def guard_findings(rig: RigFile) -> list[Told]:
    """Return what there is to say of a rig's interlocks."""
    if rig.devices.guard is None:
        return [("interlocks", True, "in the plan only: no guard runs", "add [devices.guard] to have them outlive it")]
    present = [name for name in GUARDED if getattr(rig.devices, name) is not None]
    foreign = [] if rig.twin is not None else [name for name in present if name not in rig.guard.obeying]
    text = f"the guard's lease is {rig.guard.lease_s:g} s"
    if foreign:
        text += f"; supervisory only (watched, then put back) for {', '.join(foreign)}"
    mend = "serve them with nvdac's bridges and name them in [guard] obeying" if foreign else ""
    return [("interlocks", True, text, mend), _calls(rig)]


def _calls(rig: RigFile) -> Told:
    call = rig.guard.call
    ways = [*(["webhook"] if call.webhook else []), *(["mail"] if call.mail_to else [])]
    if not ways:
        return ("alarm calls", True, "nothing leaves this machine ([guard.call] is not set)", "")
    missing = missing_secrets(call)
    mend = f"set {', '.join(missing)} in the environment of `nvdac up`" if missing else ""
    return ("alarm calls", not missing, f"critical alarms go out by {' and '.join(ways)}", mend)
