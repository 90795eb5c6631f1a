// Stores, lists, finds and deletes; prints what came back.
import { MCPSecretsManager, MCPSecretsStorage, Secret, secrets_manager } from 'mcp-secrets';

const seen = { before: secrets_manager.server_name };
secrets_manager.initialize('a server');
seen.named = secrets_manager.server_name;
seen.none = secrets_manager.retrieve_secret('token');
secrets_manager.store_secret('token', 'canary-token');
secrets_manager.store_secret('other', new Secret('canary-öther €'));
seen.token = secrets_manager.retrieve_secret('token');
seen.other = secrets_manager.retrieve_secret('other');
seen.listed = secrets_manager.list_secrets();
seen.exists = [secrets_manager.secret_exists('token'), secrets_manager.secret_exists('neither')];
seen.ensured = [
  secrets_manager.ensure_secrets(['token', 'other']),
  secrets_manager.ensure_secrets(new Set(['token', 'neither'])),
  secrets_manager.ensure_secrets([]),
];
// Each server has its own.
const another = new MCPSecretsManager();
another.initialize('another server');
seen.another = [another.retrieve_secret('token'), another.list_secrets()];
// The keychain below.
const storage = new MCPSecretsStorage('a server');
seen.below = [storage.retrieve_secret('token'), storage.list_secrets(), storage.secret_exists('other')];
seen.deleted = [secrets_manager.delete_secret('token'), secrets_manager.delete_secret('token')];
seen.cleared = [secrets_manager.clear_secrets(), secrets_manager.list_secrets()];
console.log(JSON.stringify(seen));
