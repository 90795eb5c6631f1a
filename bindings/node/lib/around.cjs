'use strict';

const path = require('node:path');

const { folder } = require('./native.cjs');

/** What the native module is told about this process. */
function around({ cache = false } = {}) {
  const script = process.argv[1];
  return {
    environment: Object.entries(process.env),
    // By it two servers of one name are told apart. An interactive Node has none.
    program: script === undefined ? undefined : path.resolve(script),
    window: folder,
    cache: cache === true,
  };
}

/** `value`, which must be a string. What it is instead is not said: it may be a secret. */
function text(value, what) {
  if (typeof value !== 'string') throw new TypeError(`${what} must be a string`);
  return value;
}

module.exports = { around, text };
