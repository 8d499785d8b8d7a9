// Makes the page live: parts are replaced as they change. Without it the page can be read and used all the same.
"use strict";

// Part by part: the server says which elements have changed, by their ids.

function patch(id, html) {
  const old = document.getElementById(id);
  if (!old || old.contains(document.activeElement?.closest("[data-keep]"))) return;
  const holder = document.createElement("template");
  holder.innerHTML = html;
  const fresh = holder.content.firstElementChild;
  localise(fresh);
  morph(old, fresh);
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

// Buttons: copy what stands in an element.

async function copy(event) {
  const button = event.target.closest?.("button[data-copy]");
  if (!button) return;
  const words = button.textContent;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "copied";
  setTimeout(() => { button.textContent = words; }, 1500);
}

localise(document);
document.addEventListener("keydown", pressed);
document.addEventListener("click", copy);
const live = document.querySelector("[data-live]");
if (live) follow(live.dataset.live);
