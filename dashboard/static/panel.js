// What all panels share: heading, age, the waiting text, the stale mark, a canvas of the right size.

import { duration, make, write } from "./text.js";

export class Panel {
  constructor(view, page) {
    this.view = view;
    this.page = page;
    this.dirty = true;
    this.title = make("h2", "", ...titled(view.title));
    this.sub = make("span", "sub");
    this.age = make("span", "age");
    this.body = make("div", "body");
    this.waiting = make("div", "waiting", `Waiting for ${view.waits_for}.`);
    this.root = make("section", `panel ${view.kind}`, make("div", "head", this.title, this.sub, this.age), this.body, this.waiting);
    this.root.dataset.key = view.key;
    this.root.dataset.state = "waiting";
    this.root.setAttribute("aria-label", view.title);
    if (view.weight > 0) this.root.style.flexGrow = view.weight;
    else this.root.classList.add("content");
    new ResizeObserver(() => { this.dirty = true; this.sized = (this.sized ?? 0) + 1; page.request(); }).observe(this.body);
  }

  get store() { return this.page.store; }
  get value() { return this.store.get(this.view.channel); }

  reads(channel) {
    const match = (name) => channel === name || (name.endsWith("/") && channel.startsWith(name));
    return match(this.view.channel) || this.view.reads.some(match);
  }

  /** Seconds since what is shown was published; undefined before anything came. */
  ageNow() {
    const value = this.value;
    return value ? this.store.now() - value.time_s : undefined;
  }

  /** Whether what is shown is older than it should be by now. */
  isStale(age) {
    if (!this.page.isOnline || this.page.silence(this.value?.source) > 0) return true;
    const when = this.view.stale_when;
    return when !== "never" && age > this.view.stale_s && (when === "always" || this.page.sweepRuns());
  }

  tick() {
    const age = this.ageNow();
    if (age === undefined) {
      if (this.root.dataset.state !== "waiting") write(this.sub, "");
      this.show("waiting");
      write(this.age, "");
      const why = this.store.header(this.view.channel).why;
      write(this.waiting, why ? `Not here: ${why}.` : this.store.get("replay") ? "Not kept with the stored maps." : `Waiting for ${this.view.waits_for}.`);
      return;
    }
    const stale = this.isStale(age);
    this.show(stale ? "stale" : "fresh");
    const silent = this.page.silence(this.value?.source) > 0 ? `${this.value.source} silent · ` : "STALE · ";
    const text = `${stale ? silent : ""}${age < 1.5 ? "now" : `${duration(age)} ago`}`;
    write(this.age, text);
  }

  show(state) { if (this.root.dataset.state !== state) this.root.dataset.state = state; }

  beat() { this.tick(); }
  paint() {}
}

/** σ_ZZ in a title becomes a subscript. */
function titled(text) {
  return text.split(/(_[A-Za-z]+)/).map((part) => (part.startsWith("_") ? make("sub", "", part.slice(1)) : part));
}

/** How much larger than its style says the page is drawn: more than 1 on large screens. */
export function zoom() { return document.body.currentCSSZoom ?? 1; }

/** A canvas that follows the size of its holder; returns its context in CSS pixels, cleared, or null where it has no size. */
export function fit(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas.parentElement;
  const scale = (window.devicePixelRatio || 1) * zoom();
  if (width < 8 || height < 8) return null;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height, scale };
}
