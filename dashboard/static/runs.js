// The list of stored runs, and the bar that steers a replay.

import { Panel } from "./panel.js";
import { clock, fixed, kelvin, make, write } from "./text.js";

const SPEEDS = [1, 10, 60, 600, 3600];

export class RunsPanel extends Panel {
  paint() {
    const header = this.value?.header;
    if (!header) return;
    const runs = header.runs ?? [];
    const playing = this.store.header("replay").run_uid;
    const from = header.tiled ? (header.tiled_answers ? "listed by Tiled and the data folder" : `data folder only: ${header.tiled_said}`) : "listed from the data folder";
    write(this.sub, `${runs.length} ${runs.length === 1 ? "run" : "runs"} · ${from}`);
    const key = JSON.stringify([runs, playing]);
    if (key === this.key) return;
    this.key = key;
    const names = ["started", "run", "sample", "plan", "temperatures", "mean σ_ZZ", "ended", "kept in", ""];
    const rows = [...runs].sort((a, b) => b.started_s - a.started_s).map((run) => {
      const button = make("button", "", run.run_uid === playing ? "playing" : "▶ replay");
      button.type = "button";
      button.disabled = !run.temperatures;
      button.title = run.temperatures ? "play its stored maps in this page" : "its maps are not on this machine";
      button.addEventListener("click", () => this.page.play(run.run_uid));
      const span = run.temperatures ? `${run.temperatures} from ${kelvin(run.low_k)} to ${kelvin(run.high_k)}` : "no maps here";
      const when = new Date(run.started_s * 1000).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
      const ended = run.exit_status || (run.complete ? "complete" : "not ended");
      const cells = [`${when} ${clock(run.started_s)}`, String(run.run_uid).slice(0, 8), run.sample, `${run.plan} ${run.history}`.trim(), span, Number.isFinite(run.sigma_zz_gpa) ? `${fixed(run.sigma_zz_gpa, 1)} GPa` : "–", ended, run.in_tiled ? "Tiled" : "data folder"];
      const line = make("tr", "run-row", ...cells.map((text) => make("td", "", text ?? "")), make("td", "", button));
      line.dataset.run = run.run_uid;
      return line;
    });
    this.body.replaceChildren(make("table", "", make("thead", "", make("tr", "", ...names.map((name) => make("th", "", name.replace("_ZZ", "zz"))))), make("tbody", "", ...rows)));
  }
}

/** The bar of a replay: which run, stop and go, speed, sweep, back to live. */
export class PlaybackBar {
  constructor(page) {
    this.page = page;
    this.root = document.getElementById("playback");
    this.word = make("strong");
    this.go = make("button", "", "");
    this.speed = make("select");
    this.slider = make("input");
    this.at = make("span", "at");
    const live = make("button", "live", "Back to live");
    this.slider.type = "range";
    this.slider.min = 0;
    this.slider.setAttribute("aria-label", "sweep that is shown");
    this.speed.setAttribute("aria-label", "speed of the replay");
    for (const speed of SPEEDS) this.speed.append(new Option(`${speed} ×`, speed));
    this.go.type = live.type = "button";
    this.go.addEventListener("click", () => this.steer({ speed: page.store.header("replay").speed > 0 ? 0 : Number(this.speed.value) }));
    this.speed.addEventListener("change", () => this.steer({ speed: Number(this.speed.value) }));
    this.slider.addEventListener("input", () => this.steer({ position: Number(this.slider.value) }));
    live.addEventListener("click", () => page.goLive());
    this.root.append(this.word, this.go, this.speed, this.slider, this.at, live);
  }

  steer(what) { this.page.link.say({ steer: what }); }

  show() {
    const value = this.page.store.get("replay");
    if (this.root.hidden !== !value) this.root.hidden = !value;
    if (!value) return;
    const { run_uid: uid, speed, position, sweeps, at_s: at } = value.header;
    write(this.word, `↻ REPLAY of run ${String(uid).slice(0, 8)}: stored maps`);
    write(this.go, speed > 0 ? "❚❚ hold" : "▶ go on");
    if (speed > 0 && document.activeElement !== this.speed) this.speed.value = speed;
    this.slider.max = sweeps - 1;
    if (document.activeElement !== this.slider) this.slider.value = position;
    write(this.at, `sweep ${position + 1} of ${sweeps}${Number.isFinite(at) ? `, measured at ${clock(at)}` : ""}`);
  }
}
