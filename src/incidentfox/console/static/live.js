// What keeps a page current: <live-run> follows a run's events, <live-page> looks again every few seconds.
//
// Markup comes from the server only, where a template has escaped every word of it. It is parsed into an inert
// document, in which no script runs, and moved from there; nothing else here turns text into markup.

const policy = globalThis.trustedTypes?.createPolicy("incidentfox-fragment", { createHTML: (html) => html });

function parse(html) {
  return new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, "text/html");
}

function openDetails(root) {
  return [...root.querySelectorAll("details[open][id]")].map((details) => details.id);
}

function reopen(ids) {
  for (const id of ids) document.getElementById(id)?.setAttribute("open", "");
}

// How to find the element that has the focus once its region was replaced; null where there is no telling.
function focusIn(region) {
  const active = document.activeElement;
  if (!region.contains(active)) return "";
  if (active.id) return `#${CSS.escape(active.id)}`;
  if (active.matches("details[id] > summary")) return `#${CSS.escape(active.parentElement.id)} > summary`;
  return active.matches("a[href]") ? `a[href="${CSS.escape(active.getAttribute("href"))}"]` : null;
}

// Fetches this page again and replaces its regions, but `except`; what the reader has opened or focused stays so.
async function refresh(except = "") {
  const response = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" } });
  if (!response.ok || response.redirected) throw new Error(`The page answered ${response.status}.`);
  const fresh = parse(await response.text());
  for (const region of document.querySelectorAll("[data-region]")) {
    if (region.dataset.region === except) continue;
    const next = fresh.querySelector(`[data-region="${region.dataset.region}"]`);
    const focus = focusIn(region);
    if (!next || next.isEqualNode(region) || focus === null) continue;
    const opened = openDetails(region);
    const typed = [...region.querySelectorAll("input[id]")].map((input) => [input.id, input.value]);
    region.replaceWith(document.adoptNode(next));
    reopen(opened);
    for (const [id, value] of typed) document.getElementById(id)?.setAttribute("value", value);
    if (focus) next.querySelector(focus)?.focus({ preventScroll: true });
  }
  return fresh;
}

class LiveRun extends HTMLElement {
  connectedCallback() {
    this.setAttribute("role", "status");
    this.show("live", "Live");
    const address = new URL(this.getAttribute("events"), location.origin);
    address.searchParams.set("after", this.getAttribute("after"));
    this.source = new EventSource(address);
    this.source.addEventListener("open", () => this.show("live", "Live"));
    this.source.addEventListener("entry", (event) => this.take(JSON.parse(event.data)));
    this.source.addEventListener("error", () => this.interrupted());
  }

  disconnectedCallback() {
    this.source?.close();
  }

  show(state, words) {
    this.dataset.state = state;
    if (this.textContent !== words) this.textContent = words;
  }

  async take({ id, html, refresh: mustRefresh, finished }) {
    this.place(id, document.adoptNode(parse(html).body.firstElementChild));
    if (finished) {
      this.source.close();
      await this.settle();
    } else if (mustRefresh) {
      // Not the entries: one that arrives while the page is fetched would be overwritten by an older list.
      await refresh("entries").catch(() => {});
    }
  }

  place(id, entry) {
    const known = document.getElementById(id);
    if (!known) {
      entry.classList.add("is-new");
      document.getElementById(this.getAttribute("list")).append(entry);
      return;
    }
    const opened = openDetails(known);
    const focus = focusIn(known);
    known.replaceWith(entry);
    reopen(opened);
    if (focus) entry.querySelector(focus)?.focus({ preventScroll: true });
  }

  // The run has ended on the timeline; its record may follow a moment later.
  async settle(attempt = 1) {
    const fresh = await refresh().catch(() => null);
    if (fresh && !fresh.querySelector("live-run")) this.show("done", "Finished");
    else if (attempt < 20) setTimeout(() => this.settle(attempt + 1), 500);
    else this.show("lost", "Reload to see the end");
  }

  interrupted() {
    // CONNECTING: the browser comes back by itself and says which event it has seen last. CLOSED: the server wants it
    // to stay away, because the run is over or the session is.
    if (this.source.readyState === EventSource.CLOSED) this.settle();
    else this.show("waiting", "Reconnecting");
  }
}

class LivePage extends HTMLElement {
  connectedCallback() {
    this.dataset.state = "live";
    this.textContent = "Live";
    this.timer = setInterval(() => this.look(), Number(this.getAttribute("every")) * 1000);
  }

  disconnectedCallback() {
    clearInterval(this.timer);
  }

  async look() {
    if (document.hidden) return;
    const fresh = await refresh().catch(() => null);
    this.dataset.state = fresh ? "live" : "waiting";
    this.textContent = fresh ? "Live" : "Reconnecting";
  }
}

customElements.define("live-run", LiveRun);
customElements.define("live-page", LivePage);
