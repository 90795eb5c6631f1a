'use strict';

const path = require('node:path');

/** The folder with the native module, the window program and the manifest that vouches for it. */
const folder = path.join(__dirname, '..', 'native');

function load() {
  try {
    return require(path.join(folder, 'mcp-secrets.node'));
  } catch (error) {
    const here = `${process.platform}-${process.arch}`;
    throw new Error(`mcp-secrets has no native module for ${here}: install the package of this platform`, {
      cause: error,
    });
  }
}

module.exports = { native: load(), folder };
