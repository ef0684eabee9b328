// <time-ago>: keeps "3 min ago" true while the page stays open. The words are those of words.py.

const UNITS = [["s", 1, 60], ["min", 60, 3600], ["h", 3600, 86400], ["d", 86400, Infinity]];

function ago(seconds) {
  if (seconds < 5) return "just now";
  const [unit, length] = UNITS.find(([, , until]) => seconds < until);
  return `${Math.floor(seconds / length)}\u00a0${unit} ago`;
}

class TimeAgo extends HTMLElement {
  connectedCallback() {
    this.timer = setInterval(() => this.write(), 5000);
  }

  disconnectedCallback() {
    clearInterval(this.timer);
  }

  write() {
    const time = this.querySelector("time");
    const at = Date.parse(time?.dateTime ?? "");
    if (!Number.isNaN(at)) time.textContent = ago((Date.now() - at) / 1000);
  }
}

customElements.define("time-ago", TimeAgo);
