'use strict';

const { SecretsError } = require('./errors.cjs');
const { Secret } = require('./secret.cjs');

/**
 * A tool's function that runs only with its secrets: what is missing is fetched, each use is permitted
 * by the person, and `handler(args, ctx, secrets)` gets them as `Secret`s.
 */
function withSecrets(manager, secrets_info, handler, { reason } = {}) {
  const wanted = Object.entries(secrets_info);
  const required = wanted.filter(([, info]) => info?.required === true).map(([name]) => name);
  return async (args, ctx) => {
    if (!manager.ensure_secrets(required)) {
      const [ok, message] = await manager.fetch_secrets(ctx, secrets_info);
      if (!ok) throw new SecretsError('secrets_missing', message);
    }
    // Without a prototype: no name means anything but itself.
    const secrets = Object.create(null);
    for (const [name] of wanted) {
      const value = await manager.retrieve_secret_with_permission(name, ctx, reason);
      if (value !== null) secrets[name] = new Secret(value);
    }
    return handler(args, ctx, Object.freeze(secrets));
  };
}

module.exports = { withSecrets };
