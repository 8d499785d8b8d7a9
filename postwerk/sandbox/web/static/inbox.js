// What the pages do beyond links and forms: new mail by itself, keys, and a question before something is deleted.
"use strict";

const $ = (selector) => document.querySelector(selector);

// The list is drawn by the server; here it is only fetched anew and put in place.
function live() {
  const pulse = $("#pulse");
  let wanted = false, busy = false;

  async function redraw() {
    if (busy || document.hidden) { wanted = true; return; }
    busy = true; wanted = false;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#live");
      if (fresh) { $("#live").replaceWith(document.adoptNode(fresh)); choose(chosen); }
    } finally {
      busy = false;
      if (wanted) redraw();
    }
  }

  const events = new EventSource("/api/events");
  let first = true;
  events.addEventListener("changed", () => { if (first) first = false; else redraw(); });
  events.onopen = () => { pulse.hidden = false; pulse.className = ""; pulse.textContent = "live"; };
  // The browser comes back by itself; what was missed meanwhile is in the list then.
  events.onerror = () => { first = false; pulse.className = "off"; pulse.textContent = "not connected"; };
  document.addEventListener("visibilitychange", () => { if (!document.hidden && wanted) redraw(); });
  addEventListener("pagehide", () => events.close());
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
}

// The chosen row is remembered by its address: new mail above it moves it down.
let chosen = null;
const rows = () => [...document.querySelectorAll(".list tbody tr")];
const address = (row) => row.querySelector("a").getAttribute("href");

function choose(wanted) {
  chosen = wanted;
  for (const row of rows()) row.classList.toggle("chosen", address(row) === wanted);
}

function step(by) {
  const all = rows();
  if (!all.length) return;
  const now = all.findIndex((row) => address(row) === chosen);
  const next = all[now < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + by))];
  choose(address(next));
  next.scrollIntoView({ block: "nearest" });
}

function follow(selector) {
  const link = $(selector);
  if (link) link.click();
}

const keys = {
  "/": () => { const box = $(".search input"); if (box) { box.focus(); box.select(); } else follow("#back"); },
  j: () => ($(".list") ? step(1) : follow("#older")),
  k: () => ($(".list") ? step(-1) : follow("#newer")),
  Enter: () => { if (chosen) location.href = chosen; },
  u: () => follow("#back"),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (typing && event.key === "Escape") { typing.blur(); return; }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
});

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.question;
  if (question && !confirm(question)) event.preventDefault();
});

if ($("#live[data-live]")) live();
