// The run page: copy buttons, and links that open the tool call they lead to.

class CopyText extends HTMLElement {
  connectedCallback() {
    // Without a clipboard (plain http on another host) there is no button; the text can be selected all the same.
    if (!navigator.clipboard || this.firstChild) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy ${this.getAttribute("name")}`);
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(this.getAttribute("value"));
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    this.append(button);
  }
}

customElements.define("copy-text", CopyText);

function openTarget() {
  const entry = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const details = entry && entry.matches(".entry") && entry.querySelector("details");
  if (!details) return;
  details.open = true;
  entry.scrollIntoView({ block: "start" });
  details.querySelector("summary").focus({ preventScroll: true });
}

addEventListener("hashchange", openTarget);
// The same link a second time changes no hash, but must open what was closed since.
addEventListener("click", (event) => {
  const link = event.target instanceof Element && event.target.closest("a[href^='#call-']");
  if (link && link.hash === location.hash) openTarget();
});
openTarget();
