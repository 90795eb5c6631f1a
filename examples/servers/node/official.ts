// The official SDK instead of FastMCP: what a tool gets there becomes a context in a few lines.
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { secrets_manager, withSecrets, type SecretsContext } from 'mcp-secrets';

const server = new McpServer({ name: 'My Server', version: '1.0.0' }, { capabilities: { logging: {} } });
secrets_manager.initialize('My Server');

/** What `mcp-secrets` needs of a call. */
function context({ signal }: { signal: AbortSignal }): SecretsContext {
  return {
    info: (text) => server.server.sendLoggingMessage({ level: 'info', data: text }),
    elicit: (params, options) => server.server.elicitInput(params as never, options),
    signal,
  };
}

const tool = withSecrets(
  { api_key: { label: 'API Key', field_type: 'password', required: true } },
  async (_args: object, _ctx: SecretsContext, { api_key }) => `asked with ${api_key}`,
  { reason: 'Authentication with external API' },
);

server.registerTool(
  'secure_api_request',
  { description: 'Asks the API with a key that no model has seen' },
  async (extra) => ({ content: [{ type: 'text', text: await tool({}, context(extra)) }] }),
);

await server.connect(new StdioServerTransport());
