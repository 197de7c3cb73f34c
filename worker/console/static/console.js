// The console without this script does everything. With it a page follows what goes on, says times by
// the clock of the browser, and can be driven by keys.

/** @param {ParentNode} root */
function localTimes(root) {
  for (const el of root.querySelectorAll("time[datetime]")) {
    const at = new Date(el.getAttribute("datetime") ?? "");
    if (Number.isNaN(at.getTime())) continue;
    if (el.hasAttribute("data-clock")) {
      const near = Math.abs(Date.now() - at.getTime()) < 12 * 3600e3;
      el.textContent = near ? at.toLocaleTimeString() : at.toLocaleString();
    } else {
      const title = el.getAttribute("title") ?? "";
      if (!title.includes("(")) el.setAttribute("title", `${title} (${at.toLocaleString()})`);
    }
  }
}

const live = document.getElementById("live-state");

/** @param {string} text */
function say(text) {
  if (live && live.textContent !== text) live.textContent = text;
}

/** Whether somebody is at work in what would be replaced. @param {Element} region */
function busy(region) {
  const active = document.activeElement;
  if (active && active !== document.body && region.contains(active)) return true;
  if (region.querySelector("details[open], input:checked")) return true;
  const chosen = document.getSelection();
  return Boolean(chosen && !chosen.isCollapsed && chosen.anchorNode && region.contains(chosen.anchorNode));
}

let loading = false;
let again = false;

async function refresh() {
  if (document.hidden) {
    again = true;
    return;
  }
  if (loading) {
    again = true;
    return;
  }
  loading = true;
  again = false;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, credentials: "same-origin", redirect: "error" });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    let held = false;
    for (const region of document.querySelectorAll("[data-live]")) {
      const next = page.getElementById(region.id);
      if (!next || next.innerHTML === region.getAttribute("data-was")) continue;
      if (busy(region)) {
        held = true;
        continue;
      }
      const was = next.innerHTML;
      localTimes(next);
      const across = [...region.querySelectorAll(".scroll")].map((el) => el.scrollLeft);
      region.replaceChildren(...next.childNodes);
      region.querySelectorAll(".scroll").forEach((el, i) => {
        el.scrollLeft = across[i] ?? 0;
      });
      region.setAttribute("data-was", was);
    }
    say(held ? "Live, but for where you are." : "Live.");
    again = again || held;
  } catch {
    say("Not live: the page could not be loaded again.");
  }
  loading = false;
}

/** The stream of what is new: there is none while nobody looks, as browsers open few connections to one place. */
function follow() {
  const path = document.body.dataset.events;
  if (!path) return;
  /** @type {EventSource | undefined} */
  let events;
  /** @type {number | undefined} */
  let later;
  const stop = () => {
    clearTimeout(later);
    events?.close();
    events = undefined;
  };
  const begin = () => {
    stop();
    if (document.hidden) return;
    const mine = new EventSource(path);
    events = mine;
    mine.addEventListener("look", refresh);
    mine.addEventListener("open", () => say("Live."));
    mine.addEventListener("error", () => {
      if (mine.readyState !== EventSource.CLOSED) {
        say("Not live: the connection is lost; it is tried again.");
        return;
      }
      say("Not live: the console does not let this page follow. Load it again; your session may be over.");
      later = setTimeout(begin, 15000 + Math.random() * 10000);
    });
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      stop();
      again = true;
      return;
    }
    begin();
    if (again) refresh();
  });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (e) => {
    if (e.persisted) begin();
  });
  begin();
}

/** A form is sent once, however often its button is pressed. */
function sendOnce() {
  document.addEventListener("submit", (e) => {
    const form = e.target;
    if (!(form instanceof HTMLFormElement) || form.method !== "post") return;
    if (form.hasAttribute("data-sent")) {
      e.preventDefault();
      return;
    }
    form.setAttribute("data-sent", "");
    setTimeout(() => form.removeAttribute("data-sent"), 3000); // an answer that is a file leaves the page as it is
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) form.removeAttribute("data-sent");
  });
}

/** A page with a body goes back after a while, and when it is left. */
function conceal() {
  const shown = document.querySelector("[data-revealed]");
  if (!(shown instanceof HTMLElement)) return;
  const back = shown.dataset.revealed ?? "";
  const seconds = Number(shown.dataset.revealedFor ?? "60");
  const hide = () => {
    shown.replaceChildren();
    location.replace(back);
  };
  setTimeout(hide, seconds * 1000);
  addEventListener("pageshow", (e) => {
    if (e.persisted) hide();
  });
}

/** @param {number} by */
function step(by) {
  const rows = [...document.querySelectorAll("table[data-rows] tbody tr")];
  if (rows.length === 0) return;
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + by))];
  const target = next.querySelector("a, input, summary, button") ?? next;
  if (target instanceof HTMLElement) {
    if (target === next) next.setAttribute("tabindex", "-1");
    target.focus();
    next.scrollIntoView({ block: "nearest" });
  }
}

function choose() {
  const row = document.activeElement?.closest("tr");
  const box = row?.querySelector("input[type=checkbox]");
  if (box instanceof HTMLInputElement) box.checked = !box.checked;
}

const help = document.createElement("dialog");
help.setAttribute("aria-labelledby", "keys-title");
{
  const title = document.createElement("h2");
  title.id = "keys-title";
  title.textContent = "Keys";
  const list = document.createElement("dl");
  for (const [key, text] of [["/", "filter"], ["j, k", "next row, row before"], ["x", "choose the row"], ["r", "replay what is chosen"], ["?", "these keys"]]) {
    const term = document.createElement("dt");
    const kbd = document.createElement("kbd");
    kbd.textContent = key;
    term.append(kbd);
    const what = document.createElement("dd");
    what.textContent = text;
    list.append(term, what);
  }
  const form = document.createElement("form");
  form.method = "dialog";
  const close = document.createElement("button");
  close.textContent = "Close";
  form.append(close);
  help.append(title, list, form);
}

/** @param {KeyboardEvent} e */
function press(e) {
  if (e.ctrlKey || e.altKey || e.metaKey) return;
  const at = e.target;
  if (at instanceof HTMLElement && (at.matches("textarea, select, input:not([type=checkbox])") || at.isContentEditable)) return;
  switch (e.key) {
    case "/":
      document.getElementById("filter")?.focus();
      break;
    case "j":
      step(1);
      break;
    case "k":
      step(-1);
      break;
    case "x":
      choose();
      break;
    case "r": {
      const button = document.querySelector("[data-key=r]");
      if (button instanceof HTMLElement) button.click();
      break;
    }
    case "?":
      if (!help.isConnected) document.body.append(help);
      if (!help.open) help.showModal();
      break;
    default:
      return;
  }
  e.preventDefault();
}

localTimes(document);
follow();
sendOnce();
conceal();
document.addEventListener("keydown", press);
document.addEventListener("click", (e) => {
  // One menu is open at a time, and a click beside it closes it.
  for (const menu of document.querySelectorAll("details.act[open]")) {
    if (e.target instanceof Node && !menu.contains(e.target)) menu.removeAttribute("open");
  }
});
document.addEventListener("focusout", () => {
  if (again) setTimeout(refresh, 300);
});
