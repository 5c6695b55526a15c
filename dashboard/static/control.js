// What a person with the token may ask of the session: pause, resume, stop, abort, veto, pin, marker. Nothing else.

import { fixed, kelvin, make, write } from "./text.js";

const $ = (id) => document.getElementById(id);
const SAID_MS = 9000;
const QUESTIONS = {
  stop: { text: "Stop the plan? It ends in order and counts as done: microwave and laser go off, field and temperature hold.", yes: "Yes, stop", firm: true },
  abort: { text: "Abort the plan? It ends now and counts as aborted: microwave and laser go off, field and temperature hold.", yes: "Yes, abort", firm: true },
  marker: { text: "Marker, kept with the run:", yes: "Add marker", field: "text" },
  pin: { text: "Go next to", yes: "Pin", field: "kelvin" },
  veto: { text: "Do not go to", yes: "Veto", field: "kelvin" },
  name: { text: "Who are you? Your name is kept with all you ask for.", yes: "Go on", field: "none" },
};

/** Take the token out of the address, where it must not stay, and keep it for this tab. */
function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", `${location.pathname}${location.search}`);
  }
  return sessionStorage.getItem("token") ?? "";
}

export class Control {
  constructor(page) {
    this.page = page;
    this.token = page.description.control ? takeToken() : "";
    this.asking = null;
    this.pause = this.button("Pause at checkpoint", "pause", () => this.pauseOrResume());
    this.buttons = make("div", "actions", this.pause, this.button("Marker…", "marker"), this.button("Stop…", "stop"), this.button("Abort…", "abort"));
    $("control").append(this.buttons);
    $("ask").addEventListener("submit", (event) => { event.preventDefault(); this.confirm(); });
    $("ask-no").addEventListener("click", () => this.close());
    $("ask").addEventListener("keydown", (event) => { if (event.key === "Escape") this.close(); });
    this.show();
  }

  button(text, action, pressed = () => this.open(action)) {
    const button = make("button", action, text);
    button.type = "button";
    button.dataset.action = action;
    button.addEventListener("click", pressed);
    return button;
  }

  /** Whether this page may ask for anything now: never in a replay. */
  get may() { return Boolean(this.token) && !this.page.store.get("replay"); }

  get state() { return this.page.store.header("control"); }

  show() {
    const { state = "", held_by: by, held } = this.state;
    $("view-only").hidden = this.may;
    if (this.buttons.hidden === this.may) this.buttons.hidden = !this.may;
    write(this.pause, state === "paused" ? "Resume" : by ? "Pause now" : "Pause at checkpoint");
    this.pause.classList.toggle("resume", state === "paused");
    this.pause.title = state === "paused" && !held ? "paused at the session's terminal" : "";
  }

  pauseOrResume() { this.need({ action: this.state.state === "paused" ? "resume" : "pause" }); }

  /** Open the bar that asks once more, or for what is missing. */
  open(action, kelvins) {
    const question = QUESTIONS[action];
    this.asking = { action };
    write($("ask-text"), question.text);
    write($("ask-yes"), question.yes);
    $("ask").dataset.action = action;
    $("ask-note").hidden = question.field !== "text";
    $("ask-kelvin-part").hidden = question.field !== "kelvin";
    $("ask-who-part").hidden = Boolean(this.who) && action !== "name";
    $("ask-note").value = "";
    $("ask-who").value = this.who;
    const { ladder = {} } = this.state;
    if (question.field === "kelvin") {
      [$("ask-kelvin").min, $("ask-kelvin").max] = [ladder.here_k ?? 0, ladder.top_k ?? 400];
      $("ask-kelvin").value = Number.isFinite(kelvins) ? fixed(kelvins, 1).replace(/\.0$/, "") : "";
      write($("ask-limits"), Number.isFinite(ladder.here_k) ? `above ${kelvin(ladder.here_k)}, up to ${kelvin(ladder.top_k)}` : "");
    }
    $("ask").hidden = false;
    const first = [$("ask-who"), $("ask-note"), $("ask-kelvin")].find((input) => input.checkVisibility());
    (first ?? $("ask-no")).focus();
  }

  close() {
    $("ask").hidden = true;
    this.asking = null;
  }

  confirm() {
    if (!this.asking) return;
    const { action, then } = this.asking;
    if (!$("ask-who-part").hidden) localStorage.setItem("who", $("ask-who").value.trim());
    // Halting is never gated: nobody needs a name to stop.
    if (!this.who && !QUESTIONS[action].firm) return $("ask-who").focus();
    const request = then ?? { action };
    if (QUESTIONS[action].firm) request.confirmed = true;
    if (!$("ask-note").hidden) request.text = $("ask-note").value;
    if (!$("ask-kelvin-part").hidden) request.temperature_k = Number($("ask-kelvin").value);
    this.close();
    this.send(request);
  }

  get who() { return localStorage.getItem("who") ?? ""; }

  /** Ask for the name where it is not known; a pause goes out without one. */
  need(request) {
    if (this.who || request.action === "pause") return this.send(request);
    this.open("name");
    this.asking.then = request;
  }

  async send(request) {
    const { accepted, said } = await this.page.link.command({ ...request, who: this.who || "somebody", token: this.token });
    write($("said"), `${accepted ? "" : "Refused: "}${said}`);
    $("said").dataset.accepted = accepted;
    $("said").hidden = false;
    clearTimeout(this.saidTimer);
    this.saidTimer = setTimeout(() => { $("said").hidden = true; }, SAID_MS);
  }
}
