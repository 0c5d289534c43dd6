// <tailrace-usage>: the dashboard inside another page, without a frame. It lives in a shadow root, so that neither
// page's styles reach the other's, and takes the pass by property: it is never in the document.
//
//   <script type="module" src="https://analytics.example.com/tailrace-usage.js"></script>
//   <tailrace-usage view="range=90"></tailrace-usage>
//   document.querySelector("tailrace-usage").token = pass;
//
// Events: `tailrace-token` when a pass is missing or has expired, `tailrace-view` with {view} when the reader chose one.
import { mount } from "./dashboard.js";

const HOME = new URL(".", import.meta.url);
let sheet = null;

/** The page's own stylesheet, constructed: a page's policy against inline styles does not forbid it. */
function stylesheet() {
  sheet ??= fetch(new URL("dashboard.css", HOME), { credentials: "omit" })
    .then((answer) =>
      answer.ok ? answer.text() : Promise.reject(new Error("tailrace-usage: its stylesheet is not there")),
    )
    .then((text) => new CSSStyleSheet().replace(text));
  return sheet;
}

class TailraceUsage extends HTMLElement {
  static observedAttributes = ["view"];
  #root = this.attachShadow({ mode: "open" });
  #dashboard = null;
  #token = null;

  connectedCallback() {
    stylesheet().then((made) => this.isConnected && this.#begin(made), console.error);
  }

  disconnectedCallback() {
    this.#dashboard?.end();
    this.#dashboard = null;
  }

  attributeChangedCallback(_, __, text) {
    this.#dashboard?.view(text ?? "");
  }

  /** The pass; null takes it away. It can be set, not read. */
  set token(text) {
    this.#token = text;
    this.#dashboard?.token(text);
  }

  #begin(made) {
    if (this.#dashboard) return;
    this.#root.adoptedStyleSheets = [made];
    this.#dashboard = mount(this.#root, {
      base: HOME.href,
      level: 2,
      changed: (view) => this.#tell("tailrace-view", { view }),
      named: () => {},
      needsToken: () => this.#tell("tailrace-token"),
    });
    this.#dashboard.view(this.getAttribute("view") ?? "");
    if (this.#token) this.#dashboard.token(this.#token);
    else this.#tell("tailrace-token");
  }

  #tell(name, detail = null) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

customElements.define("tailrace-usage", TailraceUsage);
