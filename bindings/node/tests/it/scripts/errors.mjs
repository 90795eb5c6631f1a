// What goes wrong, by its code. No message has a value in it.
import {
  AsyncUIHandler,
  fetch_secrets,
  MCPSecretsStorage,
  secrets_manager,
  SecretsError,
} from 'mcp-secrets';

const seen = Object.create(null);
const said = [];
async function code(name, work) {
  try {
    seen[name] = ['no error', await work()];
  } catch (error) {
    said.push(`${error} ${error.stack} ${JSON.stringify(error)}`);
    const kind = error instanceof SecretsError ? 'SecretsError' : error.name;
    seen[name] = error.code === undefined ? kind : [kind, error.code];
  }
}
const ctx = { log: { info() {} }, elicit: async () => ({ action: 'decline' }) };

await code('before', () => secrets_manager.retrieve_secret('token'));
seen.fetched_before = await fetch_secrets(ctx, { token: {} });
await code('unnamed', () => secrets_manager.initialize(''));
await code('unnamed storage', () => new MCPSecretsStorage('\n'));
await code('no name', () => secrets_manager.initialize(undefined));
secrets_manager.initialize('a server');
await code('no text', () => secrets_manager.store_secret('token', { canary: 'canary-value' }));
await code('empty', () => secrets_manager.store_secret('token', ''));
await code('large', () => secrets_manager.store_secret('token', 'canary-value'.repeat(10_000)));
await code('hidden', () => secrets_manager.store_secret('a\u202eb', 'canary-value'));
for (const name of ['__proto__', 'constructor', '__secret_index__']) {
  await code(name, () => secrets_manager.store_secret(name, 'canary-value'));
  const info = JSON.parse(`{${JSON.stringify(name)}: {"label": "x"}}`);
  await code(`${name} fetched`, () => fetch_secrets(ctx, info));
}
seen.polluted = {}.label !== undefined || Object.prototype.label !== undefined;
await code('not an object', () => fetch_secrets(ctx, 'token'));
await code('nothing', () => fetch_secrets(ctx, {}));
await code('unknown key', () => fetch_secrets(ctx, { token: { canary: 1 } }));
await code('unknown type', () => fetch_secrets(ctx, { token: { field_type: 'canary' } }));
await code('default of a password', () =>
  fetch_secrets(ctx, { token: { field_type: 'password', default: 'canary-value' } }),
);
await code('no template', () => new AsyncUIHandler().start({ title: 'canary-value' }));
await code('not started', () => new AsyncUIHandler().wait());
seen.missing = await secrets_manager.retrieve_secret_with_permission('token', ctx, 'a reason');
secrets_manager.store_secret('token', 'canary-value');
await code('declined', () => secrets_manager.retrieve_secret_with_permission('token', ctx, 'a reason'));
seen.said = said;
console.log(JSON.stringify(seen));
