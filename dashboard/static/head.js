// The bar at the top: what runs, where it stands, what comes next.

import { quantiles } from "./raster.js";
import { clock, duration, fixed, kelvin, make, write } from "./text.js";

const HISTORIES = { ZFC_FW: "zero-field cooled, field warming", FC: "field cooled", FC_REMNANT: "trapped flux", NORMAL_STATE: "normal state" };
/** Why each phase of a run is there, for who sees one for the first time. */
const PHASES = {
  reference: "Now the reference: above every Tc nothing is expelled, so each pixel shows H itself, and the stress.",
  "field-off": "Now the field goes off while the sample is still normal, so that nothing is trapped.",
  cool: "Now it is cooled without a field, so that no flux is trapped in the superconductor.",
  "field-on": "Now the field goes on at the lowest temperature: a superconductor keeps it out.",
  warming: "Now one map after the other while it warms: where s returns to 1, that pixel has passed its Tc.",
  closing: "Now the reference once more: what has drifted since the first one shows.",
  "zero-field": "Now a map without a field: what is compared with the trapped flux later.",
  "field-cool": "Now it is cooled in the field, which stays in as flux.",
  "field-cooled": "Now a map of the sample that was cooled in the field.",
  remnant: "Now without a field again: what is still there is flux that the superconductor has trapped.",
  settle: "Now to the normal state: what is measured there is stress, not superconductivity.",
  fields: "Now spectra at several fields: together they tell the stress and its shear apart from the field.",
};
const OLD_S = 3;

const $ = (id) => document.getElementById(id);

/** Keep badge, title, numbers and story true. */
export function showHead(page) {
  const { store } = page;
  const run = store.header("run");
  const plan = store.header("plan");
  const mode = store.get("run") ? run.mode ?? "UNKNOWN" : "NONE";
  write($("badge"), { NONE: "NO RUN", LIVE: "● LIVE", SIMULATED: "◇ SIMULATED", REPLAY: "↻ REPLAY" }[mode] ?? mode);
  if ($("stripe").dataset.mode !== mode) $("badge").dataset.mode = $("stripe").dataset.mode = mode;
  if (store.get("run")) {
    const finished = run.finished ? " · finished" : "";
    write($("run-title"), `${run.sample || "Run"}${plan.history ? ` · ${HISTORIES[plan.history] ?? plan.history}` : ""}${finished}`);
    const simulated = mode === "SIMULATED" ? " · simulated instruments" : mode === "REPLAY" ? run.stored ? " · stored maps, played again" : " · stored frames, played again" : "";
    write($("run-detail"), `run ${String(run.run_uid).slice(0, 8)} · started ${clock(run.started_s)} · ${run.rig || "rig"}${simulated}`);
    const title = `${mode === "LIVE" ? "" : `[${mode}] `}${run.sample || "nvdac"}`;
    if (document.title !== title) document.title = title;
  }
  number(page, "now-temperature", "device/sample_temperature", 2);
  number(page, "now-field", "device/magnet", 1);
  const stress = store.header("analysis").sigma_zz_mean_gpa;
  write($("now-stress").querySelector("b"), stress > 0 ? fixed(stress, 1) : "–");
  showPlan(plan);
  page.control.show();
  story(page, plan);
}

function number(page, id, channel, digits) {
  const value = page.store.get(channel);
  const element = $(id);
  write(element.querySelector("b"), fixed(value?.header.value, digits));
  const age = value ? page.store.now() - value.time_s : 0;
  element.classList.toggle("stale", Boolean(value) && (age > OLD_S || value.header.connected === false || !page.isOnline));
  const heard = value ? `heard ${duration(age)} ago` : "not heard of yet";
  if (element.title !== heard) element.title = heard;
}

