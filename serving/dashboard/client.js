// Asking the API. Answers are kept in memory under their entity tags, so that going back costs an empty answer.

const PATIENCE_MS = 20_000;
const TRIES = 3;
const LONGEST_WAIT_S = 5;

/** Why there are no figures, in words for the person who waits for them. `kind`: signin, busy, offline or broken. */
export class Failure extends Error {
  constructor(kind) {
    const [title, text, retry] = WORDS[kind];
    super(text);
    Object.assign(this, { kind, title, retry });
  }
}
const WORDS = {
  signin: [
    "Open this page from your product",
    "The link that opened it is missing its pass, or the pass has expired.",
    false,
  ],
  busy: ["Too many requests just now", "Please wait a moment, then try again.", true],
  offline: ["The figures cannot be reached", "Nothing is lost. Check your connection and try again.", true],
  broken: ["The figures cannot be shown right now", "Nothing is lost. Please try again in a moment.", true],
};

/** An answer that is no longer wanted: the page has gone on to another view, or to a newer version. */
export class Overtaken extends Error {}

export class Client {
  #base;
  #token = null;
  #kept = new Map();
  #running = new Map();

  /** `base`: where the API is, an absolute address. */
  constructor(base) {
    this.#base = base;
  }

  /** The pass; what was kept for another one is forgotten. */
  set token(token) {
    if (token === this.#token) return;
    this.#token = token;
    this.#kept.clear();
    this.#running.clear();
  }

  get signedIn() {
    return this.#token !== null;
  }

  /** The answer of a path as an object. Raises Failure. Asked twice at once, it goes out once. */
  get(path, query = {}) {
    const address = this.#address(path, query);
    if (!this.#running.has(address)) {
      const asked = this.#json(address);
      this.#running.set(address, asked);
      const done = () => this.#running.get(address) === asked && this.#running.delete(address);
      asked.then(done, done);
    }
    return this.#running.get(address);
  }

  /** A file of the API: its name and content. Raises Failure. */
  file = async (path, query = {}) => {
    const answer = await this.#ask(this.#address(path, query));
    const told = answer.headers.get("Content-Disposition")?.match(/filename="?([\w.-]+)"?/)?.[1];
    return { name: told ?? path.split("/").at(-1), content: await answer.blob() };
  };

  #address(path, query) {
    const told = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
    const address = new URL(path, this.#base);
    address.search = new URLSearchParams(told);
    return address.href;
  }

  async #json(address) {
    const kept = this.#kept.get(address);
    const answer = await this.#ask(address, kept ? { "If-None-Match": kept.tag } : {});
    if (answer.status === 304) return kept.body;
    const body = await answer.json().catch(() => null); // cut off on the way
    if (!body) throw new Failure("offline");
    const tag = answer.headers.get("ETag");
    if (tag) this.#kept.set(address, { tag, body });
    return body;
  }

  async #ask(address, more = {}) {
    if (!this.#token) throw new Failure("signin");
    const headers = { Authorization: `Bearer ${this.#token}`, ...more };
    for (let tried = 1; ; tried++) {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      // no-store: what a tenant was shown does not stay on the disk of a shared machine.
      const answer = await fetch(address, { headers, signal, cache: "no-store", credentials: "omit" }).catch(
        () => null,
      );
      if (!answer) throw new Failure("offline");
      if (answer.ok || answer.status === 304) return answer;
      if (answer.status === 401) throw new Failure("signin");
      const busy = answer.status === 429 || answer.status === 503;
      const wait = Number(answer.headers.get("Retry-After") ?? Infinity);
      if (!busy || tried === TRIES || !(wait <= LONGEST_WAIT_S))
        throw new Failure(answer.status === 429 ? "busy" : "broken");
      await new Promise((done) => setTimeout(done, wait * 1000));
    }
  }
}
