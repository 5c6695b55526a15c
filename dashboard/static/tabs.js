// The pages: one tab each, in the address, so that a page can be linked and comes back after a reload.

import { make } from "./text.js";

const NAMES = { live: "Live", stress: "Stress & line cut", gallery: "Map gallery", runs: "Runs & replay", system: "System" };

export class Tabs {
  /** @param {string[]} pages names, in order; @param {Function} chosen called with the page that is shown. */
  constructor(pages, chosen) {
    this.pages = pages;
    this.chosen = chosen;
    this.buttons = pages.map((page) => {
      const button = make("button", "", NAMES[page] ?? page);
      button.type = "button";
      button.setAttribute("role", "tab");
      button.dataset.page = page;
      button.addEventListener("click", () => { location.hash = page; });
      button.addEventListener("keydown", (event) => this.move(event, page));
      return button;
    });
    document.getElementById("tabs").append(...this.buttons);
    addEventListener("hashchange", () => this.show());
  }

  get now() {
    const wanted = location.hash.slice(1);
    return this.pages.includes(wanted) ? wanted : this.pages[0];
  }

  /** Left and right go round the tabs. */
  move(event, page) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = this.pages.at((this.pages.indexOf(page) + step) % this.pages.length);
    location.hash = next;
    this.buttons[this.pages.indexOf(next)].focus();
  }

  show() {
    const now = this.now;
    for (const button of this.buttons) {
      button.setAttribute("aria-selected", button.dataset.page === now);
      button.tabIndex = button.dataset.page === now ? 0 : -1;
    }
    for (const main of document.querySelectorAll("main")) main.hidden = main.dataset.page !== now;
    this.chosen(now);
  }
}
