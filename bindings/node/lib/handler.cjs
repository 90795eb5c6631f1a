'use strict';

const { around } = require('./around.cjs');
const { unwrap } = require('./errors.cjs');
const { native } = require('./native.cjs');
const { Secret } = require('./secret.cjs');

/** How long a person has, in seconds: as long as a flow has for both of its halves. */
const TIMEOUT = 240;

/** One window: started, awaited, cancelled. */
class AsyncUIHandler {
  #window = null;
  #answers = null;

  start(template, { timeout = TIMEOUT } = {}) {
    if (this.#window !== null) throw new TypeError('this handler has shown its window');
    const window = new native.Window(around());
    unwrap(window.start(JSON.stringify(template) ?? '', timeout));
    this.#window = window;
  }

  async wait() {
    if (this.#window === null) throw new TypeError('no window was started');
    this.#answers ??= answers(this.#window);
    return this.#answers;
  }

  async cancel() {
    if (this.#window === null) return;
    const over = this.wait().catch(() => {});
    this.#window.cancel();
    await over;
  }
}

async function answers(window) {
  const answers = unwrap(await window.answers());
  return new Map(answers.map(({ name, value }) => [name, new Secret(value)]));
}

module.exports = { AsyncUIHandler };
