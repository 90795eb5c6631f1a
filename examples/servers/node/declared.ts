// The same tool with its secrets declared: `withSecrets` fetches what is missing, asks for leave, and
// hands the secrets over as values that print as `***`.
import { FastMCP } from 'fastmcp';
import { secrets_manager, withSecrets } from 'mcp-secrets';

const server = new FastMCP({ name: 'My Server', version: '1.0.0' });
secrets_manager.initialize('My Server');

server.addTool({
  name: 'secure_api_request',
  description: 'Asks the API with a key that no model has seen',
  execute: withSecrets(
    {
      api_key: { label: 'API Key', field_type: 'password', required: true, help_text: 'Your secret API key' },
      endpoint: { label: 'API Endpoint', field_type: 'url', default: 'https://api.example.com' },
    },
    async (_args, context, { api_key, endpoint }) => {
      context.log.info(`asking with ${api_key}`);
      return `${endpoint?.reveal() ?? 'the usual endpoint'} was asked with ${api_key}, of ${api_key.reveal().length} characters`;
    },
    { reason: 'Authentication with external API' },
  ),
});

await server.start({ transportType: 'stdio' });
