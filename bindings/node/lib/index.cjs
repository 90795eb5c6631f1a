'use strict';

const { SecretsError } = require('./errors.cjs');
const { AsyncUIHandler } = require('./handler.cjs');
const { MCPSecretsManager } = require('./manager.cjs');
const { Secret } = require('./secret.cjs');
const { MCPSecretsStorage } = require('./storage.cjs');
const { withSecrets } = require('./with_secrets.cjs');

/** The manager of this process: a server has one name. */
const secrets_manager = new MCPSecretsManager();

exports.AsyncUIHandler = AsyncUIHandler;
exports.MCPSecretsManager = MCPSecretsManager;
exports.MCPSecretsStorage = MCPSecretsStorage;
exports.Secret = Secret;
exports.SecretsError = SecretsError;
exports.secrets_manager = secrets_manager;
exports.fetch_secrets = (ctx, secrets_info) => secrets_manager.fetch_secrets(ctx, secrets_info);
exports.withSecrets = (secrets_info, handler, options) =>
  withSecrets(secrets_manager, secrets_info, handler, options);
