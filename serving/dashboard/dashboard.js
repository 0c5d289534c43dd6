// The dashboard, put into an element of a page or of a shadow root. It asks which version is published first, and shows
// figures of that version only; each card then loads on its own.
import { Client, Failure, Overtaken } from "./client.js";
import { rangeText } from "./format.js";
import { activity } from "./panels/activity.js";
import { ai } from "./panels/ai.js";
import { benchmarks } from "./panels/benchmarks.js";
import { entitlements } from "./panels/entitlements.js";
import { features } from "./panels/features.js";
import { featureName } from "./panels/names.js";
import { panel } from "./panels/panel.js";
import { people } from "./panels/people.js";
import { totals } from "./panels/totals.js";
import { users } from "./panels/users.js";
import { shell } from "./shell.js";
import { daysOf, readView, writeView } from "./view.js";

const LOOK_AGAIN_MS = 5 * 60_000;
const EMPTY = {
  title: "No activity yet",
  message: "Figures appear here after your team’s first day of use, usually within the hour.",
  retry: false,
};

/**
 * Put a dashboard into `place`. `base`: where the API is. `level`: of its first heading; 1 where the page is its own.
 * `changed(text)` is told each view that the reader chooses, `named(name)` the tenant's name, `needsToken()` that a
 * pass is missing or has expired. Returns {token(text), view(text), end()}; nothing is asked before there is a pass.
 */
export function mount(place, { base, level, changed, named, needsToken }) {
  const client = new Client(base);
  let view = readView("");
  let freshness = null;
  let turn = 0;
  let pass = null;
  let refused = null;
  const around = shell({ level, change, toggleTheme, retry: load });
  const cards = [totals(), people(), features(), activity({ change }), ai(), entitlements(), users(), benchmarks()].map(
    (spec) => panel(spec, { heading: `h${level + 1}` }),
  );
  around.figures.append(...cards.map(({ card }) => card));
  place.append(around.root);

  /** Show another view, and tell the page around us. */
  function change(patch) {
    const told = Object.entries({ ...view, ...patch }).filter(([, value]) => value !== null);
    show(readView(new URLSearchParams(told)));
    changed(writeView(view));
  }

  function show(chosen) {
    view = chosen;
    if (view.theme) around.root.dataset.theme = view.theme;
    else delete around.root.dataset.theme;
    load();
  }

  function toggleTheme() {
    const [red] = getComputedStyle(around.root).color.match(/\d+/); // light words: a dark page, whoever chose it
    change({ theme: red > 127 ? "light" : "dark" });
  }

  async function load() {
    if (!client.signedIn) return;
    const mine = ++turn;
    try {
      const published = await client.get("/v1/freshness");
      if (mine !== turn) return;
      freshness = published;
      if (!freshness.last_day) {
        around.stamp(freshness);
        const { tenant_name: name } = await client.get("/v1/usage");
        if (mine === turn) rename(name);
        if (mine === turn) around.say(EMPTY);
        return;
      }
      around.say(null);
      around.stamp(freshness);
      around.show(view, freshness);
      const context = {
        view,
        freshness,
        query: daysOf(view, freshness),
        get: pinned(mine),
        file: client.file,
        change,
        announce: around.announce,
        fail: (failure) => mine === turn && fail(failure), // several cards may find out at once
      };
      const name = context.get("/v1/usage", context.query).then(
        ({ tenant_name: told }) => rename(told),
        () => {},
      ); // the cards tell why
      await Promise.all([...cards.map((card) => card.load(context)), name]);
      if (mine === turn) tell(context); // a card without its figures says so itself
    } catch (failure) {
      if (mine === turn) fail(failure);
    }
  }

  /** Asking for figures of the version that the page shows. When a newer one was published, the page begins anew. */
  const pinned = (mine) => async (path, query) => {
    const answer = await client.get(path, query);
    if (mine !== turn) throw new Overtaken();
    if (answer.version === freshness.version) return answer;
    load();
    throw new Overtaken();
  };

  function fail(failure) {
    turn++; // what is still under way has nothing left to say
    if (!(failure instanceof Failure)) console.error(failure);
    const told = failure instanceof Failure ? failure : new Failure("broken");
    around.say(told);
    if (told.kind !== "signin") return;
    refused = pass;
    needsToken();
  }

  function rename(name) {
    around.name(name);
    named(name);
  }

  function tell({ query: { from, to } }) {
    around.announce(`Figures of ${rangeText(from, to)}${view.feature ? `, ${featureName(view.feature)}` : ""}`);
  }

  /** A page that stays open all day finds what was published meanwhile, and sees its stamp grow old. */
  async function lookAgain() {
    if (document.hidden || !freshness) return;
    const found = await client.get("/v1/freshness").catch(() => freshness);
    if (found.version === freshness.version) around.stamp(freshness);
    else load();
  }
  const timer = setInterval(lookAgain, LOOK_AGAIN_MS);
  document.addEventListener("visibilitychange", lookAgain);

  return {
    token(text) {
      if (text !== null && text === refused) return; // a page that hands over the same again would have us ask for ever
      pass = client.token = text;
      if (text === null) fail(new Failure("signin"));
      else load();
    },
    view: (text) => show(readView(text)),
    end() {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", lookAgain);
      around.root.remove();
    },
  };
}
