// Requests to the server, and the queue of answers that it has not acknowledged. An answer leaves the queue when the
// server says that it is on the disk, never before; each carries a UUID, so sending it twice is sending it once.
'use strict';

// A refusal: `status` 0 means that the server was not reached. `again`: the same request may succeed later.
Study.Refusal = class extends Error {
  constructor(status, message, next, wait) {
    super(message);
    this.status = status;
    this.next = next;
    this.wait = wait;
    this.again = status === 0 || status === 408 || status === 429 || status >= 500;
  }
};

const LONGEST_WAIT = 30000;
const TIME_OUT = 20000;

Study.post = async function (path, body, token) {
  const headers = { 'Content-Type': 'application/json' };
  if (token) headers.Authorization = `Bearer ${token}`;
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), TIME_OUT);
  try {
    const reply = await fetch(path, {
      method: 'POST', headers, body: JSON.stringify(body), credentials: 'omit', cache: 'no-store', signal: stop.signal,
    });
    const said = await reply.json();
    if (reply.ok) return said;
    const wait = Number(reply.headers.get('Retry-After')) * 1000 || 0;
    throw new Study.Refusal(reply.status, said.error || Study.say('refused'), said.next, wait);
  } catch (error) {
    if (error instanceof Study.Refusal) throw error;
    throw new Study.Refusal(0, Study.say('unreachable'), undefined, 0);
  } finally {
    clearTimeout(timer);
  }
};

// Doubling from a second, with a random part so that raters do not all come back at the same moment.
Study.pause = function (failures, atLeast) {
  const wait = Math.min(LONGEST_WAIT, 1000 * 2 ** Math.min(failures - 1, 10));
  return Math.max(atLeast || 0, wait * (0.75 + 0.5 * Math.random()));
};

// Calls `attempt` until it succeeds or is refused for good; `told(error)` hears of every failure, `told(null)` of the end.
Study.persist = async function (attempt, told) {
  for (let failures = 1; ; failures += 1) {
    try {
      const result = await attempt();
      told(null);
      return result;
    } catch (error) {
      if (!(error instanceof Study.Refusal) || !error.again) throw error;
      told(error);
      await Study.wakeful(Study.pause(failures, error.wait));
    }
  }
};

// Resolves after so many milliseconds, or as soon as the device is online again.
Study.wakeful = function (milliseconds) {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      window.removeEventListener('online', wake);
      resolve();
    };
    const timer = setTimeout(wake, milliseconds);
    window.addEventListener('online', wake);
  });
};

Study.Outbox = class {
  // storage: of the page; session: number; send: (item) => Promise of the reply; told: (waiting, error, kept) => void;
  // lost: (error) => void, when the server sees the session elsewhere and the page must look again.
  constructor(storage, session, send, told, lost) {
    Object.assign(this, { storage, key: `outbox ${session}`, send, told, lost });
    this.items = storage.get(this.key) || [];
    this.listeners = new Map();
    this.kept = storage.lasting;
    this.running = false;
    this.closed = false;
    this.error = null; // of the last attempt
  }

  get last() {
    return this.items.length ? this.items[this.items.length - 1].index : -1;
  }

  // Queues an answer; the promise is kept with the server's reply.
  put(item) {
    this.items.push(item);
    this.keep();
    if (this.error) this.told(this.items.length, this.error, this.kept);
    const reply = new Promise((resolve) => this.listeners.set(item.client_uuid, resolve));
    this.run();
    return reply;
  }

  keep() {
    if (this.items.length) this.kept = this.storage.set(this.key, this.items);
    else this.storage.remove(this.key);
  }

  // Forgets answers that the server already has.
  drop(before) {
    this.items = this.items.filter((item) => item.index >= before);
    this.keep();
  }

  close() {
    this.closed = true;
  }

  async run() {
    if (this.running) return;
    this.running = true;
    let refused = null;
    try {
      refused = await this.empty();
    } finally {
      this.running = false; // whatever went wrong: the next answer tries again
    }
    if (refused && !this.closed) this.lost(refused);
    else if (!this.closed) this.told(this.items.length, null, this.kept);
  }

  // Sends one answer after another; gives the refusal that ended it, if one did.
  async empty() {
    let failures = 0;
    while (this.items.length && !this.closed) {
      const item = this.items[0];
      try {
        const reply = await this.send(item);
        failures = 0;
        this.error = null;
        this.items.shift();
        this.keep();
        const listener = this.listeners.get(item.client_uuid);
        this.listeners.delete(item.client_uuid);
        if (listener) listener(reply);
        this.told(this.items.length, null, this.kept);
      } catch (error) {
        if (!(error instanceof Study.Refusal)) throw error;
        if (!error.again) return error;
        failures += 1;
        this.error = error;
        this.told(this.items.length, error, this.kept);
        await Study.wakeful(Study.pause(failures, error.wait));
      }
    }
    return null;
  }
};
