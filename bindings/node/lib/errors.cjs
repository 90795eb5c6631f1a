'use strict';

/** What went wrong: `code` is for programs and stable, the message for people. Neither holds a value. */
class SecretsError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}
SecretsError.prototype.name = 'SecretsError';

/** What a native function found, or the error that it met; what is to be told on the way is told. */
function unwrap(outcome) {
  for (const { code, text } of outcome.notices) {
    process.emitWarning(text, { type: 'SecretsWarning', code });
  }
  if (outcome.code != null) throw new SecretsError(outcome.code, outcome.message);
  return outcome.value;
}

module.exports = { SecretsError, unwrap };
