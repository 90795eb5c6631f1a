'use strict';

const { text } = require('./around.cjs');
const { unwrap } = require('./errors.cjs');
const { value_of } = require('./secret.cjs');

/** Secrets that are kept: what a storage and a manager have in common. */
class Kept {
  #native;

  constructor(native) {
    this.#native = native;
  }

  store_secret(name, value) {
    unwrap(this.#native.store(text(name, 'a name'), value_of(value)));
  }

  retrieve_secret(name) {
    return unwrap(this.#native.retrieve(text(name, 'a name'))) ?? null;
  }

  list_secrets() {
    return unwrap(this.#native.list());
  }

  clear_secrets() {
    return unwrap(this.#native.clear());
  }

  delete_secret(name) {
    return unwrap(this.#native.delete(text(name, 'a name')));
  }

  secret_exists(name) {
    return unwrap(this.#native.exists(text(name, 'a name')));
  }
}

module.exports = { Kept };