function showPlan(plan) {
  const phases = plan.phases ?? [];
  const key = JSON.stringify(phases);
  if ($("phases").dataset.key !== key) {
    $("phases").dataset.key = key;
    $("phases").replaceChildren(...phases.map(({ label, state }) => {
      const item = make("li", "", label);
      item.dataset.state = state;
      if (state === "now") item.setAttribute("aria-current", "step");
      return item;
    }));
  }
  const [done, all] = [plan.points_done ?? 0, plan.points_planned ?? 0];
  const share = all ? Math.min(done / all, 1) : 0;
  const bar = $("progress").querySelector(".bar");
  if (bar.dataset.share !== String(share)) {
    bar.dataset.share = share;
    bar.firstElementChild.style.width = `${100 * share}%`;
    bar.setAttribute("aria-valuenow", Math.round(100 * share));
  }
  write($("points"), all ? `${done} of ${all} temperatures${phases.some(({ key }) => key === "reference") ? " (with reference)" : ""}` : "–");
  write($("left"), Number.isFinite(plan.seconds_left) && done < all ? `≈ ${duration(plan.seconds_left)} left` : "");
}

/** What the present phase is for. */
function explain(phase) {
  const why = PHASES[phase] ?? "";
  write($("phase-why"), why && ` ${why}`);
}

/** Why, from the decision's own sentence, without the step and the remarks. */
function because(reason = "") {
  const why = reason.split(/: /).slice(1).join(": ").split(/ \(|; /)[0];
  return why ? `, since ${why}` : "";
}

/** One sentence: what happens now, what comes next. */
function story(page, plan) {
  const { store } = page;
  const { key, label: phase } = (plan.phases ?? []).find((p) => p.state === "now") ?? {};
  explain(store.header("run").finished ? "" : key);
  const sweep = store.header("sweep");
  const camera = store.header("camera");
  const { next, measuring, after } = page.aim();
  const parts = [];
  const { state, held_by: by } = page.store.get("replay") ? {} : page.store.header("control");
  if (state === "paused") parts.push(make("b", "paused", by ? `Paused by ${by}` : "Paused at the session's terminal"), ". ");
  else if (by && state === "running") parts.push(make("b", "paused", `Pausing for ${by} at the next checkpoint`), ". ");
  if (page.sweepRuns() && sweep.frames_total) {
    const sent = Math.max(sweep.frames_sent ?? 0, camera.sweep === sweep.sweep ? camera.frames_sent ?? 0 : 0);
    // Decisions are of the stage; what is mapped is the sample, which is a little off it.
    const at = `${fixed(sweep.temperature_k, 1)} K`;
    parts.push("Measuring at ", make("b", "", measuring ? `stage ${fixed(next, 1)} K (sample ${at})` : `sample ${at}`), `, ${fixed(sweep.field_gauss, 0)} G: frame ${sent} of ${sweep.frames_total}`);
  } else if (store.header("run").stored) {
    parts.push("Stored maps: the sweep at ", make("b", "", kelvin(sweep.temperature_k)), `, ${fixed(sweep.field_gauss, 0)} G`);
  } else if (phase) {
    const now = store.header("device/sample_temperature").value;
    parts.push(make("b", "", phase), Number.isFinite(now) ? `: the sample is at ${kelvin(now)}` : "");
  }
  if (store.header("run").finished && !store.header("run").stored) {
    const tc = store.get("map/tc")?.arrays.value;
    const found = tc && quantiles(tc, [0.05, 0.5, 0.95]);
    parts.splice(0, parts.length, make("b", "", "Finished"), found ? `: the sample loses its diamagnetism between ${fixed(found[0], 0)} and ${fixed(found[2], 0)} K, half of it below ${fixed(found[1], 0)} K` : ": every map is stored");
  }
  const then = measuring ? after[0] : next;
  const sure = measuring ? " if nothing changes" : "";
  if (Number.isFinite(then) && !store.header("run").finished) parts.push(" · then ", make("span", "next", kelvin(then)), sure || because(store.header("decision").reason));
  const why = measuring && !store.header("run").finished ? because(store.header("decision").reason) : "";
  if (why) parts.push(make("span", "why", ` · stage ${fixed(next, 1)} K was chosen${why}`));
  const told = make("p", "", ...parts);
  if (told.innerHTML !== $("story").innerHTML) $("story").replaceChildren(...told.childNodes);
  if ($("story").title !== $("story").textContent) $("story").title = $("story").textContent;
}
