// One instance, however the package is loaded.
const required = require('mcp-secrets');

import('mcp-secrets').then((imported) => {
  const names = Object.keys(imported).sort();
  const same = names.every((name) => required[name] === imported[name]);
  console.log(JSON.stringify({ names, same, required: Object.keys(required).sort() }));
});
