"""The views of the page, declared. To add a map: publish it as a channel and add one `View` here."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from dashboard import colour

PAGES = {
    "live": ("main", "strip", "charts", "side", "film"),
    "stress": ("maps", "shear", "cut"),
    "gallery": ("gallery",),
    "runs": ("runs",),
    "system": ("table", "log"),
}
"""Page -> its places. Live: the large map, the row beneath it, the middle and the right column, the bottom row.
Stress: the map that is cut, the two beneath it, the spectra along the cut."""
PLACES = tuple(place for places in PAGES.values() for place in places)
"""Where a view may stand."""


@dataclass(frozen=True)
class View:
    """One panel."""

    key: str
    """Name of the panel, unique."""
    kind: str
    """What draws it: `map`, `spectrum`, `inspect`, `cut`, `curves`, `decision`, `devices`, `workers`, `events`, `film`,
    `gallery`, `runs`, `processes`, `alarms`."""
    title: str
    """Heading."""
    channel: str
    """Channel it shows, such as `map/s`; one that ends in `/` stands for all channels with that beginning."""
    place: str
    """One of `PLACES`; views of one place stand in the order of their declaration."""
    waits_for: str
    """What it says before anything came."""
    unit: str = ""
    """Unit of the values; empty for a ratio."""
    colours: str = ""
    """Colour table, see `dashboard.colour`."""
    limits: tuple[float, float] | None = None
    """Colour limits; None takes the 2nd to 98th percentile of what is there."""
    missing: str = "status"
    """What a NaN of the map means: what its `status` says, or `nothing` (left empty)."""
    arrows: str = ""
    """Array of the channel with arrows over the map: (n, 4) x_px, y_px, length, degrees from +x towards +y."""
    digits: int = 3
    """Digits after the point where a value is written out."""
    low_means: str = ""
    """Words at the lower end of the colour bar."""
    high_means: str = ""
    """Words at the upper end of the colour bar."""
    stale_s: float = 5.0
    """Age from which the panel is marked stale, s."""
    stale_when: str = "sweep"
    """`sweep`: stale only while a sweep runs; `always`; `never` for what is published once."""
    reads: tuple[str, ...] = ()
    """Other channels it reads."""
    weight: float = 1.0
    """Share of the height (or width) of its place."""


VIEWS: tuple[View, ...] = (
    View(
        "s", "map", "Magnetic ratio s = B/H", "map/s", "main", "the first sweep at 97 G and its reference",
        colours="RdBu_r", limits=(0.92, 1.08), digits=4,
        low_means="field expelled", high_means="field enhanced", reads=("run", "sweep", "curve/s", "plan"),
    ),
    View(
        "sigma_zz", "map", "Stress σ_ZZ", "map/sigma_zz", "strip", "a sweep with both doublets resolved",
        unit="GPa", colours="acton", digits=2, reads=("run", "sweep", "curve/s"),
    ),
    View(
        "tc", "map", "Onset Tc", "map/tc", "strip", "a second temperature of the warming",
        unit="K", colours="ember", missing="nothing", digits=1, stale_when="never", reads=("run", "sweep", "curve/s"),
    ),
    View(
        "frame", "map", "Camera", "frame", "strip", "the first camera frame",
        unit="counts", colours="grey", digits=0, reads=("run", "camera"),
    ),
    View(
        "mean", "spectrum", "ODMR, mean over the sample", "spectrum/mean", "charts", "the first frames of a sweep",
        unit="%", reads=("sweep",), weight=0.8,
    ),
    View(
        "inspect", "inspect", "Inspected", "map/s", "charts", "a click on a map: a pixel, or drag a region",
        unit="%", stale_when="never", reads=("sweep",), weight=0.8,
    ),
    View(
        "curves", "curves", "s(T) at marked points over R(T)", "curve/s", "charts", "the first final map",
        stale_when="never", weight=1.4,
        reads=("transport", "plan", "decision", "sweep", "map/tc", "device/", "analysis", "curve/expected"),
    ),
    View(
        "decision", "decision", "Adaptive decision", "decision", "side", "the plan's first decision",
        stale_when="never", reads=("plan", "sweep", "camera", "control"), weight=1.25,
    ),
    View(
        "devices", "devices", "Devices", "device/", "side", "the device monitor",
        stale_when="always", stale_s=3.0, weight=0.0,
    ),
    View(
        "workers", "workers", "Processes", "workers", "side", "the map builder",
        stale_when="always", stale_s=3.0, reads=("camera", "sweep", "sources"), weight=0.0,
    ),
    View("events", "events", "Events and decisions", "events", "side", "the first event", stale_when="never"),
    View(
        "film", "film", "Maps so far", "film/", "film", "the first final map",
        colours="RdBu_r", limits=(0.92, 1.08), stale_when="never",
        reads=("plan", "decision", "run", "sweep"),
    ),
    View(
        "cut_s", "map", "Magnetic ratio s = B/H", "map/s", "maps", "the first sweep at 97 G and its reference",
        colours="RdBu_r", limits=(0.92, 1.08), digits=4, reads=("run", "sweep", "curve/s"),
    ),
    View(
        "cut_sigma", "map", "Normal stress σ_ZZ", "map/sigma_zz", "shear", "a sweep with both doublets resolved",
        unit="GPa", colours="acton", digits=2, reads=("run", "sweep", "curve/s"),
    ),
    View(
        "tau", "map", "Shear stress τ on the culet", "map/tau", "shear", "the joint fit of this load's stress map",
        unit="GPa", colours="lajolla", digits=2, stale_when="never", arrows="arrows", reads=("run", "curve/s"),
    ),
    View(
        "cut", "cut", "Spectra along a line", "map/s", "cut", "spectra: Shift and drag draws a line on any map",
        unit="%", stale_s=20.0, reads=("run", "curve/s"),
    ),
    View(
        "gallery", "gallery", "Maps of s over temperature and normal stress", "gallery/", "gallery",
        "the first stored map", colours="RdBu_r", limits=(0.92, 1.08), stale_when="never",
        reads=("runs", "gallery-stress/"),
    ),
    View("runs", "runs", "Stored runs", "runs", "runs", "the list of stored runs", stale_when="never",
         reads=("replay",)),
    View(
        "processes", "processes", "Processes", "sources", "table", "the web process", stale_when="always",
        reads=("workers", "camera", "sweep", "run", "device/", "events/", "runs"), weight=1.5,
    ),
    View("alarms", "alarms", "Alarms", "sources", "log", "nothing: no alarm so far", stale_when="never",
         reads=("events/", "alarms/", "device/")),
    View("all_events", "events", "All events", "events", "log", "the first event", stale_when="never"),
)  # fmt: skip

ALWAYS = ("sources", "run", "sweep", "plan", "analysis", "camera", "device/", "decision", "replay", "control")
"""Channels that the header reads, whatever panels are shown."""


def page_description() -> dict[str, object]:
    """Return what the browser needs before any data: views and colour tables, as JSON values."""
    return {
        "views": [asdict(view) for view in VIEWS],
        "pages": PAGES,
        "always": list(ALWAYS),
        "colour": colour.palette(),
    }


def view_of(channel: str) -> View | None:
    """Return the first map or film that shows a channel, None where there is none."""
    for view in VIEWS:
        shows = channel == view.channel or (view.channel.endswith("/") and channel.startswith(view.channel))
        if shows and view.kind in ("map", "film", "gallery"):
            return view
    return None
