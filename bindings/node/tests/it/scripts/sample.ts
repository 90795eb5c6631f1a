// What authors write, as the types must take it; and, marked, what they must not.
import { FastMCP } from 'fastmcp';
import {
  AsyncUIHandler,
  fetch_secrets,
  MCPSecretsManager,
  MCPSecretsStorage,
  Secret,
  secrets_manager,
  SecretsError,
  withSecrets,
} from 'mcp-secrets';

const INFO = { token: { label: 'Token', field_type: 'password', required: true } };

const server = new FastMCP({ name: 'a server', version: '1.0.0' });
server.addTool({
  name: 'by_hand',
  execute: async (_args, context) => {
    const [ok, message]: [boolean, string] = await fetch_secrets(context, INFO);
    if (!ok) return message;
    const token = await secrets_manager.retrieve_secret_with_permission('token', context, 'a reason');
    return token?.substring(0, 2) ?? 'none';
  },
});
server.addTool({
  name: 'declared',
  execute: withSecrets(
    { token: { field_type: 'password', required: true }, endpoint: { field_type: 'url' } },
    async (_args, _context, { token, endpoint }) => {
      const shown: '***' = token.toString();
      const url: string | undefined = endpoint?.reveal();
      // @ts-expect-error: what is not required may be missing.
      endpoint.reveal();
      return `${shown} ${url}`;
    },
    { reason: 'a reason' },
  ),
});

// A framework that has no more than this.
const minimal = { info(_text: string) {} };
void fetch_secrets(minimal, INFO);
// @ts-expect-error: a context is needed.
void fetch_secrets(INFO);
// @ts-expect-error: a value is text.
secrets_manager.store_secret('token', 1);
// @ts-expect-error: there may be none.
const sure: string = secrets_manager.retrieve_secret('token');

const manager: MCPSecretsManager = secrets_manager;
manager.initialize('a server', { cache: true });
const names: string[] = new MCPSecretsStorage('a server').list_secrets();
const handler = new AsyncUIHandler();
handler.start({ title: 'A title', fields: [{ name: 'token', field_type: 'password' }] }, { timeout: 60 });
secrets_manager.store_secret('token', new Secret('a value'));
const answers: Map<string, Secret> = await handler.wait();
try {
  manager.delete_secret(names[0] ?? sure);
} catch (error) {
  if (error instanceof SecretsError) console.error(error.code.toUpperCase(), answers.size);
}
