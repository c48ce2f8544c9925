// What makes the console more comfortable: times in the reader's zone, figures that stay fresh, keys. Every page works
// without it. It writes text and attributes, never markup; what it fetches is our own pages.
"use strict";

(() => {
  const language = document.documentElement.lang;

  // ---- times in the reader's own zone ----

  const forms = {
    full: { dateStyle: "medium", timeStyle: "medium" },
    clock: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
    minute: { hour: "2-digit", minute: "2-digit" },
    short: { month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit" },
  };

  function localTimes(root) {
    for (const element of root.querySelectorAll("time[data-local]")) {
      const at = new Date(element.dateTime);
      const form = forms[element.dataset.local];
      if (!form || Number.isNaN(at.getTime())) continue;
      element.title = at.toISOString().replace("T", " ").slice(0, 19) + " UTC";
      element.textContent = new Intl.DateTimeFormat(language, { ...form, hour12: false }).format(at);
      delete element.dataset.local;
    }
  }

  // ---- parts that stay fresh: <div data-live="/address" data-every="5"> ----

  // A tab that is left open must not keep its session alive: without anybody there, nothing is asked any more.
  const leftAloneMillis = 20 * 60 * 1000;
  let touched = Date.now();
  for (const sign of ["pointermove", "pointerdown", "keydown", "scroll"]) {
    addEventListener(sign, () => { touched = Date.now(); }, { passive: true, capture: true });
  }

  async function refresh(part) {
    if (document.hidden || Date.now() - touched > leftAloneMillis) return;
    const answer = await fetch(part.dataset.live, { headers: { "X-Guarita-Fragment": "1" }, credentials: "same-origin" });
    // The session is over: the log-in says so better than old figures do.
    if (answer.status === 401) location.reload();
    if (answer.redirected || !answer.ok) throw new Error(String(answer.status));
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
    if (!fresh) return;
    localTimes(fresh);
    // What the reader has unfolded stays unfolded.
    const open = [...part.querySelectorAll("details")].map((details) => details.open);
    fresh.querySelectorAll("details").forEach((details, index) => { details.open = open[index] === true; });
    // So does the focus, on what stands at the same place now.
    const reachable = (within) => [...within.querySelectorAll("a[href], button, summary, [tabindex]")];
    const focused = reachable(part).indexOf(document.activeElement);
    part.replaceChildren(...fresh.childNodes);
    if (focused >= 0) reachable(part)[focused]?.focus({ preventScroll: true });
    part.removeAttribute("aria-busy");
  }

  function keepFresh(part) {
    const every = Math.max(2, Number(part.dataset.every) || 5) * 1000;
    let wait = every;
    const turn = async () => {
      try {
        await refresh(part);
        wait = every;
      } catch {
        wait = Math.min(wait * 2, 60000);
        part.setAttribute("aria-busy", "true");
      }
      setTimeout(turn, wait);
    };
    setTimeout(turn, every);
  }

  // ---- endless lists: the link to older ones fetches them in place when it comes into view ----

  async function appendOlder(link) {
    if (link.dataset.busy) return;
    link.dataset.busy = "1";
    try {
      const answer = await fetch(link.href, { credentials: "same-origin" });
      if (answer.redirected || !answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const rows = fresh.querySelector("[data-rows]");
      const here = document.querySelector("[data-rows]");
      if (!rows || !here) return;
      localTimes(rows);
      here.append(...rows.children);
      const next = fresh.querySelector("[data-older]");
      if (next) link.href = next.getAttribute("href");
      else link.parentElement.remove();
      if (here.children.length > 2000) watcher?.disconnect();
    } finally {
      delete link.dataset.busy;
    }
  }

  const watcher = "IntersectionObserver" in window
    ? new IntersectionObserver((seen) => {
        for (const entry of seen) if (entry.isIntersecting) appendOlder(entry.target);
      }, { rootMargin: "400px" })
    : null;

  // ---- keys ----

  const places = { o: "/", m: "/messages", q: "/quarantine", d: "/deliveries", r: "/rules", l: "/lists", h: "/health", a: "/audit", p: "/people" };
  let leader = 0;

  function rows() {
    return [...document.querySelectorAll("[data-rows] > *")];
  }

  function move(step) {
    const all = rows();
    if (!all.length) return false;
    const now = all.findIndex((row) => row.classList.contains("chosen"));
    const next = Math.min(all.length - 1, Math.max(0, now + step));
    if (now >= 0) all[now].classList.remove("chosen");
    all[next].classList.add("chosen");
    const link = all[next].querySelector("a[data-open]");
    (link || all[next]).focus({ preventScroll: true });
    all[next].scrollIntoView({ block: "nearest" });
    return true;
  }

  function press(selector) {
    const target = document.querySelector(selector);
    if (!target) return false;
    target.click();
    return true;
  }

  const actions = {
    "?": () => { document.getElementById("keys")?.togglePopover?.(); return true; },
    "/": () => {
      const field = document.querySelector("[data-search]");
      if (!field) { location.href = "/messages"; return true; }
      field.focus();
      field.select();
      return true;
    },
    j: () => move(1),
    k: () => move(-1),
    u: () => press("[data-up]"),
    r: () => press("[data-key=release]"),
    c: () => press("[data-key=contents]"),
    n: () => press("[data-older]"),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented) return;
    const target = event.target;
    if (target instanceof Element && target.closest("input, select, textarea, [contenteditable]")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (document.querySelector(".box:popover-open") && event.key !== "?") return;
    if (event.timeStamp - leader < 1500 && leader > 0) {
      leader = 0;
      const link = places[event.key] && document.querySelector(`.nav a[href="${places[event.key]}"]`);
      if (link) { link.click(); event.preventDefault(); return; }
    }
    if (event.key === "g") { leader = event.timeStamp; return; }
    const action = Object.hasOwn(actions, event.key) ? actions[event.key] : null;
    if (action && action()) event.preventDefault();
  });

  // ---- small comforts ----

  function comforts(root) {
    // A box that opens takes the first field.
    for (const box of root.querySelectorAll(".box[popover]")) {
      box.addEventListener("toggle", (event) => {
        if (event.newState === "open") (box.querySelector("[autofocus]") || box.querySelector("textarea, input:not([type=hidden]), select") || box.querySelector("button"))?.focus();
      });
    }
    // A form is sent once.
    for (const form of root.querySelectorAll("form[method=post]")) {
      form.addEventListener("submit", () => {
        if (form.dataset.again !== undefined) return;
        setTimeout(() => form.querySelectorAll("button").forEach((button) => { button.disabled = true; }), 0);
      });
    }
    // A filter that is chosen is asked for at once.
    for (const field of root.querySelectorAll("form[data-auto] select")) {
      field.addEventListener("change", () => field.form.requestSubmit());
    }
    // Empty fields stay out of the address.
    for (const form of root.querySelectorAll("form[method=get]")) {
      form.addEventListener("formdata", (event) => {
        for (const [name, value] of [...event.formData]) if (value === "") event.formData.delete(name);
      });
    }
    for (const button of root.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard?.writeText(button.dataset.copy);
        button.setAttribute("data-copied", "");
      });
    }
  }

  window.addEventListener("pageshow", (event) => {
    if (event.persisted) document.querySelectorAll("button[disabled]").forEach((button) => { button.disabled = false; });
  });

  localTimes(document);
  comforts(document);
  document.querySelectorAll("[data-live]").forEach(keepFresh);
  document.querySelectorAll("[data-older]").forEach((link) => watcher?.observe(link));
})();
