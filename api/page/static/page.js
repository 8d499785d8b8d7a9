// Makes the page live: parts are replaced as they change. Without it the page can be read and used all the same.
"use strict";

let paused = false;

// Part by part: the server says which elements have changed, by their ids.

function patch(id, html) {
  const old = document.getElementById(id);
  if (paused || !old || old.contains(document.activeElement?.closest("[data-keep]"))) return;
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const fresh = holder.content.firstElementChild;
  localise(fresh);
  morph(old, fresh);
  countTicks();
}

// Changes what differs and leaves everything else as it is: focus, selection, scroll and open details stay.
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) {
    old.replaceWith(fresh);
  } else if (old.nodeType === Node.ELEMENT_NODE) {
    morphAttributes(old, fresh);
    morphChildren(old, fresh);
  } else if (old.nodeValue !== fresh.nodeValue) {
    old.nodeValue = fresh.nodeValue;
  }
}

function morphAttributes(old, fresh) {
  const own = old.nodeName === "DETAILS" ? ["open"] : ["value", "checked"];
  for (const { name } of [...old.attributes])
    if (!fresh.hasAttribute(name) && !own.includes(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes)
    if (old.getAttribute(name) !== value && !own.includes(name)) old.setAttribute(name, value);
  // A button's or hidden field's value is the server's; what somebody types or ticks is his.
  if (["hidden", "submit"].includes(fresh.type) && old.value !== fresh.value) old.value = fresh.value;
}

function morphChildren(old, fresh) {
  const byId = new Map([...old.children].filter((one) => one.id).map((one) => [one.id, one]));
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const same = (next.id && byId.get(next.id)) || at;
    if (next.id && byId.has(next.id) && same !== at) old.insertBefore(same, at);
    else if (!same || (next.id && !byId.has(next.id)) || (same.id && same.id !== next.id)) {
      old.insertBefore(next, at);
      continue;
    } else at = at.nextSibling;
    morph(same, next);
  }
  while (at) {
    const after = at.nextSibling;
    at.remove();
    at = after;
  }
}

// Times are said in UTC; beside them stands the reader's own time, where that is another.

function localise(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime()) || !at.getTimezoneOffset()) continue;
    time.title = `${at.toLocaleString()} here`;
    if (!time.hasAttribute("data-local")) continue;
    const local = document.createElement("span");
    local.className = "local";
    local.textContent = ` (${at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })} here)`;
    time.append(local);
  }
}

// The stream: only while somebody looks.

function follow(address) {
  const sign = document.getElementById("live");
  let source = null;
  const say = (words) => { if (sign) sign.textContent = words; };
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(address);
    source.onopen = () => say("live");
    source.onmessage = (message) => {
      for (const [id, html] of Object.entries(JSON.parse(message.data))) patch(id, html);
    };
    source.onerror = () => {
      if (source?.readyState !== EventSource.CLOSED) return say("connecting again …");
      source = null; // the answer was none: a session that has ended, or a server that starts
      say("not live; load the page again");
      setTimeout(open, 10000);
    };
  };
  const close = () => { source?.close(); source = null; };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", open);
  open();
}

// Keys: / searches; p and r press the button of the row or card that has the focus.

function pressed(event) {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const scope = document.activeElement?.closest("[data-keys]") ?? document.querySelector("main > [data-keys]");
  const wanted = event.key === "/" ? document.querySelector("main input[type=search], .find input")
    : scope?.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!wanted) return;
  event.preventDefault();
  if (event.key === "/") wanted.focus();
  else wanted.click();
}

// Pause: nothing changes while somebody reads.

function pause(event) {
  const button = event.target.closest?.("button[data-pause]");
  if (!button) return;
  paused = !paused;
  button.textContent = paused ? "Go on" : "Pause";
  button.setAttribute("aria-pressed", String(paused));
}

// Ticks: they stay while rows come and go around them; how many there are is said beside the buttons.

function ticksOf(form) {
  return [...form.querySelectorAll("input[name=tick]")];
}

function countTicks() {
  for (const form of document.querySelectorAll("form[data-ticks]")) {
    const boxes = ticksOf(form);
    const ticked = boxes.filter((one) => one.checked).length;
    const everything = form.elements.everything?.checked;
    form.querySelector("[data-ticked]").textContent = everything || !ticked ? "" : `${ticked} ticked`;
    const all = form.querySelector("[data-tick-all]");
    all.checked = ticked > 0 && ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
  }
}

function tickAll(event) {
  const form = event.target.closest?.("form[data-ticks]");
  if (!form) return;
  if (event.target.matches("[data-tick-all]"))
    for (const box of ticksOf(form)) box.checked = event.target.checked;
  countTicks();
}

// Buttons: copy what stands in an element.

async function copy(event) {
  const button = event.target.closest?.("button[data-copy]");
  if (!button) return;
  const words = button.textContent;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "copied";
  setTimeout(() => { button.textContent = words; }, 1500);
}

// A form that takes its time says so, and is not sent twice by two clicks. The server would take it once anyway.

function sent(event) {
  const form = event.target.closest("form[data-once]");
  if (!form || event.defaultPrevented) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  const button = event.submitter ?? form.querySelector("button:not([type=button])");
  if (!button) return;
  const words = button.textContent;
  button.textContent = form.dataset.once;
  window.addEventListener("pageshow", () => { delete form.dataset.sent; button.textContent = words; }, { once: true });
}

// Where nobody has said a time zone, it is that of the browser.

function proposeZone() {
  const field = document.querySelector("input[data-zone]");
  const times = document.querySelectorAll("input[type=datetime-local], input[type=time]");
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const isKnown = here && document.querySelector(`#zones option[value="${CSS.escape(here)}"]`);
  if (field?.value === "UTC" && isKnown && ![...times].some((one) => one.value)) field.value = here;
}

document.addEventListener("submit", sent);
proposeZone();
document.documentElement.classList.add("scripted");
localise(document);
countTicks();
document.addEventListener("change", tickAll);
document.addEventListener("keydown", pressed);
document.addEventListener("click", copy);
document.addEventListener("click", pause);
const live = document.querySelector("[data-live]");
if (live) follow(live.dataset.live);
