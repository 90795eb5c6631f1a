import all from './index.cjs';

// One instance, however the package is imported.
export const {
  AsyncUIHandler,
  MCPSecretsManager,
  MCPSecretsStorage,
  Secret,
  SecretsError,
  fetch_secrets,
  secrets_manager,
  withSecrets,
} = all;
