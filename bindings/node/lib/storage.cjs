'use strict';

const { around, text } = require('./around.cjs');
const { SecretsError } = require('./errors.cjs');
const { Kept } = require('./kept.cjs');
const { native } = require('./native.cjs');

/** The keychain's items of one server, without a question. */
class MCPSecretsStorage extends Kept {
  constructor(server_name) {
    const name = text(server_name, 'the name of the server');
    try {
      super(new native.Storage(name, around()));
    } catch (error) {
      throw new SecretsError(error.code, error.message);
    }
  }
}

module.exports = { MCPSecretsStorage };
