// Whether Node goes on while a keychain does not answer.
import { secrets_manager } from 'mcp-secrets';

secrets_manager.initialize('a server');
const seen = [];
const ctx = { info() {}, elicit: async () => ({ action: 'accept', content: { value: 'Allow' } }) };
const pending = secrets_manager
  .retrieve_secret_with_permission('token', ctx)
  .catch((error) => error.code)
  .then((code) => seen.push(code));
await new Promise((resolve) => setTimeout(resolve, 1));
seen.push('ticked');
await pending;
console.log(JSON.stringify(seen));
