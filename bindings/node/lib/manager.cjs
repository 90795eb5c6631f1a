'use strict';

const { around, text } = require('./around.cjs');
const { asking } = require('./asker.cjs');
const { unwrap } = require('./errors.cjs');
const { Kept } = require('./kept.cjs');
const { native } = require('./native.cjs');

/** The secrets of one MCP server. */
class MCPSecretsManager extends Kept {
  #native;

  constructor() {
    const manager = new native.Manager();
    super(manager);
    this.#native = manager;
  }

  get server_name() {
    return this.#native.serverName() ?? null;
  }

  initialize(server_name, options) {
    unwrap(this.#native.initialize(text(server_name, 'the name of the server'), around(options)));
  }

  ensure_secrets(names) {
    return unwrap(this.#native.ensure(Array.from(names, (name) => text(name, 'a name'))));
  }

  async retrieve_secret_with_permission(name, ctx, reason) {
    const what = text(name, 'a name');
    const why = reason == null ? undefined : text(reason, 'a reason');
    const outcome = await asking(ctx, (elicits, ...how) =>
      this.#native.retrieveWithPermission({ what, reason: why, elicits }, ...how),
    );
    return unwrap(outcome) ?? null;
  }

  async fetch_secrets(ctx, secrets_info) {
    const what = json(secrets_info);
    const outcome = await asking(ctx, (elicits, ...how) => this.#native.fetch({ what, elicits }, ...how));
    return [unwrap(outcome), outcome.message];
  }
}

/** The wanted secrets as JSON. Only own properties count, and no name is ever looked up in an object. */
function json(secrets_info) {
  if (secrets_info === null || typeof secrets_info !== 'object') {
    throw new TypeError('the wanted secrets must be an object of names and what is known about each');
  }
  const pairs = Object.entries(secrets_info);
  return `{${pairs.map(([name, info]) => `${JSON.stringify(name)}:${JSON.stringify(info)}`).join(',')}}`;
}

module.exports = { MCPSecretsManager };
