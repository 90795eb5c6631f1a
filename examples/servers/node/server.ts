import { FastMCP } from 'fastmcp';
import { secrets_manager, fetch_secrets } from 'mcp-secrets';

const SECRETS_INFO = {
  api_key: {
    label: 'API Key',
    field_type: 'password',
    required: true,
    help_text: 'Your secret API key'
  }
};

const server = new FastMCP({ name: 'My Server', version: '1.0.0' });
secrets_manager.initialize('My Server');

server.addTool({
  name: 'secure_api_request',
  description: 'Secure-by-default secret access with permission prompts',
  execute: async (args, context) => {
    try {
      // Check if secrets exist without retrieving them
      if (!secrets_manager.secret_exists('api_key')) {
        const [success, message] = await fetch_secrets(context, SECRETS_INFO);
        if (!success) throw new Error(message);
      }
      
      // Retrieve secret with permission check
      const apiKey = await secrets_manager.retrieve_secret_with_permission(
        'api_key', context, 'Authentication with external API'
      );
      
      // Use the secret (truncated for security)
      return `✅ Making API request with key: ${apiKey?.substring(0, 8)}...`;
      
    } catch (error) {
      throw new Error(`❌ Secret access failed: ${error.message}`);
    }
  }
});

await server.start({ transportType: 'stdio' });
