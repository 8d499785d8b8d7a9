// What the pages do beyond links and forms: new mail by itself, keys, and a question before something is deleted.
"use strict";

const $ = (selector) => document.querySelector(selector);

// The list is drawn by the server; here it is only fetched anew and put in place.
function live() {
  const pulse = $("#pulse");
  let wanted = false, busy = false, lost = false;

  async function redraw() {
    if (busy || document.hidden) { wanted = true; return; }
    busy = true; wanted = false;
    const start = performance.now();
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      put(new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("#live"));
    } catch (error) {
      console.info("not drawn anew:", error.message); // the stream says when the sandbox is back
    }
    // A search that takes long is not repeated all the time while a flood comes in.
    setTimeout(() => { busy = false; if (wanted) redraw(); }, 3 * (performance.now() - start));
  }

  function put(fresh) {
    if (!fresh) return;
    const focused = document.activeElement.closest("#live a")?.getAttribute("href");
    $("#live").replaceWith(document.adoptNode(fresh));
    choose(chosen);
    if (focused) [...document.querySelectorAll("#live a")].find((one) => one.getAttribute("href") === focused)?.focus();
  }

  const events = new EventSource("/api/events");
  events.addEventListener("changed", redraw); // the first one tells what came since the page was made
  // After a new start the page's counts, and the token in its forms, are of another run.
  events.onopen = () => { if (lost) location.reload(); pulse.hidden = false; pulse.className = ""; pulse.textContent = "live"; };
  events.onerror = () => { lost = true; pulse.className = "off"; pulse.textContent = "not connected"; };
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
