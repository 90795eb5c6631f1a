// What a client answers when it is asked for leave, and what comes of it. There is no window here.
import { secrets_manager } from 'mcp-secrets';

secrets_manager.initialize('a server');
secrets_manager.store_secret('token', 'canary-token');
const asked = [];
const seen = {};
async function leave(name, elicit, more) {
  const ctx = { info() {}, elicit, ...more };
  const use = () => secrets_manager.retrieve_secret_with_permission('token', ctx, 'Testing');
  seen[name] = await use().catch((error) => `${error.code}: ${error.message}`);
}
const accept = (value) => async (question) => {
  asked.push(question);
  return { action: 'accept', content: { value } };
};

await leave('allow', accept('Allow'));
for (const answer of ['Deny', 'deny', 'DENY ', 'allow', 'Allow ', '', ['Allow'], { Allow: true }, true, null]) {
  await leave(`answer ${JSON.stringify(answer)}`, accept(answer));
}
await leave('no content', async () => ({ action: 'accept' }));
await leave('inherited', async () => ({ action: 'accept', content: Object.create({ value: 'Allow' }) }));
await leave('declined', async () => ({ action: 'decline', content: { value: 'Allow' } }));
await leave('cancelled', async () => ({ action: 'cancel' }));
await leave('not understood', async () => 'Allow');
await leave('thrown', () => {
  throw new Error('canary-of-a-framework');
});
await leave('rejected', () => Promise.reject('canary-of-a-framework'));
await leave('left', accept('Allow'), { signal: AbortSignal.abort() });
const leaving = new AbortController();
await leave('leaves', () => new Promise(() => leaving.abort()), { signal: leaving.signal });
await leave('unsupported', () => {
  throw new Error('Client does not support form elicitation.');
});
await leave('without elicit', undefined);
const before = asked.length;
await leave('session', accept('Allow for Session'));
await leave('session again', accept('Deny'));
seen.questions = asked.length - before;
seen.first = asked[0];
console.log(JSON.stringify(seen));
