// The page of its own, and the page in a frame. The pass comes in the address's fragment, which no server is sent, or
// from the page around us by message; it is kept in memory. The address keeps the view and never the pass.
import { mount } from "./dashboard.js";

const framed = window.parent !== window;

const dashboard = mount(document.body, { base: location.origin, level: 1, changed, named, needsToken });

function changed(view) {
  const address = view ? `#${view}` : location.pathname;
  history.pushState(null, "", address);
  tellParent({ type: "tailrace:view", view });
}

function named(name) {
  document.title = name ? `${name} – usage` : "Usage";
}

function needsToken() {
  tellParent({ type: "tailrace:token-needed" });
}

/** Nothing that is told is secret, and only allowed pages can frame this one: `frame-ancestors` sees to it. */
function tellParent(message) {
  if (framed) window.parent.postMessage(message, "*");
}

/** A pass in the address leaves it at once: it stays out of history, bookmarks and screenshots. */
function takeFragment() {
  const given = new URLSearchParams(location.hash.slice(1));
  const token = given.get("token");
  given.delete("token");
  if (token !== null) history.replaceState(null, "", given.size ? `#${given}` : location.pathname);
  dashboard.view(given.toString());
  if (token) dashboard.token(token);
  return Boolean(token);
}

/** Only the page around us may hand a pass over: not one that opened us, nor one beside us. */
function takeMessage({ source, data }) {
  if (!framed || source !== window.parent || data?.type !== "tailrace:token" || typeof data.token !== "string") return;
  dashboard.token(data.token);
}

addEventListener("popstate", takeFragment);
addEventListener("message", takeMessage);
const known = takeFragment();
if (!known && framed) needsToken();
if (!known && !framed) dashboard.token(null);
if (framed) {
  document.body.classList.add("framed"); // as high as what is in it, so that the frame can be
  const tellHeight = () => tellParent({ type: "tailrace:height", height: document.body.offsetHeight });
  new ResizeObserver(tellHeight).observe(document.body);
}
