'use strict';

// What the native module asks of a framework's context, and what the context answers.

const { native } = require('./native.cjs');

/** How long a client may take for its answer; the native module gives up a little earlier. */
const PATIENCE_MS = 130_000;

// Numbers of JSON-RPC and of the MCP SDK.
const METHOD_NOT_FOUND = -32601;
const CONNECTION_CLOSED = -32000;

/**
 * Runs `work(elicits, info, elicit, stop)` before `context`. Where the call is cancelled or its client
 * leaves (`context.signal`), the work is stopped; once it is over, no question of it stays open in the
 * client.
 */
async function asking(context, work) {
  const stop = new native.Stop();
  const end = () => stop.stop();
  const over = new AbortController();
  const left = context?.signal;
  if (left?.aborted) end();
  left?.addEventListener('abort', end, { once: true });
  const info = (text) => inform(context, text);
  const elicit = (question) => ask(context, question, over.signal);
  try {
    return await work(typeof context?.elicit === 'function', info, elicit, stop);
  } finally {
    left?.removeEventListener('abort', end);
    over.abort();
  }
}

/** Says `text` by `context.info` or `context.log.info`. Whether anybody listens is of no matter. */
function inform(context, text) {
  try {
    const logger = typeof context?.info === 'function' ? context : context?.log;
    Promise.resolve(logger?.info?.(text)).catch(() => {});
  } catch {
    // As said.
  }
}

/** Asks the client. What is thrown becomes an answer: this never rejects. */
async function ask(context, { message, choices }, signal) {
  try {
    const asked = { message, requestedSchema: schema(choices) };
    const answer = await context.elicit(asked, { signal, timeout: PATIENCE_MS });
    return { action: action(answer), value: value(answer) };
  } catch (error) {
    return { action: failure(error, context) };
  }
}

/** A form with one choice, or one with nothing but its buttons. */
function schema(choices) {
  if (choices.length === 0) return { type: 'object', properties: {} };
  const answer = { type: 'string', title: 'Answer', enum: choices };
  return { type: 'object', properties: { value: answer }, required: ['value'] };
}

function action(answer) {
  const known = ['accept', 'decline', 'cancel'];
  return known.includes(answer?.action) ? answer.action : 'gone';
}

/** The choice as it came. A list, a number or an inherited property is none. */
function value(answer) {
  const content = answer?.content;
  if (content === null || typeof content !== 'object') return undefined;
  return Object.hasOwn(content, 'value') && typeof content.value === 'string' ? content.value : undefined;
}

/** Which way of not answering an error is. What is not known allows nothing. */
function failure(error, context) {
  if (context.signal?.aborted || error?.code === CONNECTION_CLOSED) return 'gone';
  const text = typeof error?.message === 'string' ? error.message : '';
  const unsupported = error?.code === METHOD_NOT_FOUND || /not support\b.*\belicitation/i.test(text);
  return unsupported ? 'unsupported' : 'gone';
}

module.exports = { asking };
