'use strict';

const { around, text } = require('./around.cjs');
const { SecretsError, unwrap } = require('./errors.cjs');
const { native } = require('./native.cjs');
const { value_of } = require('./secret.cjs');

/** The keychain's items of one server, without a question. */
class MCPSecretsStorage {
  #native;

  constructor(server_name) {
    const name = text(server_name, 'the name of the server');
    try {
      this.#native = new native.Storage(name, around());
    } catch (error) {
      throw new SecretsError(error.code, error.message);
    }
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

module.exports = { MCPSecretsStorage };
